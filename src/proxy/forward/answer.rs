//! An upstream's answer made ready for the caller: hop-by-hop headers and trailers off, addresses turned, ours put in.

use std::future::poll_fn;
use std::task::Poll;

use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use http_body::Body as _;
use http_body_util::Full;
use smallvec::SmallVec;

use crate::model::{Refusal, RequestId};
use crate::proxy::body::ResponseBody;
use crate::proxy::body::response::UpstreamBody;
use crate::proxy::forward::names::{Named, REQUEST_ID};
use crate::proxy::forward::rewrite::Public;

/// A body this short is worth one look more, so that head and body leave in one write.
const SHORT: u64 = 16 * 1024;

/// What a header of an answer means to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// For one hop, or the gateway's own to say.
    Dropped,
    /// Holds addresses.
    Addressed,
    Ordinary,
}

fn kind(name: &HeaderName) -> Kind {
    match name.as_str().as_bytes() {
        b"connection"
        | b"keep-alive"
        | b"proxy-connection"
        | b"proxy-authenticate"
        | b"proxy-authentication-info"
        | b"te"
        | b"trailer"
        | b"transfer-encoding"
        | b"upgrade"
        | b"http2-settings"
        | b"x-request-id" => Kind::Dropped,
        b"location" | b"content-location" | b"link" => Kind::Addressed,
        _ => Kind::Ordinary,
    }
}

/// Makes the head the caller's; refuses one whose framing could be read in two ways.
pub(crate) fn tidy(
    parts: &mut Parts,
    public: Public<'_>,
    request_id: RequestId,
) -> Result<(), Refusal> {
    parts.version = Version::HTTP_11;
    let headers = &mut parts.headers;
    unify_length(headers);
    let (mut drops, mut addressed) = (false, false);
    for name in headers.keys() {
        let kind = kind(name);
        drops |= kind == Kind::Dropped;
        addressed |= kind == Kind::Addressed;
    }
    if drops {
        if !is_plainly_framed(headers) {
            return Err(Refusal::UpstreamProtocolError);
        }
        drop_hop_by_hop(headers);
    }
    if addressed {
        turn_addresses(headers, public);
    }
    // Asked only now: an upstream's `Connection` may have named the one it sent.
    if let header::Entry::Vacant(unsaid) = headers.entry(header::CACHE_CONTROL) {
        unsaid.insert(HeaderValue::from_static("no-store"));
    }
    if let Ok(id) = HeaderValue::from_bytes(&request_id.digits()) {
        headers.insert(REQUEST_ID, id);
    }
    Ok(())
}

/// `Transfer-Encoding` is `chunked` or absent, and never stands beside a length.
fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && !headers.contains_key(header::CONTENT_LENGTH)
        }
        (Some(_), Some(_)) => false,
    }
}

/// All lengths were found to be the same number; the caller gets it once, without leading zeros.
fn unify_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return };
    let digits = first.as_bytes();
    let plain = digits == b"0" || digits.first().is_some_and(|digit| (b'1'..=b'9').contains(digit));
    if plain && lengths.next().is_none() && digits.iter().all(u8::is_ascii_digit) {
        return;
    }
    let text = first.to_str().ok();
    let number = text.and_then(|text| text.split(',').next()?.trim().parse::<u64>().ok());
    match number {
        Some(number) => drop(headers.insert(header::CONTENT_LENGTH, HeaderValue::from(number))),
        None => drop(headers.remove(header::CONTENT_LENGTH)),
    }
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named = Named::read(headers);
    let goes = |name: &&HeaderName| {
        kind(name) == Kind::Dropped || named.as_ref().is_some_and(|named| named.contains(name))
    };
    let going: SmallVec<[HeaderName; 4]> = headers.keys().filter(goes).cloned().collect();
    drop(named);
    for name in going {
        headers.remove(name);
    }
}

fn turn_addresses(headers: &mut HeaderMap, public: Public<'_>) {
    for name in [header::LOCATION, header::CONTENT_LOCATION, header::LINK] {
        let header::Entry::Occupied(mut values) = headers.entry(&name) else { continue };
        for value in values.iter_mut() {
            let Ok(text) = value.to_str() else { continue };
            let turned =
                if name == header::LINK { public.link(text) } else { public.reference(text) };
            if turned != text
                && let Ok(turned) = HeaderValue::from_str(&turned)
            {
                *value = turned;
            }
        }
    }
}

/// The body as it comes. What of it has come already goes out with the head; a short one is given one turn to come.
pub(crate) async fn settle(mut body: UpstreamBody) -> Result<ResponseBody, Refusal> {
    if body.has_ended() {
        body.finish();
        return Ok(ResponseBody::empty());
    }
    let short = body.size_hint().exact().is_some_and(|length| length <= SHORT);
    if !look(&mut body).await? && short {
        tokio::task::yield_now().await;
        look(&mut body).await?;
    }
    Ok(match body.into_whole() {
        Ok(whole) => ResponseBody::Own(Full::new(whole)),
        Err(mut body) => {
            body.heard();
            ResponseBody::Upstream(Box::new(body))
        }
    })
}

/// Takes what is there without waiting; true if that was anything. Nothing was sent yet, so a broken body can be told.
async fn look(body: &mut UpstreamBody) -> Result<bool, Refusal> {
    poll_fn(|cx| {
        Poll::Ready(match body.poll_ahead(cx) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(_)) => Err(Refusal::UpstreamProtocolError),
            Poll::Pending => Ok(false),
        })
    })
    .await
}
