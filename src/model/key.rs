//! Subscriber keys: what a practice admin issues, and what it is worth at a moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::access::Access;
use crate::model::name::{KeyId, PracticeId, Username, VendorId};
use crate::model::proof::{KeyDigest, Sealed, SecretHash};
use crate::model::time::Timestamp;

/// What a key may reach: categories and scopes by name, as they were written. Most keys of a practice have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permissions(pub Arc<BTreeMap<Box<str>, Access>>);

/// Limits of one key in place of the configuration's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLimits {
    /// As written, `600/min`; its form was checked.
    pub rate: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// A subscriber key, without its secret. Keys are never deleted: their history stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberKey {
    pub id: KeyId,
    pub practice: PracticeId,
    pub name: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    pub owner: Username,
    pub created_by: Username,
    pub created_at: Timestamp,
    /// The name of an API of the configuration; never changes.
    pub api: Arc<str>,
    pub permissions: Permissions,
    /// Only this vendor may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorId>,
    /// Chosen by people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Empty means anywhere.
    #[serde(default, skip_serializing_if = "<[IpNet]>::is_empty")]
    pub allowed_ips: Box<[IpNet]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Box<KeyLimits>>,
    pub enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<KeyId>,
    /// The end of a rotation's overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_ends: Option<Timestamp>,
    pub preview: Box<str>,
    pub digest: KeyDigest,
    pub hash: SecretHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// What the configuration says of the lives of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    pub idle_expiry: Option<Duration>,
    pub max_age: Option<Duration>,
    pub rotate_after: Option<Duration>,
}

/// What a key is worth at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    Active,
    Expired,
    IdleExpired,
    Revoked,
    Disabled,
}

impl SubscriberKey {
    /// The strongest reason first: what is for good before what can be undone.
    pub fn status(
        &self,
        now: Timestamp,
        last_used: Option<Timestamp>,
        lifetimes: &Lifetimes,
    ) -> KeyStatus {
        if self.revoked_at.is_some() {
            return KeyStatus::Revoked;
        }
        if self.ends_at(lifetimes).is_some_and(|end| now >= end) {
            return KeyStatus::Expired;
        }
        let idle_since = last_used.unwrap_or(self.created_at).max(self.created_at);
        if lifetimes.idle_expiry.is_some_and(|span| now >= idle_since.after(span)) {
            return KeyStatus::IdleExpired;
        }
        if self.enabled { KeyStatus::Active } else { KeyStatus::Disabled }
    }

    /// The first of its ends: chosen, of its rotation, of the longest life that any key has.
    pub fn ends_at(&self, lifetimes: &Lifetimes) -> Option<Timestamp> {
        let of_age = lifetimes.max_age.map(|span| self.created_at.after(span));
        [self.expires_at, self.overlap_ends, of_age].into_iter().flatten().min()
    }

    /// When people should be reminded to rotate it.
    pub fn rotate_due(&self, lifetimes: &Lifetimes) -> Option<Timestamp> {
        lifetimes.rotate_after.map(|span| self.created_at.after(span))
    }
}

impl Permissions {
    pub fn iter(&self) -> impl Iterator<Item = (&str, Access)> {
        self.0.iter().map(|(name, access)| (&**name, *access))
    }
}

impl<'a> FromIterator<(&'a str, Access)> for Permissions {
    fn from_iter<I: IntoIterator<Item = (&'a str, Access)>>(granted: I) -> Self {
        Self(Arc::new(granted.into_iter().map(|(name, access)| (name.into(), access)).collect()))
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, access)| (name, access.permission())))
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = BTreeMap::<Box<str>, String>::deserialize(deserializer)?;
        let read = written.into_iter().map(|(name, access)| {
            let access = Access::from_permission(&access)
                .ok_or_else(|| de::Error::custom("not none, read, write or write-only"))?;
            Ok((name, access))
        });
        Ok(Self(Arc::new(read.collect::<Result<_, D::Error>>()?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000)
            .after(MINUTE.saturating_mul(u32::try_from(minutes).unwrap()))
    }

    /// A key of minute 100 without an end.
    fn key() -> SubscriberKey {
        SubscriberKey {
            id: KeyId::parse("kkkkkkkkkk01").unwrap(),
            practice: PracticeId::parse("north").unwrap(),
            name: "Bookings".into(),
            description: None,
            owner: Username::parse("dr-lee").unwrap(),
            created_by: Username::parse("root").unwrap(),
            created_at: at(100),
            api: "standard".into(),
            permissions: Permissions::default(),
            vendor: None,
            expires_at: None,
            allowed_ips: Box::default(),
            limits: None,
            enabled: true,
            revoked_at: None,
            replaces: None,
            replaced_by: None,
            overlap_ends: None,
            preview: "…".into(),
            digest: KeyDigest([1; 32]),
            hash: SecretHash("$argon2id$".into()),
            sealed: None,
        }
    }

    fn minutes(count: Option<u64>) -> Option<Duration> {
        count.map(|count| Duration::from_secs(60 * count))
    }

    #[test]
    fn an_end_is_the_first_moment_at_which_a_key_is_over() {
        let expiring = SubscriberKey { expires_at: Some(at(200)), ..key() };
        let lifetimes = Lifetimes::default();
        let just_before = Timestamp::from_micros(at(200).as_micros() - 1);
        assert_eq!(expiring.status(just_before, None, &lifetimes), KeyStatus::Active);
        assert_eq!(expiring.status(at(200), None, &lifetimes), KeyStatus::Expired);
    }

    #[test]
    fn a_key_is_idle_from_its_last_use_and_before_that_from_its_making() {
        let lifetimes = Lifetimes { idle_expiry: minutes(Some(50)), ..Lifetimes::default() };
        for (last_used, now, expected) in [
            (None, 149, KeyStatus::Active),
            (None, 150, KeyStatus::IdleExpired),
            (Some(140), 189, KeyStatus::Active),
            (Some(140), 190, KeyStatus::IdleExpired),
            // A use that was noted under the same id before the key was made counts for nothing.
            (Some(10), 149, KeyStatus::Active),
        ] {
            assert_eq!(key().status(at(now), last_used.map(at), &lifetimes), expected, "{now}");
        }
    }

    proptest! {
        /// The law in another form: the first of these sentences that is true.
        #[test]
        fn the_strongest_reason_is_told(
            now in 0_u64..400,
            revoked in proptest::option::of(0_u64..400),
            expires in proptest::option::of(100_u64..400),
            overlap in proptest::option::of(100_u64..400),
            used in proptest::option::of(0_u64..400),
            max_age in proptest::option::of(0_u64..400),
            idle in proptest::option::of(0_u64..400),
            enabled in any::<bool>(),
        ) {
            let key = SubscriberKey {
                revoked_at: revoked.map(at),
                expires_at: expires.map(at),
                overlap_ends: overlap.map(at),
                enabled,
                ..key()
            };
            let lifetimes = Lifetimes {
                idle_expiry: minutes(idle),
                max_age: minutes(max_age),
                rotate_after: None,
            };
            let has_passed = |end: Option<u64>| end.is_some_and(|end| end <= now);
            let expected = if revoked.is_some() {
                KeyStatus::Revoked
            } else if has_passed(expires)
                || has_passed(overlap)
                || has_passed(max_age.map(|age| 100 + age))
            {
                KeyStatus::Expired
            } else if has_passed(idle.map(|idle| used.unwrap_or(0).max(100) + idle)) {
                KeyStatus::IdleExpired
            } else if !enabled {
                KeyStatus::Disabled
            } else {
                KeyStatus::Active
            };
            prop_assert_eq!(key.status(at(now), used.map(at), &lifetimes), expected);
        }

        #[test]
        fn permissions_are_written_and_read_back(
            granted in proptest::collection::btree_map("[a-z]{1,8}(\\.[a-z]{1,8})?", 0_u8..4, 0..6),
        ) {
            let accesses = [Access::NONE, Access::READ, Access::READ_WRITE, Access::WRITE_ONLY];
            let permissions: Permissions = granted
                .iter()
                .map(|(name, access)| (name.as_str(), accesses[usize::from(*access)]))
                .collect();
            let text = serde_json::to_string(&permissions).unwrap();
            prop_assert_eq!(serde_json::from_str::<Permissions>(&text).unwrap(), permissions);
        }
    }

    #[test]
    fn permissions_are_written_with_the_words_of_the_contract() {
        let written: Permissions = [
            ("files", Access::WRITE_ONLY),
            ("patient", Access::READ_WRITE),
            ("clinical", Access::READ),
            ("system", Access::NONE),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            serde_json::to_string(&written).unwrap(),
            r#"{"clinical":"read","files":"write-only","patient":"write","system":"none"}"#
        );
        assert!(serde_json::from_str::<Permissions>(r#"{"files":"all"}"#).is_err());
    }

    #[test]
    fn a_key_is_written_without_what_it_has_not_and_read_back() {
        let text = serde_json::to_string(&key()).unwrap();
        assert!(!text.contains("null") && !text.contains("sealed"), "{text}");
        assert_eq!(serde_json::from_str::<SubscriberKey>(&text).unwrap(), key());
    }

    #[test]
    fn people_are_reminded_after_a_while() {
        let lifetimes = Lifetimes { rotate_after: minutes(Some(90)), ..Lifetimes::default() };
        assert_eq!(key().rotate_due(&lifetimes), Some(at(190)));
        assert_eq!(key().rotate_due(&Lifetimes::default()), None);
        assert_eq!(key().ends_at(&lifetimes), None);
    }
}
