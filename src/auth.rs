//! Who is calling: the credentials of a request, and whom they belong to.

pub mod credential;
pub mod oauth;
pub mod verifier;

pub use credential::Presented;
pub use verifier::Verifier;
