//! Third-party developers, and the keys that say who is calling.

use serde::{Deserialize, Serialize};

use crate::model::name::{KeyId, Username, VendorId};
use crate::model::proof::{KeyDigest, SecretHash};
use crate::model::time::Timestamp;

/// Where the operator's review of a vendor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VendorStatus {
    Pending,
    Approved,
    Suspended,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vendor {
    pub id: VendorId,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    pub status: VendorStatus,
    /// The operator's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement_expires: Option<Timestamp>,
    pub created_at: Timestamp,
}

impl Vendor {
    /// Whether its keys count at `now`.
    pub fn is_approved(&self, now: Timestamp) -> bool {
        self.status == VendorStatus::Approved && self.agreement_expires.is_none_or(|end| now < end)
    }
}

/// A key of a vendor, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorKey {
    pub id: KeyId,
    pub vendor: VendorId,
    pub preview: Box<str>,
    pub digest: KeyDigest,
    pub hash: SecretHash,
    pub created_by: Username,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_counts_while_it_is_approved_and_its_agreement_lasts() {
        let end = Timestamp::from_micros(1_000);
        let vendor = |status, agreement_expires| Vendor {
            id: VendorId::parse("acme").unwrap(),
            name: "Acme".to_owned(),
            contact: None,
            status,
            review: None,
            agreement_expires,
            created_at: Timestamp::default(),
        };
        for (status, expires, now, expected) in [
            (VendorStatus::Approved, None, 5_000, true),
            (VendorStatus::Approved, Some(end), 999, true),
            (VendorStatus::Approved, Some(end), 1_000, false),
            (VendorStatus::Pending, None, 0, false),
            (VendorStatus::Suspended, Some(end), 0, false),
        ] {
            let is_approved = vendor(status, expires).is_approved(Timestamp::from_micros(now));
            assert_eq!(is_approved, expected, "{status:?} at {now}");
        }
        assert_eq!(serde_json::to_string(&VendorStatus::Approved).unwrap(), "\"approved\"");
    }
}
