//! What benches/instructions.rs counts of the data plane and cannot reach otherwise. Only with the feature `instructions`; nothing
//! here does anything itself.

use http::request::Parts;
use http::{HeaderMap, Response};

use crate::config::Proxy;
use crate::limits::{Plan, Standings};
use crate::model::{Refusal, RequestId};
use crate::proxy::body::ResponseBody;
use crate::proxy::guard::h1::Guard;
use crate::proxy::head::Head;
use crate::proxy::{Setup, limiting, respond};

/// The guard of one connection that speaks HTTP/1.1.
#[derive(Debug)]
pub struct Wire(Guard);

impl Wire {
    pub fn new(limits: &Proxy) -> Self {
        Self(Guard::new(limits.max_target, limits.max_header_bytes, limits.max_headers))
    }

    /// Whether the bytes are the rest of a head without a flaw.
    pub fn ends_a_head(&mut self, bytes: &[u8]) -> bool {
        self.0.advance(bytes).is_ok() && self.0.flaw().is_none() && !self.0.is_within_head()
    }
}

/// The target of a head that may be judged.
pub fn screen<'r>(parts: &'r Parts, limits: &Proxy) -> Result<&'r str, Refusal> {
    let head = Head::screen(parts, false, limits.max_target, limits.max_headers)?;
    Ok(std::hint::black_box(head).target)
}

pub fn refuse(setup: &Setup, refusal: &Refusal, id: RequestId) -> Response<ResponseBody> {
    respond::refuse(setup, refusal, id)
}

pub fn tell(plan: &Plan, standings: &Standings, headers: &mut HeaderMap) {
    limiting::tell(plan, standings, headers);
}
