//! Administrators: who may manage the registry, and as what.
//!
//! There is always an operator once there was one: the last can be neither deleted nor given another role, so nobody locks
//! everybody out. A change of role or password ends the administrator's sessions; tokens stay, and are worth what the
//! administrator is worth at the moment.

use serde_json::json;

use crate::model::{Administrator, Role, SecretHash, Username};
use crate::registry::operation::field::Faults;
use crate::registry::operation::{Ground, IfMatch, Operation, Plan, Rejection, deed, unless_stale};
use crate::store::{Document, DocumentId};

mod access;

pub use access::{ClearExpired, IssueToken, RevokeToken, SignIn, SignOut, over_before};

/// Who did what the gateway does by itself, in the audit.
const RESERVED: &str = "postern";

#[derive(Clone, Debug)]
pub struct CreateAdmin {
    pub username: Username,
    pub role: Role,
    pub password: SecretHash,
}
/// Any change ends the sessions of the administrator.
#[derive(Clone, Debug)]
pub struct EditAdmin {
    pub username: Username,
    pub if_match: IfMatch,
    pub role: Option<Role>,
    pub password: Option<SecretHash>,
}
/// With its tokens and sessions.
#[derive(Clone, Debug)]
pub struct DeleteAdmin {
    pub username: Username,
    pub if_match: IfMatch,
}

impl Operation for CreateAdmin {
    type Output = Administrator;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Administrator>, Rejection> {
        let mut faults = Faults::default();
        check_role(&self.role, ground, &mut faults);
        check_username(&self.username, ground, &mut faults);
        faults.judge()?;
        if ground.records.admin(&self.username).is_some() {
            return Err(Rejection::duplicate("administrator", &self.username));
        }
        let admin = Administrator {
            username: self.username.clone(),
            role: self.role.clone(),
            password: self.password.clone(),
            epoch: first_epoch(ground),
            created_at: ground.now,
        };
        let deed = deed::created("admin.create", &admin);
        Ok(Plan::put(Document::Admin(admin.clone()), deed, admin))
    }
}

impl Operation for EditAdmin {
    type Output = Administrator;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Administrator>, Rejection> {
        let (revision, before) = ground.admin(&self.username)?;
        unless_stale(self.if_match, revision)?;
        let role = self.role.as_ref().unwrap_or(&before.role);
        let password = self.password.as_ref().unwrap_or(&before.password);
        if *role == before.role && *password == before.password {
            return Ok(Plan::nothing(Administrator::clone(&before)));
        }
        if *role != before.role {
            let mut faults = Faults::default();
            check_role(role, ground, &mut faults);
            faults.judge()?;
            if *role != Role::Operator {
                unless_last_operator(&before, ground)?;
            }
        }
        let admin = Administrator {
            role: role.clone(),
            password: password.clone(),
            epoch: before.epoch.saturating_add(1),
            ..Administrator::clone(&before)
        };
        let mut deed = deed::edited("admin.edit", &*before, &admin);
        if *password != before.password
            && let Some(after) = deed.after.as_mut()
        {
            after["password"] = json!("changed");
        }
        let removes = sessions_of(&self.username, ground);
        Ok(Plan { removes, ..Plan::put(Document::Admin(admin.clone()), deed, admin) })
    }
}

impl Operation for DeleteAdmin {
    type Output = ();

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<()>, Rejection> {
        let (revision, admin) = ground.admin(&self.username)?;
        unless_stale(self.if_match, revision)?;
        unless_last_operator(&admin, ground)?;
        let mut removes = vec![Document::Admin(Administrator::clone(&admin)).id()];
        let tokens = ground.records.tokens_of(&self.username);
        removes.extend(tokens.map(|kept| Document::AdminToken((*kept.value).clone()).id()));
        removes.extend(sessions_of(&self.username, ground));
        let deed = deed::removed("admin.delete", &*admin);
        Ok(Plan { puts: Vec::new(), removes, deeds: vec![deed], output: () })
    }
}

fn check_role(role: &Role, ground: &Ground<'_>, faults: &mut Faults) {
    if let Some(practice) = role.practice()
        && ground.records.practice(practice).is_none()
    {
        let practices = ground.records.practices(None);
        let known = practices.map(|kept| kept.value.id.as_str());
        faults.unknown("practice", "practice", practice.as_str(), known);
    }
}

/// Nobody is to be taken for another in the audit. A name that is there already is a duplicate, and no fault.
fn check_username(username: &Username, ground: &Ground<'_>, faults: &mut Faults) {
    let name = username.as_str();
    faults.unless_key("username", name);
    if name.eq_ignore_ascii_case(RESERVED) {
        faults.add("username", "is what the gateway calls itself in the audit; choose another");
    }
    let mut others = ground.records.admins(None).map(|kept| kept.value.username.as_str());
    if let Some(other) = others.find(|other| *other != name && other.eq_ignore_ascii_case(name)) {
        let message = format!("differs from `{other}` by upper and lower case alone");
        faults.add("username", message);
    }
}

fn unless_last_operator(admin: &Administrator, ground: &Ground<'_>) -> Result<(), Rejection> {
    let mut others = ground
        .records
        .admins(None)
        .filter(|kept| kept.value.role == Role::Operator && kept.value.username != admin.username);
    if admin.role == Role::Operator && others.next().is_none() {
        return Err(Rejection::LastOperator);
    }
    Ok(())
}

/// Later than that of anybody who had the name before, so that no session of theirs is taken for one of the new.
fn first_epoch(ground: &Ground<'_>) -> u64 {
    u64::try_from(ground.now.as_micros()).unwrap_or_default()
}

fn sessions_of(username: &Username, ground: &Ground<'_>) -> Vec<DocumentId> {
    let sessions = ground.records.sessions_of(username);
    sessions.map(|kept| Document::Session((*kept.value).clone()).id()).collect()
}
