//! The names that people and programs give to practices, staff, vendors and keys. Each is read once, where it comes in;
//! a value of one of these types is well formed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a name was expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misnamed(pub &'static str);

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $is_one:ident, $expected:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, Misnamed> {
                if $is_one(text) { Ok(Self(text.into())) } else { Err(Misnamed($expected)) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same text, shared.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    )*};
}

names! {
    /// A practice: its own choice.
    PracticeId = is_slug, "1 to 64 of a-z, 0-9 and -, beginning with a letter or a digit";
    /// A vendor: the operator's choice.
    VendorId = is_slug, "1 to 64 of a-z, 0-9 and -, beginning with a letter or a digit";
    /// A staff user within a practice, or an administrator. Without `:`, which ends it in HTTP Basic.
    Username = is_username, "1 to 128 visible characters without spaces, `:` or `/`";
    /// A running gateway among those that share a store.
    NodeName = is_username, "1 to 128 visible characters without spaces, `:` or `/`";
}

fn is_slug(text: &str) -> bool {
    let may_be = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(may_be)
}

fn is_username(text: &str) -> bool {
    let may_be = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'/');
    (1..=128).contains(&text.len()) && text.bytes().all(may_be)
}

/// The public id of a key: 12 digits of base62, for people, paths and logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; Self::LEN]);

impl KeyId {
    pub const LEN: usize = 12;

    pub fn parse(text: &str) -> Result<Self, Misnamed> {
        let bytes: Option<[u8; Self::LEN]> = text.as_bytes().try_into().ok();
        bytes
            .filter(|bytes| bytes.iter().all(u8::is_ascii_alphanumeric))
            .map(Self)
            .ok_or(Misnamed("12 letters and digits"))
    }

    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_what_the_contract_says() {
        for good in ["north", "7", "a-b-9", &"a".repeat(64)] {
            assert_eq!(PracticeId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "North", "-north", "nor th", "n/s", "ünorth", &"a".repeat(65)] {
            assert!(VendorId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn usernames_fit_into_basic_credentials_and_paths() {
        for good in ["dr-lee", "Lee@clinic.example", "O'Hara"] {
            assert_eq!(Username::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "dr lee", "dr:lee", "dr/lee", "dr\u{e9}", "a\n"] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn key_ids_are_twelve_digits_of_base62() {
        assert_eq!(KeyId::parse("0123456789aZ").unwrap().as_str(), "0123456789aZ");
        for bad in ["", "0123456789a", "0123456789aZZ", "0123456789a_", "0123456789é"] {
            assert!(KeyId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reading_json_checks_the_form() {
        assert!(serde_json::from_str::<PracticeId>("\"no rth\"").is_err());
        let id: PracticeId = serde_json::from_str("\"north\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"north\"");
    }
}
