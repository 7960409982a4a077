//! What is asked of the upstream: the judged facts of a request, and the head that is built from them.
//!
//! The head is made anew, header by header, from the judged target and from those of the caller's headers that may pass. What
//! only the gateway may say never passes ([`names::stays_here`]), so that nothing a caller sends can stand beside it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header};
use smallvec::SmallVec;

use crate::config::Credentials;
use crate::model::{Access, Caller, Method, Refusal, RequestId, TraceParent};
use crate::proxy::forward::names::{self, Named, stays_here};
use crate::proxy::upstream::outgoing::Outgoing;

mod lines;

use lines::{InMap, Lines, OnWire};

/// A request that may pass, as far as the upstream is concerned.
#[derive(Debug)]
pub(crate) struct Order<'r> {
    pub(crate) method: Method,
    /// As forwarded: the judged target, without the mount where it is stripped.
    pub(crate) target: PathAndQuery,
    /// The mount, where it was stripped.
    pub(crate) stripped: Option<&'r str>,
    pub(crate) caller: Option<&'r Caller>,
    pub(crate) scopes: SmallVec<[(&'r str, Access); 2]>,
    pub(crate) request_id: RequestId,
    pub(crate) trace: TraceParent,
    pub(crate) client: IpAddr,
    pub(crate) https: bool,
    /// The public host, as the caller named it.
    pub(crate) host: &'r str,
    pub(crate) credentials: &'r Credentials,
    /// How many connections to upstreams the worker may have open.
    pub(crate) most_connections: usize,
}

/// The endpoint that a head is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addressee<'a> {
    pub(crate) host: &'a HeaderValue,
    pub(crate) authority: &'a Authority,
    pub(crate) https: bool,
    pub(crate) preserve_host: bool,
    /// What the gateway itself presents.
    pub(crate) headers: &'a [(HeaderName, HeaderValue)],
    /// Where the head is written.
    pub(crate) said: &'a RefCell<BytesMut>,
    /// Where the answer is read into.
    pub(crate) heard: &'a RefCell<BytesMut>,
    pub(crate) version: Version,
}

/// Path and query as they are forwarded: those that were judged, without the mount if it is to be stripped.
pub(crate) fn forwarded_target(
    judged: &str,
    raw: &Uri,
    strip: Option<&str>,
) -> Result<PathAndQuery, Refusal> {
    let unreadable = || Refusal::AmbiguousPath("the target cannot be forwarded as it was judged");
    let Some(mount) = strip.filter(|mount| *mount != "/") else {
        // The caller's own buffer is shared instead of copied when it says the very same.
        return match raw.path_and_query() {
            Some(same) if same.as_str() == judged => Ok(same.clone()),
            _ => exactly(judged).ok_or_else(unreadable),
        };
    };
    let rest = judged.strip_prefix(mount).ok_or_else(unreadable)?;
    match rest.as_bytes().first() {
        Some(b'/') => exactly(rest).ok_or_else(unreadable),
        Some(b'?') | None => exactly(&format!("/{rest}")).ok_or_else(unreadable),
        Some(_) => Err(unreadable()),
    }
}

/// Some only if what will be written is byte for byte what was asked.
fn exactly(text: &str) -> Option<PathAndQuery> {
    PathAndQuery::try_from(text).ok().filter(|parsed| parsed.as_str() == text)
}

impl Order<'_> {
    /// The whole request towards one endpoint, for hyper to write.
    pub(crate) fn request(
        &self,
        caller: &Parts,
        to: Addressee<'_>,
        body: Outgoing,
    ) -> Result<http::Request<Outgoing>, Outgoing> {
        let uri = match to.version {
            Version::HTTP_2 => self.absolute(to),
            _ => Some(Uri::from(self.target.clone())),
        };
        let (Some(uri), Some(headers)) = (uri, self.headers(caller, to, &body)) else {
            return Err(body);
        };
        let mut request = http::Request::new(body);
        *request.method_mut() = self.http_method();
        *request.uri_mut() = uri;
        *request.version_mut() = to.version;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The same as bytes of HTTP/1.1, with what is here already of the body; None only if a value cannot stand in a header.
    pub(crate) fn bytes(
        &self,
        caller: &Parts,
        to: Addressee<'_>,
        body: &Outgoing,
    ) -> Option<Bytes> {
        let mut said = to.said.borrow_mut();
        said.clear();
        if said.capacity() < USUAL + body.whole().len() {
            said.reserve(BLOCK);
        }
        for part in [self.http_method().as_str(), " ", self.target.as_str(), " HTTP/1.1\r\n"] {
            said.extend_from_slice(part.as_bytes());
        }
        self.write(&mut OnWire(&mut said), caller, to, body)?;
        said.extend_from_slice(b"\r\n");
        said.extend_from_slice(body.whole());
        Some(said.split().freeze())
    }

    fn absolute(&self, to: Addressee<'_>) -> Option<Uri> {
        let authority =
            if to.preserve_host { self.host.parse().ok()? } else { to.authority.clone() };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if to.https { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
        parts.path_and_query = Some(self.target.clone());
        Uri::from_parts(parts).ok()
    }

    pub(crate) fn http_method(&self) -> http::Method {
        match self.method {
            Method::Get => http::Method::GET,
            Method::Head => http::Method::HEAD,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Patch => http::Method::PATCH,
            Method::Delete => http::Method::DELETE,
        }
    }

    /// None only if a value cannot stand in a header.
    pub(crate) fn headers(
        &self,
        caller: &Parts,
        to: Addressee<'_>,
        body: &Outgoing,
    ) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(caller.headers.len() + 12 + to.headers.len());
        let mut said = to.said.borrow_mut();
        self.write(&mut InMap { headers: &mut headers, said: &mut said }, caller, to, body)?;
        Some(headers)
    }

    fn write(
        &self,
        lines: &mut impl Lines,
        caller: &Parts,
        to: Addressee<'_>,
        body: &Outgoing,
    ) -> Option<()> {
        // First on the wire, as RFC 9110 wishes it.
        if to.version != Version::HTTP_2 {
            if to.preserve_host {
                lines.pass(&header::HOST, &HeaderValue::from_str(self.host).ok()?);
            } else {
                lines.pass(&header::HOST, to.host);
            }
        }
        self.pass_on(lines, caller, to);
        self.write_identity(lines)?;
        for (name, value) in to.headers {
            lines.pass(name, value);
        }
        self.write_framing(lines, to, body)
    }

    fn pass_on(&self, lines: &mut impl Lines, caller: &Parts, to: Addressee<'_>) {
        // Most heads have none of these, and one look at all names costs less than looking for each.
        let (mut connection, mut cookie, mut trace) = (false, false, false);
        for name in caller.headers.keys() {
            connection |= *name == header::CONNECTION;
            cookie |= *name == header::COOKIE;
            trace |= *name == names::TRACEPARENT;
        }
        let named = if connection { Named::read(&caller.headers) } else { None };
        let sent = if trace { caller.headers.get(names::TRACEPARENT) } else { None };
        let traced = sent.is_some_and(|sent| sent.as_bytes() == self.trace.as_bytes());
        let joined = if cookie { joined_cookies(&caller.headers, to.version) } else { None };
        for (name, value) in &caller.headers {
            let is_told_otherwise = joined.is_some() && *name == header::COOKIE;
            if is_told_otherwise || named.as_ref().is_some_and(|named| named.contains(name)) {
                continue;
            }
            if !stays_here(name, self.credentials, to.headers)
                || (traced && *name == names::TRACESTATE)
            {
                lines.pass(name, value);
            }
        }
        if let Some(joined) = joined
            && !named.is_some_and(|named| named.contains(&header::COOKIE))
        {
            lines.pass(&header::COOKIE, &joined);
        }
    }

    fn write_identity(&self, lines: &mut impl Lines) -> Option<()> {
        let mut text = |name, value: &str| lines.say(name, |out| encoded(out, value));
        if let Some(caller) = self.caller {
            text(names::PRACTICE, &caller.practice)?;
            text(names::KEY_ID, &caller.key_id)?;
            text(names::KEY_OWNER, &caller.owner)?;
            if let Some(vendor) = &caller.vendor {
                text(names::VENDOR, vendor)?;
            }
            lines.say(names::SCOPES, |out| scopes(out, &self.scopes))?;
        }
        lines.say(names::REQUEST_ID, |out| out.extend_from_slice(&self.request_id.digits()))?;
        lines.say(names::FORWARDED_FOR, |out| address(out, self.client))?;
        lines.say(names::FORWARDED_HOST, |out| encoded(out, self.host))?;
        lines.say(names::TRACEPARENT, |out| out.extend_from_slice(self.trace.as_bytes()))?;
        let scheme = if self.https { "https" } else { "http" };
        lines.say(names::FORWARDED_PROTO, |out| out.extend_from_slice(scheme.as_bytes()))
    }

    /// From the body itself. HTTP/2 frames what has no length.
    fn write_framing(
        &self,
        lines: &mut impl Lines,
        to: Addressee<'_>,
        body: &Outgoing,
    ) -> Option<()> {
        let usually_has_body = matches!(self.method, Method::Post | Method::Put | Method::Patch);
        match body.content_length() {
            Some(0) if body.is_empty() && !usually_has_body => Some(()),
            Some(length) => lines.say(header::CONTENT_LENGTH, |out| {
                out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            }),
            None if to.version == Version::HTTP_2 => Some(()),
            None => lines.say(header::TRANSFER_ENCODING, |out| out.extend_from_slice(b"chunked")),
        }
    }
}

/// Under HTTP/2 cookies may come in several lines; HTTP/1.1 has one (RFC 9113, 8.2.3). None where they are as they should be.
fn joined_cookies(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let several = lines.next().is_some() && lines.next().is_some();
    if version == Version::HTTP_2 || !several {
        return None;
    }
    let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    HeaderValue::from_bytes(&lines.collect::<Vec<_>>().join(b"; ".as_slice())).ok()
}

/// What a head usually needs; a block holds those of many.
const USUAL: usize = 2 * 1024;
const BLOCK: usize = 32 * 1024;

fn scopes(out: &mut BytesMut, scopes: &[(&str, Access)]) {
    for (position, (scope, access)) in scopes.iter().enumerate() {
        if position > 0 {
            out.put_u8(b' ');
        }
        encoded(out, scope);
        out.put_u8(b':');
        out.extend_from_slice(access.need().as_bytes());
    }
}

fn address(out: &mut BytesMut, client: IpAddr) {
    match client {
        // By hand, because the formatting of the library costs as much as finding the route.
        IpAddr::V4(address) => {
            for (position, octet) in address.octets().into_iter().enumerate() {
                if position > 0 {
                    out.put_u8(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(address) => {
            // A buffer that grows takes everything.
            let _never_fails = write!(out, "{address}");
        }
    }
}

/// Names from a configuration may hold any character; `%` is encoded too, so that no two read the same.
fn encoded(out: &mut BytesMut, value: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    // To the end, whatever comes: many bytes are looked at in one step then.
    if value.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        return out.extend_from_slice(value.as_bytes());
    }
    for byte in value.bytes() {
        if is_plain(byte) {
            out.put_u8(byte);
        } else {
            let digit = |four: u8| DIGITS.get(usize::from(four)).copied().unwrap_or(b'0');
            out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
