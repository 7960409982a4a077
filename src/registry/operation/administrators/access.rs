//! How administrators get in: tokens for programs, sessions for browsers, and what is over being cleared away.

use serde_json::{Value, json};

use crate::model::{AdminToken, Deed, KeyDigest, KeyId, Session, Timestamp, Username};
use crate::registry::operation::field::Faults;
use crate::registry::operation::{Ground, Operation, Plan, Rejection, deed};
use crate::store::{DeadToken, Document};

const TOKENS_MAX: usize = 100;
const SESSIONS_MAX: usize = 20;
/// In microseconds: five minutes, far more than the clocks of nodes may differ.
const CLOCKS_DIFFER: i64 = 5 * 60 * 1_000_000;
const CLEARED_AT_ONCE: usize = 500;

#[derive(Clone, Debug)]
pub struct IssueToken {
    pub username: Username,
    pub id: KeyId,
    pub name: String,
    pub digest: KeyDigest,
    pub expires_at: Option<Timestamp>,
}
#[derive(Clone, Debug)]
pub struct RevokeToken {
    pub username: Username,
    pub id: KeyId,
}
/// Of an administrator's sessions only the newest are kept, and so the oldest may end with this.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub username: Username,
    /// Of the administrator whose password was found right: it may have another by now, or be another of the same name.
    pub epoch: u64,
    pub id: KeyId,
    pub digest: KeyDigest,
    pub expires_at: Timestamp,
}
#[derive(Clone, Debug)]
pub struct SignOut {
    pub digest: KeyDigest,
}
/// Sessions, tokens and dead access tokens whose time has been over for a while; not in the audit. Only some of many:
/// other nodes follow a small change, and load everything anew for a big one.
#[derive(Clone, Copy, Debug)]
pub struct ClearExpired;

impl Operation for IssueToken {
    type Output = AdminToken;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<AdminToken>, Rejection> {
        let (_, admin) = ground.admin(&self.username)?;
        let mut faults = Faults::default();
        let name = faults.name(&self.name);
        if let Some(end) = self.expires_at {
            faults.future("expires_at", end, ground.now);
        }
        let tokens = ground.records.tokens_of(&self.username);
        let held = tokens.filter(|kept| kept.value.expires_at.is_none_or(|end| end > ground.now));
        if held.count() >= TOKENS_MAX {
            let message = format!("`{}` has {TOKENS_MAX} tokens; revoke one first", self.username);
            faults.add("name", message);
        }
        faults.judge()?;
        let token = AdminToken {
            id: self.id,
            username: self.username.clone(),
            name,
            digest: self.digest,
            created_at: ground.now,
            expires_at: self.expires_at,
        };
        let deed = Deed { after: Some(told(&token)), ..deed::done("admin.token", &*admin) };
        Ok(Plan::put(Document::AdminToken(token.clone()), deed, token))
    }
}

impl Operation for RevokeToken {
    type Output = ();

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<()>, Rejection> {
        let (_, admin) = ground.admin(&self.username)?;
        let mut tokens = ground.records.tokens_of(&self.username);
        let token = tokens
            .find(|kept| kept.value.id == self.id)
            .map(|kept| AdminToken::clone(&kept.value))
            .ok_or_else(|| Rejection::missing("token", &self.id))?;
        let deed = Deed { before: Some(told(&token)), ..deed::done("admin.token_revoke", &*admin) };
        let id = Document::AdminToken(token).id();
        Ok(Plan { removes: vec![id], deeds: vec![deed], ..Plan::nothing(()) })
    }
}

impl Operation for SignIn {
    type Output = Session;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Session>, Rejection> {
        let (_, admin) = ground.admin(&self.username)?;
        if admin.epoch != self.epoch {
            return Err(Rejection::missing("administrator", &self.username));
        }
        let session = Session {
            id: self.id,
            username: self.username.clone(),
            epoch: admin.epoch,
            digest: self.digest,
            created_at: ground.now,
            expires_at: self.expires_at,
        };
        let mut others: Vec<Session> = ground
            .records
            .sessions_of(&self.username)
            .map(|kept| Session::clone(&kept.value))
            .collect();
        others.sort_by_key(|session| std::cmp::Reverse(session.created_at));
        let removes =
            others.into_iter().skip(SESSIONS_MAX - 1).map(|old| Document::Session(old).id());
        let removes = removes.collect();
        let deed = deed::done("admin.sign_in", &*admin);
        Ok(Plan { removes, ..Plan::put(Document::Session(session.clone()), deed, session) })
    }
}

impl Operation for SignOut {
    type Output = ();

    /// A session that is not there is over, which is what was asked for.
    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<()>, Rejection> {
        let Some(kept) = ground.records.session(&self.digest) else {
            return Ok(Plan::nothing(()));
        };
        let session = Session::clone(&kept.value);
        let (_, admin) = ground.admin(&session.username)?;
        let deed = deed::done("admin.sign_out", &*admin);
        let id = Document::Session(session).id();
        Ok(Plan { removes: vec![id], deeds: vec![deed], ..Plan::nothing(()) })
    }
}

impl Operation for ClearExpired {
    type Output = ();

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<()>, Rejection> {
        let (records, now) = (ground.records, over_before(ground.now));
        let tokens = records.tokens().map(|kept| &*kept.value);
        let tokens = tokens.filter(|token| token.expires_at.is_some_and(|end| end <= now));
        let sessions = records.sessions().map(|kept| &*kept.value);
        let sessions = sessions.filter(|session| session.expires_at <= now);
        let dead = records.dead_tokens().map(|kept| &*kept.value);
        let dead = dead.filter(|token| token.expires_at <= now);
        let removes = tokens
            .map(|token| Document::AdminToken(AdminToken::clone(token)).id())
            .chain(sessions.map(|session| Document::Session(Session::clone(session)).id()))
            .chain(dead.map(|token| Document::DeadToken(DeadToken::clone(token)).id()))
            .take(CLEARED_AT_ONCE)
            .collect();
        Ok(Plan { removes, ..Plan::nothing(()) })
    }
}

/// What ended by then is over on all nodes. A node whose clock is behind still takes an access token for good whose end
/// has come elsewhere, and must know that it is dead.
pub fn over_before(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_sub(CLOCKS_DIFFER))
}

fn told(token: &AdminToken) -> Value {
    json!({ "token": token.id, "name": token.name, "expires_at": token.expires_at })
}
