//! `/login` and `/logout`: a form without a script.
//!
//! A right password makes a new session with a cookie that nobody knew before; one that the browser brought along ends.
//! A wrong password and an unknown name get the same answer after the same work.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{LOCATION, RETRY_AFTER, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use zeroize::Zeroize as _;

use crate::admin::desk::Desk;
use crate::admin::endpoint::{MAX_FORM, collect, is_media_type};
use crate::admin::field;
use crate::admin::listener::Peer;
use crate::admin::page::escaped;
use crate::admin::passwords::Passwords;
use crate::admin::problem::Problem;
use crate::admin::sign_in::{Cookie, guard, is_same, peer};
use crate::admin::throttle::{Attempt, Throttle};
use crate::model::{Actor, Administrator, PlainKey, Timestamp, Username};
use crate::registry::RegistryError;
use crate::registry::operation::Rejection;
use crate::registry::operation::administrators::{SignIn, SignOut};
use crate::vault::{self, Purpose};

/// Of the longest day at a desk; whoever comes back tomorrow signs in again.
const SESSION: Duration = Duration::from_secs(12 * 3600);
const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) async fn show(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    page(&desk, &parts, StatusCode::OK, "").unwrap_or_else(IntoResponse::into_response)
}

/// The form, with a token that is bound to a cookie.
fn page(desk: &Desk, parts: &Parts, status: StatusCode, said: &str) -> Result<Response, Problem> {
    let https = peer(parts)?.https;
    let vault = desk.registry().vault();
    let brought = Cookie::Form.of(&parts.headers, https).filter(|value| value.len() <= 200);
    let nonce = match brought {
        Some(value) => value.to_owned(),
        None => vault.mint_token(Purpose::Session)?.1.reveal().to_owned(),
    };
    let said = if said.is_empty() {
        String::new()
    } else {
        format!("<p role=\"alert\">{}</p>", escaped(said))
    };
    let html = include_str!("../login.html")
        .replace("{{said}}", &said)
        .replace("{{csrf}}", &guard(vault, "form", &nonce));
    let mut response = (status, Html(html)).into_response();
    set_cookie(response.headers_mut(), Cookie::Form, https, &nonce, None);
    Ok(response)
}

fn set_cookie(
    headers: &mut HeaderMap,
    cookie: Cookie,
    https: bool,
    value: &str,
    seconds: Option<u64>,
) {
    let secure = if https { "; Secure" } else { "" };
    let age = seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    let name = cookie.name(https);
    let text = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/{secure}{age}");
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        headers.append(SET_COOKIE, value);
    }
}

/// What the form sent.
#[derive(Default)]
struct Sent {
    username: String,
    password: Option<PlainKey>,
    csrf: String,
}

impl Sent {
    /// There may be a password in the body: it is wiped.
    fn take(body: Bytes) -> Self {
        let sent = Self::read(&body);
        if let Ok(mut body) = body.try_into_mut() {
            body.zeroize();
        }
        sent
    }

    fn read(bytes: &[u8]) -> Self {
        let mut sent = Self::default();
        for (name, value) in field::form(&String::from_utf8_lossy(bytes)) {
            match name.as_str() {
                "username" => sent.username = value,
                "password" => sent.password = Some(PlainKey::new(value)),
                "csrf" => sent.csrf = value,
                _ => {}
            }
        }
        sent
    }
}

pub(crate) async fn sign_in(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let tried = async {
        let peer = peer(&parts)?;
        if !is_media_type(&parts.headers, &[FORM]) {
            return Err(Problem::media_type(FORM));
        }
        let sent = Sent::take(collect(&parts, body, MAX_FORM).await?);
        let nonce = Cookie::Form.of(&parts.headers, peer.https).unwrap_or_default();
        let expected = guard(desk.registry().vault(), "form", nonce);
        if nonce.is_empty() || !is_same(&sent.csrf, &expected) {
            return Err(Problem::forbidden("The form was too old, or cookies are off. Try again."));
        }
        enter(&desk, peer, &parts, sent).await
    };
    match tried.await {
        Ok(response) => response,
        Err(problem) => refused(&desk, &parts, problem),
    }
}

/// The form again, with what was wrong.
fn refused(desk: &Desk, parts: &Parts, problem: Problem) -> Response {
    let shown = page(desk, parts, problem.status(), problem.detail());
    let Ok(mut response) = shown else { return problem.into_response() };
    if let Some(seconds) = problem.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn enter(desk: &Desk, peer: Peer, parts: &Parts, sent: Sent) -> Result<Response, Problem> {
    let registry = desk.registry();
    let (source, now) = (peer.source(), registry.now());
    // A name that nobody can have is counted and worked on like any other.
    let counted: String = sent.username.chars().take(128).collect();
    let username = Username::parse(&sent.username).ok();
    let known = username.and_then(|username| {
        registry.read(|records| records.admin(&username).map(|admin| admin.value.clone()))
    });
    let password = sent.password.unwrap_or_else(|| PlainKey::new(String::new()));
    let checked = known.clone();
    let work = move || {
        let secret = password.reveal().as_bytes();
        match &checked {
            Some(admin) => vault::verify(&admin.password, secret),
            None => {
                vault::verify_nobody(secret);
                false
            }
        }
    };
    let begun = (&*counted, source, now);
    let (attempt, is_right) = attempt(&desk.throttle, &desk.passwords, begun, work).await?;
    let admin = known.filter(|_| is_right);
    let entered = match &admin {
        Some(admin) => begin_session(desk, peer, parts, admin).await,
        None => Ok(None),
    };
    match entered {
        Ok(Some(response)) => {
            desk.throttle.succeeded(attempt, now);
            Ok(response)
        }
        Ok(None) => {
            tracing::warn!(%source, "a sign-in failed");
            Err(Problem::wrong_password())
        }
        Err(problem) => {
            desk.throttle.take_back(&attempt, now);
            Err(problem)
        }
    }
}

/// Looks at a password when that is its turn: a mistake until something else is said of the attempt.
async fn attempt(
    throttle: &Throttle,
    passwords: &Passwords,
    (name, source, now): (&str, IpAddr, Timestamp),
    work: impl FnOnce() -> bool + Send + 'static,
) -> Result<(Attempt, bool), Problem> {
    let attempt = throttle.begin(name, source, now).map_err(|wait| {
        tracing::warn!(%source, "a sign-in was made to wait");
        let seconds = wait.as_millis().div_ceil(1000);
        Problem::too_many_attempts(u64::try_from(seconds).unwrap_or(u64::MAX))
    })?;
    match passwords.work(work).await {
        Ok(is_right) => Ok((attempt, is_right)),
        Err(problem) => {
            throttle.take_back(&attempt, now);
            Err(problem)
        }
    }
}

/// For an administrator whose password was right. None: dismissed, or given another password, while it was checked.
async fn begin_session(
    desk: &Desk,
    peer: Peer,
    parts: &Parts,
    admin: &Administrator,
) -> Result<Option<Response>, Problem> {
    let registry = desk.registry();
    let username = admin.username.clone();
    let actor = Actor { username: username.clone(), address: Some(peer.address) };
    leave_session(desk, &actor, parts, peer).await?;
    let (id, cookie, digest) = registry.vault().mint_token(Purpose::Session)?;
    let expires_at = registry.now().after(SESSION);
    let sign_in = SignIn { username, epoch: admin.epoch, id, digest, expires_at };
    match registry.execute(&actor, sign_in).await {
        Ok(_) => {}
        Err(RegistryError::Rejected(Rejection::NotFound { .. })) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut response = redirect("/");
    let headers = response.headers_mut();
    set_cookie(headers, Cookie::Session, peer.https, cookie.reveal(), Some(SESSION.as_secs()));
    set_cookie(headers, Cookie::Form, peer.https, "", Some(0));
    Ok(Some(response))
}

/// Ends the session whose cookie the browser brought, if it is one.
async fn leave_session(
    desk: &Desk,
    actor: &Actor,
    parts: &Parts,
    peer: Peer,
) -> Result<(), Problem> {
    let registry = desk.registry();
    let Some(cookie) = Cookie::Session.of(&parts.headers, peer.https) else { return Ok(()) };
    let digest = registry.vault().digest(Purpose::Session, cookie.as_bytes());
    if registry.read(|records| records.session(&digest).is_some()) {
        registry.execute(actor, SignOut { digest }).await?;
    }
    Ok(())
}

fn redirect(to: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
}

/// Takes the session's CSRF token from the form or from the header that the API wants.
pub(crate) async fn sign_out(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let tried = async {
        let peer = peer(&parts)?;
        let Ok(who) = super::identify(&desk, &parts) else { return Ok(redirect("/login")) };
        if super::check_csrf(&who, &parts.headers).is_err() {
            let sent = Sent::take(collect(&parts, body, MAX_FORM).await?);
            let expected = who.csrf.as_ref().map(PlainKey::reveal).unwrap_or_default();
            if !is_same(&sent.csrf, expected) {
                return Err(Problem::csrf());
            }
        }
        leave_session(&desk, &who.actor, &parts, peer).await?;
        let mut response = redirect("/login");
        set_cookie(response.headers_mut(), Cookie::Session, peer.https, "", Some(0));
        Ok(response)
    };
    tried.await.unwrap_or_else(IntoResponse::into_response)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn where_too_many_are_checked_nobody_made_a_mistake() {
        let (throttle, passwords) = (Throttle::default(), Arc::new(Passwords::default()));
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let mut running = tokio::task::JoinSet::new();
        let begun = ("lee", IpAddr::from([192, 0, 2, 7]), Timestamp::from_micros(0));
        // Far more than there are places: those that find none end at once.
        for _ in 0..40 {
            let (work, gate) = (Arc::clone(&passwords), Arc::clone(&gate));
            running.spawn(async move {
                drop(work.work(move || gate.lock().unwrap().recv().is_ok()).await);
            });
        }
        tokio::task::yield_now().await;
        for _ in 0..100 {
            let again = attempt(&throttle, &passwords, begun, || false).await;
            assert_eq!(again.unwrap_err().code, "overloaded", "and never too_many_attempts");
        }
        drop(release);
        while running.join_next().await.is_some() {}
        let (_, is_right) = attempt(&throttle, &passwords, begun, || true).await.unwrap();
        assert!(is_right);
    }
}
