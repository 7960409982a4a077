//! What a gateway is made of: values and their laws.
//!
//! Callers hold [`Grants`] over the scopes of a [`Catalogue`]; rules need some of them; a request that does not get
//! through ends in a [`Refusal`]. Nothing here does I/O, reads a clock or knows a wire format.

pub mod access;
pub mod caller;
pub mod catalogue;
pub(crate) mod hex;
pub mod id;
pub mod method;
pub mod place;
pub mod refusal;
pub mod secret;
pub mod trace;

pub use access::Access;
pub use caller::{Caller, Subscriber};
pub use catalogue::{Catalogue, Grants, Need, ScopeId};
pub use id::{ApiId, RequestId, UpstreamId};
pub use method::{Method, MethodSet};
pub use place::Place;
pub use refusal::Refusal;
pub use secret::PlainKey;
pub use trace::TraceParent;
