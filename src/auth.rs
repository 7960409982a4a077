//! Who is calling: the credentials of a request, and whom they belong to.

pub mod credential;
pub mod key;
pub mod registry;

pub use credential::Presented;
pub use registry::Registry;
