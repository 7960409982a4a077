//! Bodies on their way through: a request's from the caller, an answer's from the upstream.

pub mod request;
pub mod response;

pub use request::{BodyFault, RequestBody};
pub use response::ResponseBody;
