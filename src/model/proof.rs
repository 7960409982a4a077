//! What is kept of a secret in place of it. Made and checked by `vault`; nothing here can be turned back.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::hex;

/// HMAC-SHA-256 of a key under the pepper: how the registry finds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest(pub [u8; 32]);

/// An argon2id hash as a PHC string, `$argon2id$v=19$…`. Its form is checked where it is used, by `vault::hash`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(pub Box<str>);

/// A secret under AES-256-GCM: nonce, ciphertext and tag. Only where keys may be shown again.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Box<[u8]>);

macro_rules! hidden {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}
hidden!(KeyDigest SecretHash Sealed);

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = hex::decode(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| de::Error::custom("not a digest of 64 hexadecimal digits"))
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = hex::decode(&text).ok_or_else(|| de::Error::custom("not hexadecimal"))?;
        Ok(Self(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_seals_round_trip_and_debug_shows_nothing() {
        let digest = KeyDigest([7; 32]);
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<KeyDigest>(&text).unwrap(), digest);
        assert!(serde_json::from_str::<KeyDigest>("\"07\"").is_err());
        let sealed = Sealed(Box::new([1, 255]));
        assert_eq!(serde_json::to_string(&sealed).unwrap(), "\"01ff\"");
        assert_eq!(serde_json::from_str::<Sealed>("\"01ff\"").unwrap(), sealed);
        assert_eq!(format!("{digest:?} {sealed:?}"), "KeyDigest(…) Sealed(…)");
    }
}
