//! A subscriber key in a third of its size: there are a hundred thousand of them in memory, and most are only ever looked
//! at by a worker.
//!
//! Names that keys share are numbers in [`Names`]; the parts of an argon2id hash are bytes instead of text; what few
//! keys have is boxed together. [`CompactKey::key`] gives back exactly the document that went in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ipnet::IpNet;

use crate::model::{
    KeyDigest, KeyId, KeyLimits, Lifetimes, Sealed, SecretHash, SubscriberKey, Timestamp,
};
use crate::registry::records::names::{Names, to_number};
use crate::store::Position;

#[derive(Debug)]
pub(in crate::registry) struct CompactKey {
    pub(in crate::registry) revision: Position,
    pub(in crate::registry) id: KeyId,
    pub(in crate::registry) created_at: Timestamp,
    pub(in crate::registry) digest: KeyDigest,
    pub(in crate::registry) practice: u32,
    pub(in crate::registry) owner: u32,
    created_by: u32,
    pub(in crate::registry) api: u32,
    pub(in crate::registry) permissions: u32,
    pub(in crate::registry) vendor: Option<u32>,
    hash: CompactHash,
    /// The name and then the preview, in one allocation; of a preview that begins as all of ours do, what follows.
    text: Box<str>,
    name_ends: u32,
    is_usual_preview: bool,
    pub(in crate::registry) enabled: bool,
    rare: Option<Box<Rare>>,
}

/// What most keys have nothing of.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rare {
    description: Option<Box<str>>,
    expires_at: Option<Timestamp>,
    allowed_ips: Box<[IpNet]>,
    limits: Option<Box<KeyLimits>>,
    revoked_at: Option<Timestamp>,
    replaces: Option<KeyId>,
    replaced_by: Option<KeyId>,
    overlap_ends: Option<Timestamp>,
    sealed: Option<Sealed>,
}

impl CompactKey {
    pub(in crate::registry) fn new(
        key: SubscriberKey,
        revision: Position,
        names: &mut Names,
    ) -> Self {
        let rare = Rare {
            description: key.description,
            expires_at: key.expires_at,
            allowed_ips: key.allowed_ips,
            limits: key.limits,
            revoked_at: key.revoked_at,
            replaces: key.replaces,
            replaced_by: key.replaced_by,
            overlap_ends: key.overlap_ends,
            sealed: key.sealed,
        };
        let usual = usual_preview(key.id);
        let own = key.preview.strip_prefix(&*usual);
        Self {
            revision,
            id: key.id,
            created_at: key.created_at,
            digest: key.digest,
            practice: names.practices.number(&key.practice),
            owner: names.people.number(&key.owner),
            created_by: names.people.number(&key.created_by),
            api: names.apis.number(&key.api),
            permissions: names.permissions.number(&key.permissions),
            vendor: key.vendor.as_ref().map(|vendor| names.vendors.number(vendor)),
            hash: CompactHash::new(key.hash),
            name_ends: to_number(key.name.len()),
            text: [&*key.name, own.unwrap_or(&key.preview)].concat().into(),
            is_usual_preview: own.is_some(),
            enabled: key.enabled,
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }

    /// The document. None only for names that are not its own.
    pub(in crate::registry) fn key(&self, names: &Names) -> Option<SubscriberKey> {
        let Rare {
            description,
            expires_at,
            allowed_ips,
            limits,
            revoked_at,
            replaces,
            replaced_by,
            overlap_ends,
            sealed,
        } = self.rare.as_deref().cloned().unwrap_or_default();
        let vendor = match self.vendor {
            Some(number) => Some(names.vendors.value(number)?.clone()),
            None => None,
        };
        Some(SubscriberKey {
            id: self.id,
            practice: names.practices.value(self.practice)?.clone(),
            name: self.name().into(),
            description,
            owner: names.people.value(self.owner)?.clone(),
            created_by: names.people.value(self.created_by)?.clone(),
            created_at: self.created_at,
            api: names.apis.value(self.api)?.clone(),
            permissions: names.permissions.value(self.permissions)?.clone(),
            vendor,
            expires_at,
            allowed_ips,
            limits,
            enabled: self.enabled,
            revoked_at,
            replaces,
            replaced_by,
            overlap_ends,
            preview: self.preview(),
            digest: self.digest,
            hash: self.hash(),
            sealed,
        })
    }

    fn text(&self) -> (&str, &str) {
        let ends = usize::try_from(self.name_ends).unwrap_or(usize::MAX);
        self.text.split_at_checked(ends).unwrap_or((&self.text, ""))
    }

    pub(in crate::registry) fn name(&self) -> &str {
        self.text().0
    }

    fn preview(&self) -> Box<str> {
        let shown = self.text().1;
        if self.is_usual_preview {
            [&*usual_preview(self.id), shown].concat().into()
        } else {
            shown.into()
        }
    }

    pub(in crate::registry) fn hash(&self) -> SecretHash {
        self.hash.text()
    }

    pub(in crate::registry) fn is_revoked(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.revoked_at.is_some())
    }

    pub(in crate::registry) fn limits(&self) -> Option<&KeyLimits> {
        self.rare.as_ref()?.limits.as_deref()
    }

    /// Empty means anywhere.
    pub(in crate::registry) fn allowed_ips(&self) -> &[IpNet] {
        self.rare.as_ref().map_or(&[], |rare| &rare.allowed_ips)
    }

    /// As [`SubscriberKey::ends_at`].
    pub(in crate::registry) fn ends_at(&self, lifetimes: &Lifetimes) -> Option<Timestamp> {
        let of_age = lifetimes.max_age.map(|span| self.created_at.after(span));
        let rare = self.rare.as_ref();
        let chosen = rare.and_then(|rare| rare.expires_at);
        let rotated = rare.and_then(|rare| rare.overlap_ends);
        [chosen, rotated, of_age].into_iter().flatten().min()
    }
}

/// How the previews of keys that were made here begin.
fn usual_preview(id: KeyId) -> String {
    format!("pst_sub_{id}_")
}

/// `$argon2id$v=19$m=64,t=1,p=1$…$…` with a salt of 16 bytes and an output of 32, in 56 bytes instead of 128.
#[derive(Debug)]
enum CompactHash {
    Usual {
        memory: u32,
        passes: u16,
        lanes: u8,
        salt: [u8; 16],
        output: [u8; 32],
    },
    /// Any other text, as it is.
    Other(Box<str>),
}

impl CompactHash {
    fn new(hash: SecretHash) -> Self {
        match Self::read(&hash.0) {
            // What would not be written again as it was read stays text.
            Some(compact) if compact.text() == hash => compact,
            _ => Self::Other(hash.0),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$m=")?.split('$');
        let (cost, salt, output) = (parts.next()?, parts.next()?, parts.next()?);
        let (memory, rest) = cost.split_once(",t=")?;
        let (passes, lanes) = rest.split_once(",p=")?;
        let bytes = |text: &str| BASE64.decode(text).ok();
        Some(Self::Usual {
            memory: memory.parse().ok()?,
            passes: passes.parse().ok()?,
            lanes: lanes.parse().ok()?,
            salt: bytes(salt)?.try_into().ok()?,
            output: bytes(output)?.try_into().ok()?,
        })
    }

    fn text(&self) -> SecretHash {
        match self {
            Self::Usual { memory, passes, lanes, salt, output } => {
                let mut text = format!("$argon2id$v=19$m={memory},t={passes},p={lanes}$");
                BASE64.encode_string(salt, &mut text);
                text.push('$');
                BASE64.encode_string(output, &mut text);
                SecretHash(text.into())
            }
            Self::Other(text) => SecretHash(text.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
