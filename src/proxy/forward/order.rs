//! What is asked of the upstream: the judged facts of a request, and the head that is built from them.
//!
//! The head is made anew, header by header, from the judged target and from those of the caller's headers that may pass;
//! what the gateway says itself is written last, so that nothing a caller sends can stand beside it or take it away.

use std::cell::{RefCell, RefMut};
use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::{BufMut as _, BytesMut};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header};
use smallvec::SmallVec;

use crate::config::Credentials;
use crate::model::{Access, Caller, Method, Refusal, RequestId, TraceParent};
use crate::proxy::forward::names::{self, Named, stays_here};
use crate::proxy::upstream::outgoing::Outgoing;

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
    /// Where the values are written that the gateway says itself.
    pub(crate) said: &'a RefCell<BytesMut>,
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
    /// The whole request towards one endpoint.
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
        self.write_routing(&mut headers, to)?;
        self.copy_passing(&mut headers, caller, to);
        self.write_identity(&mut headers, to.said)?;
        for (name, value) in to.headers {
            headers.insert(name, value.clone());
        }
        self.write_framing(&mut headers, to, body);
        Some(headers)
    }

    /// `Host` stands first on the wire, as RFC 9110 wishes it.
    fn write_routing(&self, headers: &mut HeaderMap, to: Addressee<'_>) -> Option<()> {
        if to.version != Version::HTTP_2 {
            let own = to.preserve_host.then(|| HeaderValue::from_str(self.host).ok());
            headers.insert(header::HOST, own.unwrap_or_else(|| Some(to.host.clone()))?);
        }
        Some(())
    }

    fn copy_passing(&self, headers: &mut HeaderMap, caller: &Parts, to: Addressee<'_>) {
        let named = Named::read(&caller.headers);
        let traced = caller
            .headers
            .get(names::TRACEPARENT)
            .is_some_and(|sent| sent.as_bytes() == self.trace.as_bytes());
        for (name, value) in &caller.headers {
            if named.as_ref().is_some_and(|named| named.contains(name)) {
                continue;
            }
            if !stays_here(name, self.credentials, to.headers)
                || (traced && *name == names::TRACESTATE)
            {
                headers.append(name, value.clone());
            }
        }
        join_cookies(headers, to.version);
    }

    fn write_identity(&self, headers: &mut HeaderMap, said: &RefCell<BytesMut>) -> Option<()> {
        let mut said = Said::begin(said);
        if let Some(caller) = self.caller {
            said.text(names::PRACTICE, &caller.practice);
            said.text(names::KEY_ID, &caller.key_id);
            said.text(names::KEY_OWNER, &caller.owner);
            if let Some(vendor) = &caller.vendor {
                said.text(names::VENDOR, vendor);
            }
            said.scopes(&self.scopes);
        }
        said.bytes(names::REQUEST_ID, &self.request_id.digits());
        said.address(self.client);
        said.text(names::FORWARDED_HOST, self.host);
        said.bytes(names::TRACEPARENT, self.trace.as_bytes());
        said.write(headers)?;
        let scheme = if self.https { "https" } else { "http" };
        headers.insert(names::FORWARDED_PROTO, HeaderValue::from_static(scheme));
        Some(())
    }

    /// Known lengths are written by hyper from the body itself; only what it would leave out is said here.
    fn write_framing(&self, headers: &mut HeaderMap, to: Addressee<'_>, body: &Outgoing) {
        let usually_has_body = matches!(self.method, Method::Post | Method::Put | Method::Patch);
        if body.is_empty() {
            if usually_has_body {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        } else if let Some(length) = body.content_length() {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        } else if to.version != Version::HTTP_2 {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// Under HTTP/2 cookies may come in several lines; HTTP/1.1 has one (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap, version: Version) {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let several = lines.next().is_some() && lines.next().is_some();
    if version == Version::HTTP_2 || !several {
        return;
    }
    let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    let joined = lines.collect::<Vec<_>>().join(b"; ".as_slice());
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Values that the gateway writes, one after the other in a buffer that they share.
struct Said<'a> {
    text: RefMut<'a, BytesMut>,
    ends: SmallVec<[(HeaderName, usize); 10]>,
}

/// What the values of one request usually need; a block holds those of many.
const USUAL: usize = 512;
const BLOCK: usize = 16 * 1024;

impl<'a> Said<'a> {
    fn begin(said: &'a RefCell<BytesMut>) -> Self {
        let mut text = said.borrow_mut();
        text.clear();
        if text.capacity() < USUAL {
            text.reserve(BLOCK);
        }
        Self { text, ends: SmallVec::new() }
    }

    fn bytes(&mut self, name: HeaderName, value: &[u8]) {
        self.text.extend_from_slice(value);
        self.end(name);
    }

    fn text(&mut self, name: HeaderName, value: &str) {
        self.encoded(value);
        self.end(name);
    }

    fn scopes(&mut self, scopes: &[(&str, Access)]) {
        for (position, (scope, access)) in scopes.iter().enumerate() {
            if position > 0 {
                self.text.put_u8(b' ');
            }
            self.encoded(scope);
            self.text.put_u8(b':');
            self.text.extend_from_slice(access.need().as_bytes());
        }
        self.end(names::SCOPES);
    }

    fn address(&mut self, client: IpAddr) {
        match client {
            // By hand, because the formatting of the library costs as much as finding the route.
            IpAddr::V4(address) => {
                for (position, octet) in address.octets().into_iter().enumerate() {
                    if position > 0 {
                        self.text.put_u8(b'.');
                    }
                    self.decimal(octet);
                }
            }
            IpAddr::V6(address) => {
                if write!(self.text, "{address}").is_err() {
                    return;
                }
            }
        }
        self.end(names::FORWARDED_FOR);
    }

    fn decimal(&mut self, number: u8) {
        if number >= 100 {
            self.text.put_u8(b'0' + number / 100);
        }
        if number >= 10 {
            self.text.put_u8(b'0' + number / 10 % 10);
        }
        self.text.put_u8(b'0' + number % 10);
    }

    fn end(&mut self, name: HeaderName) {
        self.ends.push((name, self.text.len()));
    }

    /// Names from a configuration may hold any character; `%` is encoded too, so that no two read the same.
    fn encoded(&mut self, value: &str) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
        if value.bytes().all(is_plain) {
            return self.text.extend_from_slice(value.as_bytes());
        }
        for byte in value.bytes() {
            if is_plain(byte) {
                self.text.put_u8(byte);
            } else {
                let digit = |four: u8| DIGITS.get(usize::from(four)).copied().unwrap_or(b'0');
                self.text.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }

    fn write(mut self, headers: &mut HeaderMap) -> Option<()> {
        let text = self.text.split().freeze();
        let mut start = 0;
        for (name, end) in self.ends {
            let value = HeaderValue::from_maybe_shared(text.slice(start..end)).ok()?;
            headers.insert(name, value);
            start = end;
        }
        Some(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
