//! What a gateway is made of: values and their laws.
//!
//! Callers hold [`Grants`] over the scopes of a [`Catalogue`]; rules need some of them; a request that does not get
//! through ends in a [`Refusal`]. What the store keeps
//! (practices, vendors, keys, administrators) has its written form from serde here, and its essay in `store::document`.
//! Nothing here does I/O or reads a clock.

pub mod access;
pub mod administrator;
pub mod audit;
pub mod caller;
pub mod catalogue;
pub(crate) mod hex;
pub mod id;
pub mod key;
pub mod limit;
pub mod method;
pub mod name;
pub mod place;
pub mod practice;
pub mod proof;
pub mod record;
pub mod refusal;
pub mod secret;
pub mod source;
pub mod time;
pub mod trace;
pub mod usage;
pub mod vendor;

pub use access::Access;
pub use administrator::{AdminToken, Administrator, Role, Session};
pub use audit::{Actor, AuditEntry, AuditHead, Deed};
pub use caller::{Caller, Subscriber};
pub use catalogue::{Catalogue, Grants, Need, ScopeId};
pub use id::{ApiId, RequestId, UpstreamId};
pub use key::{KeyLimits, KeyStatus, Lifetimes, Permissions, SubscriberKey};
pub use limit::{LimitKind, Overrun, RateLimit};
pub use method::{Method, MethodSet};
pub use name::{KeyId, Misnamed, NodeName, PracticeId, Username, VendorId};
pub use place::Place;
pub use practice::{Practice, StaffUser};
pub use proof::{KeyDigest, Sealed, SecretHash};
pub use record::{AccessRecord, Decision, LaneId, Opening, Outcome, RecordId};
pub use refusal::Refusal;
pub use secret::PlainKey;
pub use source::source_of;
pub use time::Timestamp;
pub use trace::TraceParent;
pub use usage::Tally;
pub use vendor::{Vendor, VendorKey, VendorStatus};
