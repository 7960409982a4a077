//! The head of a request, screened once: what passes has one reading, and everything behind this file relies on it.
//!
//! Pure over the types of `http`. What hyper drops before these types exist (fragments, bare line feeds, lists of
//! codings) is `guard`'s to see. One thing nobody sees: under HTTP/2 `http::Uri` cuts a `#` and what follows off `:path`
//! before we are called. What is left is screened, judged and forwarded as the whole target, so both sides still read
//! the same one.

use std::net::Ipv6Addr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Uri, Version};

use crate::model::{Method, Refusal};
use crate::policy::header_name;

/// What a request asks for, as far as the gateway knows methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Forward(Method),
    Options,
}

/// A head without ambiguity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head<'r> {
    pub(crate) verb: Verb,
    /// Origin-form: begins with a slash.
    pub(crate) target: &'r str,
    pub(crate) host: &'r str,
    pub(crate) body: Framing,
    /// `Upgrade` names `websocket`.
    pub(crate) websocket: bool,
}

/// The body that was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    /// Chunked, or HTTP/2 without a length.
    Open,
}

const ALLOW_ORIGIN_FORM: &str = "it does not begin with `/`";

impl<'r> Head<'r> {
    pub(crate) fn screen(
        parts: &'r Parts,
        https: bool,
        max_target: usize,
        max_fields: usize,
    ) -> Result<Self, Refusal> {
        // One line is one field, also where several have the same name; the pseudo-headers of HTTP/2 are not among them.
        if parts.headers.len() > max_fields {
            return Err(Refusal::HeadersTooLarge);
        }
        let fields = Fields::read(&parts.headers, parts.version)?;
        let verb = verb(&parts.method)?;
        let host = fields.host(&parts.uri, parts.version)?;
        let target = target(&parts.uri, parts.version, host, https)?;
        if target.len() > max_target {
            return Err(Refusal::TargetTooLong { limit: max_target });
        }
        fields.expectation()?;
        let body = fields.framing(parts.version)?;
        Ok(Self { verb, target, host, body, websocket: fields.websocket })
    }
}

fn verb(method: &http::Method) -> Result<Verb, Refusal> {
    if *method == http::Method::OPTIONS {
        return Ok(Verb::Options);
    }
    Method::parse(method.as_str())
        .map(Verb::Forward)
        .ok_or(Refusal::MalformedRequest("the method is none that this gateway takes"))
}

fn target<'r>(uri: &'r Uri, version: Version, host: &str, https: bool) -> Result<&'r str, Refusal> {
    let scheme = if https { "https" } else { "http" };
    match (uri.scheme_str(), uri.authority()) {
        (None, None) => {}
        (None, Some(_)) => return Err(Refusal::AmbiguousPath(ALLOW_ORIGIN_FORM)),
        (Some(named), _) if !named.eq_ignore_ascii_case(scheme) => {
            return Err(if version == Version::HTTP_2 {
                Refusal::MalformedRequest(":scheme is not that of the connection")
            } else {
                Refusal::AmbiguousPath("its scheme is not that of the connection")
            });
        }
        (Some(_), authority) => {
            if authority.is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host)) {
                return Err(Refusal::AmbiguousPath("it names another host than Host does"));
            }
        }
    }
    uri.path_and_query()
        .map(http::uri::PathAndQuery::as_str)
        .filter(|target| target.starts_with('/'))
        .ok_or(Refusal::AmbiguousPath(ALLOW_ORIGIN_FORM))
}

/// The fields that decide how a request is read, gathered in one pass.
#[derive(Default)]
struct Fields<'r> {
    host: Option<&'r HeaderValue>,
    length: Option<&'r HeaderValue>,
    codings: u8,
    chunked: bool,
    expects: u8,
    expects_continue: bool,
    websocket: bool,
}

impl<'r> Fields<'r> {
    fn read(headers: &'r HeaderMap, version: Version) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for (name, value) in headers {
            if header_name::is_method_override(name.as_str()) {
                return Err(Refusal::MethodOverride);
            }
            if !name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(Refusal::MalformedRequest(
                    "a header name has other characters than letters, digits and `-`",
                ));
            }
            if version == Version::HTTP_2 && is_padded(value.as_bytes()) {
                return Err(Refusal::MalformedRequest(
                    "a header value begins or ends in white space",
                ));
            }
            fields.take(name, value)?;
        }
        Ok(fields)
    }

    fn take(&mut self, name: &HeaderName, value: &'r HeaderValue) -> Result<(), Refusal> {
        match name.as_str() {
            "host" if self.host.is_some() => {
                return Err(Refusal::MalformedRequest("Host is there more than once"));
            }
            "host" => self.host = Some(value),
            "content-length" if self.length.is_some_and(|before| before != value) => {
                return Err(Refusal::MalformedRequest("there is more than one Content-Length"));
            }
            "content-length" => self.length = Some(value),
            "transfer-encoding" => {
                self.codings = self.codings.saturating_add(1);
                self.chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
            }
            "expect" => {
                self.expects = self.expects.saturating_add(1);
                self.expects_continue = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
            }
            "upgrade" => {
                let mut protocols = value.as_bytes().split(|byte| *byte == b',');
                self.websocket |=
                    protocols.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"));
            }
            _ => {}
        }
        Ok(())
    }

    /// The one host of the request; under HTTP/2 `:authority` and `host` say the same.
    fn host(&self, uri: &'r Uri, version: Version) -> Result<&'r str, Refusal> {
        const BAD: Refusal = Refusal::MalformedRequest("Host is not a host and a port");
        let named = self.host.map(|value| value.to_str().map_err(|_| BAD)).transpose()?;
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let host = match (version, authority, named) {
            (Version::HTTP_2, Some(authority), Some(named)) => {
                if !authority.eq_ignore_ascii_case(named) {
                    return Err(Refusal::MalformedRequest("host and :authority differ"));
                }
                authority
            }
            (Version::HTTP_2, Some(authority), None) => authority,
            (_, _, Some(named)) => named,
            (_, _, None) => return Err(Refusal::MalformedRequest("there is no Host")),
        };
        if is_host(host) { Ok(host) } else { Err(BAD) }
    }

    fn expectation(&self) -> Result<(), Refusal> {
        match self.expects {
            0 => Ok(()),
            1 if self.expects_continue => Ok(()),
            _ => Err(Refusal::ExpectationFailed),
        }
    }

    fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        let length = self
            .length
            .map(|value| {
                let digits = value.to_str().ok().filter(|text| {
                    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
                });
                digits
                    .and_then(|digits| digits.parse().ok())
                    .ok_or(Refusal::MalformedRequest("Content-Length is not one number"))
            })
            .transpose()?;
        match (self.codings, length) {
            (0, Some(length)) => Ok(Framing::Length(length)),
            (0, None) if version == Version::HTTP_2 => Ok(Framing::Open),
            (0, None) => Ok(Framing::Length(0)),
            (1, None) if self.chunked => Ok(Framing::Open),
            (_, None) => {
                Err(Refusal::MalformedRequest("Transfer-Encoding is not exactly `chunked`"))
            }
            (_, Some(_)) => Err(Refusal::MalformedRequest(
                "Transfer-Encoding and Content-Length contradict each other",
            )),
        }
    }
}

fn is_padded(value: &[u8]) -> bool {
    matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

/// A name, an IPv4 address or a bracketed IPv6 address, and a port or none.
fn is_host(text: &str) -> bool {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else { return false };
        if address.parse::<Ipv6Addr>().is_err() {
            return false;
        }
        (None, rest.strip_prefix(':').or_else(|| (!rest.is_empty()).then_some("")))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        }
    };
    host.is_none_or(is_name) && port.is_none_or(is_port)
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !name.is_empty() && name.len() <= 255 && name.bytes().all(fits)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests;
