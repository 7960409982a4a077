//! Who is calling: an administrator's token, or the cookie of a browser that signed in.
//!
//! Both are looked up by a digest under the pepper and held against the registry at every request, so a role that
//! changed, an administrator who is gone and a token that was revoked count at once. The token that guards changes by
//! cookie against other sites (CSRF) is a digest of the cookie: it needs no place to be kept, and is gone with the session.

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use subtle::ConstantTimeEq as _;

use crate::admin::access::Who;
use crate::admin::desk::Desk;
use crate::admin::listener::Peer;
use crate::admin::problem::Problem;
use crate::model::{Actor, KeyDigest, PlainKey, hex};
use crate::registry::operation::Proof;
use crate::vault::{Purpose, Vault};

pub(super) mod form;

const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// The cookies, by their names with and without TLS. `__Host-` keeps other hosts of a domain from setting one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cookie {
    Session,
    /// Before there is a session: what the form's token is bound to.
    Form,
}

impl Cookie {
    pub(super) fn name(self, https: bool) -> &'static str {
        let under_tls = match self {
            Self::Session => "__Host-postern_session",
            Self::Form => "__Host-postern_login",
        };
        if https { under_tls } else { under_tls.trim_start_matches("__Host-") }
    }

    /// Its one value. Two of the name are none: one of them may be somebody else's.
    pub(super) fn of(self, headers: &HeaderMap, https: bool) -> Option<&str> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut values = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name(https))
            .map(|(_, value)| value);
        values.next().filter(|value| !value.is_empty() && values.next().is_none())
    }
}

/// The far end of the connection. The listener says it of every request.
pub(super) fn peer(parts: &Parts) -> Result<Peer, Problem> {
    let peer = parts.extensions.get::<Peer>().copied();
    peer.ok_or_else(|| Problem::internal(&"the listener did not say who is calling"))
}

/// `Authorization` decides where it is there; a cookie beside it is not looked at.
pub(super) fn identify(desk: &Desk, parts: &Parts) -> Result<Who, Problem> {
    let peer = peer(parts)?;
    let registry = desk.registry();
    let (vault, now) = (registry.vault(), registry.now());
    let (proof, csrf) = if parts.headers.contains_key(AUTHORIZATION) {
        let token = bearer(&parts.headers).ok_or_else(Problem::unauthorized)?;
        (Proof::Token(vault.digest(Purpose::AdminToken, token.as_bytes())), None)
    } else {
        let cookie = Cookie::Session.of(&parts.headers, peer.https);
        let cookie = cookie.ok_or_else(Problem::unauthorized)?;
        let csrf = PlainKey::new(guard(vault, "session", cookie));
        (Proof::Session(vault.digest(Purpose::Session, cookie.as_bytes())), Some(csrf))
    };
    let found = registry.read(|records| proof.holder(records, now));
    let (username, role) = found.ok_or_else(Problem::unauthorized)?;
    Ok(Who { actor: Actor { username, address: Some(peer.address) }, role, proof, csrf })
}

/// The one bearer token of a request; its scheme in any case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let text = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = text.split_once(' ')?;
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

/// A token bound to a cookie, for one use of it. What is digested begins with the use and so is no cookie of ours.
fn guard(vault: &Vault, of: &str, cookie: &str) -> String {
    let KeyDigest(bytes) = vault.digest(Purpose::Session, format!("csrf {of} {cookie}").as_bytes());
    hex::encode(&bytes)
}

fn is_same(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// A change by session says its CSRF token; a program with a token has no cookie that a browser could send for others.
pub(super) fn check_csrf(who: &Who, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(expected) = &who.csrf else { return Ok(()) };
    let mut values = headers.get_all(CSRF_HEADER).iter();
    let given = values.next().filter(|_| values.next().is_none());
    let given = given.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if is_same(given, expected.reveal()) { Ok(()) } else { Err(Problem::csrf()) }
}

/// Who is signed in in this browser, for pages.
pub(super) fn visitor(desk: &Desk, request: Request) -> Option<Who> {
    let (parts, _) = request.into_parts();
    identify(desk, &parts).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::model::{Role, Username};

    fn headers(name: &'static str, lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn exactly_one_bearer_token_is_read() {
        for (lines, expected) in [
            (&["Bearer abc"][..], Some("abc")),
            (&["bearer abc"], Some("abc")),
            (&["Bearer  abc"], None),
            (&["Bearer abc, Bearer abc"], None),
            (&["Bearer abc", "Bearer abc"], None),
            (&["Bearer\tabc"], None),
            (&["Bearer "], None),
            (&["Basic YTpi"], None),
            (&["abc"], None),
            (&[], None),
        ] {
            assert_eq!(bearer(&headers("authorization", lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_none() {
        for (lines, https, expected) in [
            (&["a=b; postern_session=x; c=d"][..], false, Some("x")),
            (&["a=b", "postern_session=x"], false, Some("x")),
            (&["postern_session=x; postern_session=x"], false, None),
            (&["postern_session=x", "postern_session=y"], false, None),
            (&["postern_session="], false, None),
            (&["Postern_Session=x"], false, None),
            (&["postern_session=x"], true, None),
            (&["__Host-postern_session=x; postern_session=y"], true, Some("x")),
            (&["__Host-postern_session=x"], false, None),
        ] {
            let headers = headers("cookie", lines);
            assert_eq!(Cookie::Session.of(&headers, https), expected, "{lines:?} {https}");
        }
    }

    #[test]
    fn a_change_by_session_needs_its_own_token() {
        let username = Username::parse("lee").unwrap();
        let actor = Actor { username, address: None };
        let proof = Proof::Token(KeyDigest([0; 32]));
        let by_token = Who { actor, role: Role::Operator, proof, csrf: None };
        let by_session = Who { csrf: Some(PlainKey::new("abc".to_owned())), ..by_token.clone() };
        assert!(check_csrf(&by_token, &HeaderMap::new()).is_ok());
        for (lines, expected) in [
            (&["abc"][..], true),
            (&["abd"], false),
            (&[""], false),
            (&[], false),
            (&["abc", "abc"], false),
        ] {
            let headers = headers("x-csrf-token", lines);
            assert_eq!(check_csrf(&by_session, &headers).is_ok(), expected, "{lines:?}");
        }
    }
}
