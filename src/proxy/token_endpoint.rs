//! Where OAuth2 clients get their tokens, and give them back: `credentials.token_path`, `/oauth2/token` by default, and
//! its sibling `/oauth2/revoke`.
//!
//! Only where the scheme `oauth2` is configured. Answers and errors are those of RFC 6749, 5.1 and 5.2: JSON that nobody
//! keeps. A wrong client takes the way of every wrong key, and learns one thing. Revoking answers 200 whatever became of
//! the token (RFC 7009), except that nobody revokes another client's.
//!
//! A body may take its time, and so may a key's first verification. What is said of keys is judged by the moment after each
//! of them and never by the one at which the request came: a revocation in between holds.

use std::cell::{Cell, OnceCell};
use std::net::IpAddr;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Response};
use http_body::Body;
use http_body_util::BodyExt;
use zeroize::Zeroizing;

use crate::auth::credential::{Claim, Credential, Presented};
use crate::auth::oauth::{self, Client, Fault, Form};
use crate::auth::verifier::Lookup;
use crate::config::{Config, VendorKeyRule};
use crate::model::{Actor, Caller, KeyId, Method, Refusal, RequestId, Timestamp, Username};
use crate::policy::Target;
use crate::proxy::body::{BodyFault, ResponseBody};
use crate::proxy::facts::Known;
use crate::proxy::respond;
use crate::proxy::worker::{Lent, Worker};
use crate::registry::RegistryError;
use crate::registry::operation::keys::KillToken;
use crate::registry::view::Identity;
use crate::vault::{AccessToken, VaultError};

/// The most that a body may have.
pub(crate) const MAX_BODY: u64 = 8 << 10;

/// A request for one of the two, and all that it is judged by.
#[derive(Debug)]
pub(crate) struct TokenRequest<'r> {
    /// Of the moment at which it came: says what is read of it, and nothing of keys.
    pub(crate) config: &'r Config,
    pub(crate) worker: &'r Worker,
    pub(crate) method: Method,
    pub(crate) target: &'r Target<'r>,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) client: IpAddr,
    pub(crate) id: RequestId,
    /// For its record: who is found to be calling, and what was wrong.
    pub(crate) known: &'r OnceCell<Known>,
    pub(crate) fault: &'r Cell<&'static str>,
}

/// What keys are judged by, once: all that is read of it belongs together.
struct Moment {
    snapshot: Lent,
    now: Timestamp,
}

/// What is answered; `respond::token` gives it its status.
#[derive(Debug)]
pub(crate) enum TokenReply {
    Granted(String),
    Revoked,
    Refused(Fault),
}

/// Whether the request is for here, whatever its method is.
pub(crate) fn answers(config: &Config, _method: Method, path: &str) -> bool {
    let credentials = &config.credentials;
    credentials.schemes.oauth2
        && (path == credentials.token_path || is_revocation(&credentials.token_path, path))
}

/// How records name it: configured paths have no secret in them, and there are two.
pub(crate) fn path(config: &Config, path: &str) -> &'static str {
    if is_revocation(&config.credentials.token_path, path) {
        "oauth2 revoke"
    } else {
        "oauth2 token"
    }
}

/// Beside `/oauth2/token` it is `/oauth2/revoke`.
fn is_revocation(token_path: &str, path: &str) -> bool {
    let parent = token_path.rsplit_once('/').map_or("", |(parent, _)| parent);
    path != token_path && path.strip_prefix(parent) == Some("/revoke")
}

/// The answer, also where it is an error of OAuth2; a refusal where nothing could be said of the request. The body must be
/// bounded to [`MAX_BODY`].
pub(crate) async fn answer<B>(
    request: TokenRequest<'_>,
    body: B,
) -> Result<Response<ResponseBody>, Refusal>
where
    B: Body<Data = Bytes, Error = BodyFault>,
{
    // Refuses credentials in the query, before anything else is said.
    Presented::read(&request.config.credentials, &HeaderMap::new(), request.target)?;
    let reply = match request.reply(body).await {
        Ok(reply) => reply,
        Err(Obstacle::Fault(fault)) => {
            request.fault.set(fault.code());
            TokenReply::Refused(fault)
        }
        Err(Obstacle::Refusal(refusal)) => return Err(refusal),
    };
    Ok(respond::token(reply, request.id))
}

/// What ends a request early: an error of OAuth2, or one of the gateway.
enum Obstacle {
    Fault(Fault),
    Refusal(Refusal),
}

impl From<Fault> for Obstacle {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl TokenRequest<'_> {
    /// The moment of now. What was revoked elsewhere may not be known here after too long without the store.
    fn moment(&self) -> Result<Moment, Refusal> {
        let snapshot = self.worker.current();
        let staleness = self.worker.keys.registry.staleness();
        if staleness > snapshot.config.proxy.max_staleness {
            return Err(Refusal::RegistryStale);
        }
        Ok(Moment { snapshot, now: self.worker.clock.now() })
    }

    async fn reply<B>(&self, body: B) -> Result<TokenReply, Obstacle>
    where
        B: Body<Data = Bytes, Error = BodyFault>,
    {
        if self.method != Method::Post {
            return Err(Fault::InvalidRequest("Use POST.").into());
        }
        if self.target.query().is_some_and(|query| !query.is_empty()) {
            return Err(Fault::InvalidRequest("Parameters belong into the body.").into());
        }
        if !oauth::is_form(self.headers) {
            let expected = "The Content-Type is to be application/x-www-form-urlencoded.";
            return Err(Fault::InvalidRequest(expected).into());
        }
        let form = Form::read(&collect(body).await?)?;
        let subscriber_header = &self.config.credentials.subscriber_header;
        let client = Client::read(self.headers, &form, subscriber_header)?;
        if is_revocation(&self.config.credentials.token_path, self.target.path()) {
            return self.revoke(&client, &form).await;
        }
        match form.grant_type.as_deref() {
            Some("client_credentials") => {}
            Some(_) => return Err(Fault::UnsupportedGrantType.into()),
            None => return Err(Fault::InvalidRequest("The grant_type is missing.").into()),
        }
        let identity = self.authenticate(&client).await?;
        self.grant(&self.moment()?, &identity, &form)
    }

    /// The key that the client is. Each reading of its secret is looked for in the way of every key.
    async fn authenticate(&self, client: &Client) -> Result<Identity, Obstacle> {
        for secret in client.secrets() {
            let claim = Claim::Id(client.id());
            let presented = Presented {
                subscriber: Some(Credential::Key { secret, claim }),
                vendor: None,
                vendor_key: VendorKeyRule::Off,
            };
            match self.identify(&presented).await {
                Err(Refusal::InvalidCredentials) => {}
                Err(refusal) => return Err(refusal.into()),
                Ok(identity) => return Ok(identity),
            }
        }
        Err(oauth::WRONG_CLIENT.into())
    }

    async fn identify(&self, presented: &Presented<'_>) -> Result<Identity, Refusal> {
        let look = || -> Result<Lookup, Refusal> {
            let Moment { snapshot, now } = self.moment()?;
            let (verifier, remembered) = (&self.worker.keys.verifier, &self.worker.remembered);
            Ok(verifier.look_up(remembered, &snapshot.view, presented, now))
        };
        let confirmation = match look()? {
            Lookup::Known(result) => return result,
            Lookup::FirstUse(confirmation) => confirmation,
        };
        confirmation.await?;
        match look()? {
            Lookup::Known(result) => result,
            Lookup::FirstUse(_) => Err(Refusal::Overloaded),
        }
    }

    fn grant(
        &self,
        moment: &Moment,
        identity: &Identity,
        form: &Form,
    ) -> Result<TokenReply, Obstacle> {
        let (config, view) = (&moment.snapshot.config, &moment.snapshot.view);
        let key = view.key_id(identity.key).ok_or(oauth::WRONG_CLIENT)?;
        let caller = self.standing(moment, identity, key)?;
        let catalogue = &config.policy.catalogue;
        let scope = form.scope.as_deref();
        let scope = scope.map(|scope| oauth::narrowed(scope, catalogue, &caller.grants));
        let scope = scope.transpose()?;
        let told = scope.clone().unwrap_or_else(|| view.scopes(&caller.grants));
        let latest = moment.now.after(config.credentials.token_ttl);
        let end_of_key = view.about(identity.key).and_then(|about| about.expires_at);
        let expires_at = end_of_key.map_or(latest, |end| end.min(latest));
        let vault = self.worker.keys.registry.vault();
        let token = vault
            .fresh_id()
            .and_then(|id| vault.issue_access_token(&AccessToken { id, key, expires_at, scope }));
        let token = token.map_err(|error| match error {
            VaultError::TokenTooLong => Obstacle::Fault(Fault::InvalidScope),
            error => {
                tracing::error!(%error, "an access token could not be made");
                Obstacle::Refusal(Refusal::Overloaded)
            }
        })?;
        let seconds = expires_at.since(moment.now).as_secs();
        Ok(TokenReply::Granted(oauth::granted(&token, seconds, &told)))
    }

    /// What the key may, if nothing stands against it here. A key that is bound to a vendor is judged with that vendor,
    /// which sends its own key with the token later.
    fn standing(&self, moment: &Moment, identity: &Identity, key: KeyId) -> Result<Caller, Fault> {
        let view = &moment.snapshot.view;
        let of_standing = |refusal: Refusal| Fault::of_standing(&refusal);
        let caller = view.by_key_id(key, moment.now).ok_or(oauth::WRONG_CLIENT)?;
        let caller = caller.map_err(of_standing)?;
        if !view.may_come_from(identity.key, self.client) {
            return Err(of_standing(Refusal::IpNotAllowed));
        }
        let objection = caller.objection.clone();
        let known = Known { caller: caller.clone(), identity: None };
        // Already there where a client's second reading is the right one.
        let _known_before = self.known.set(known);
        match objection {
            Some(refusal) => Err(of_standing(refusal)),
            None => Ok(caller),
        }
    }

    async fn revoke(&self, client: &Client, form: &Form) -> Result<TokenReply, Obstacle> {
        let Some(token) = &form.token else {
            return Err(Fault::InvalidRequest("The token is missing.").into());
        };
        let identity = self.authenticate(client).await?;
        let moment = self.moment()?;
        let vault = self.worker.keys.registry.vault();
        let Some(token) = vault.read_access_token(token.reveal().as_bytes()) else {
            return Ok(TokenReply::Revoked);
        };
        if moment.snapshot.view.key_id(identity.key) != Some(token.key) {
            let told = "The token was issued to another client.";
            return Err(Fault::UnauthorizedClient(told).into());
        }
        if token.expires_at > moment.now {
            self.kill(&token).await?;
        }
        Ok(TokenReply::Revoked)
    }

    async fn kill(&self, token: &AccessToken) -> Result<(), Refusal> {
        // The client itself: any id of a key could be a username.
        let username = Username::parse(token.key.as_str());
        let username = username.map_err(|_| Refusal::InvalidCredentials)?;
        let actor = Actor { username, address: Some(self.client) };
        let kill = KillToken { id: token.id, key: token.key, expires_at: token.expires_at };
        match self.worker.keys.registry.kill_token(actor, kill).await {
            Ok(()) => Ok(()),
            // Too many at once, or too many of this key: it may come again later.
            Err(RegistryError::Busy | RegistryError::Rejected(_)) => Err(Refusal::Overloaded),
            Err(error) => {
                tracing::warn!(%error, "an access token could not be revoked");
                Err(Refusal::RegistryStale)
            }
        }
    }
}

/// The whole body, wiped when dropped.
async fn collect<B>(body: B) -> Result<Zeroizing<Vec<u8>>, Refusal>
where
    B: Body<Data = Bytes, Error = BodyFault>,
{
    let collected = body.collect().await.map_err(|fault| match fault {
        BodyFault::TooLarge { limit } => Refusal::BodyTooLarge { limit },
        BodyFault::TooSlow => Refusal::RequestTimeout,
        BodyFault::Broken => Refusal::MalformedRequest("the body broke off"),
    })?;
    let mut whole = collected.aggregate();
    let mut bytes = Zeroizing::new(Vec::with_capacity(whole.remaining()));
    while whole.has_remaining() {
        let chunk = whole.chunk();
        bytes.extend_from_slice(chunk);
        let length = chunk.len();
        whole.advance(length);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocation_is_beside_the_token_path() {
        for (token_path, revocation) in
            [("/oauth2/token", "/oauth2/revoke"), ("/token", "/revoke"), ("/a/b/c", "/a/b/revoke")]
        {
            assert!(is_revocation(token_path, revocation), "{token_path}");
            assert!(!is_revocation(token_path, token_path));
        }
        for other in
            ["/revoke", "/oauth2/revoke/", "/oauth2/token/revoke", "/oauth2", "/oauth2revoke"]
        {
            assert!(!is_revocation("/oauth2/token", other), "{other}");
        }
        assert!(!is_revocation("/oauth2/revoke", "/oauth2/revoke"));
    }

    #[tokio::test]
    async fn a_body_is_collected_whole() {
        let body = http_body_util::Full::new(Bytes::from_static(b"a=b"));
        let body = body.map_err(|never| match never {});
        assert_eq!(&**collect(body).await.unwrap(), b"a=b");
    }
}
