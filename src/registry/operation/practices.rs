//! Practices and their staff.

use crate::model::{Practice, PracticeId, StaffUser, Username};
use crate::registry::operation::field::{Faults, PLAN_CHARS_MAX};
use crate::registry::operation::{
    Ground, IfMatch, Operation, Patch, Plan, Rejection, deed, unless_stale,
};
use crate::store::Document;

#[derive(Clone, Debug)]
pub struct CreatePractice {
    pub id: PracticeId,
    pub name: String,
    pub region: Option<String>,
    pub api_access: bool,
    pub plan: Option<String>,
}
#[derive(Clone, Debug)]
pub struct EditPractice {
    pub id: PracticeId,
    pub if_match: IfMatch,
    pub name: Option<String>,
    pub region: Patch<String>,
    pub api_access: Option<bool>,
    pub plan: Patch<String>,
}
#[derive(Clone, Debug)]
pub struct CreateUser {
    pub practice: PracticeId,
    pub username: Username,
    pub name: String,
}
#[derive(Clone, Debug)]
pub struct EditUser {
    pub practice: PracticeId,
    pub username: Username,
    pub if_match: IfMatch,
    pub name: Option<String>,
}
/// Refused while the user owns keys that are not revoked.
#[derive(Clone, Debug)]
pub struct DeleteUser {
    pub practice: PracticeId,
    pub username: Username,
    pub if_match: IfMatch,
}

impl Operation for CreatePractice {
    type Output = Practice;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Practice>, Rejection> {
        let mut faults = Faults::default();
        let name = faults.name(&self.name);
        if let Some(region) = &self.region {
            faults.region(region, ground.terms);
        }
        let plan = self.plan.as_ref().map(|plan| faults.line("plan", plan, PLAN_CHARS_MAX));
        faults.judge()?;
        if ground.records.practice(&self.id).is_some() {
            return Err(Rejection::duplicate("practice", &self.id));
        }
        let practice = Practice {
            id: self.id.clone(),
            name,
            region: self.region.clone(),
            api_access: self.api_access,
            plan,
            created_at: ground.now,
        };
        let deed = deed::created("practice.create", &practice);
        Ok(Plan::put(Document::Practice(practice.clone()), deed, practice))
    }
}

impl Operation for EditPractice {
    type Output = Practice;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Practice>, Rejection> {
        let (revision, before) = ground.practice(&self.id)?;
        unless_stale(self.if_match, revision)?;
        let mut faults = Faults::default();
        let mut practice = Practice::clone(&before);
        if let Some(name) = self.name.as_ref().filter(|name| **name != before.name) {
            practice.name = faults.name(name);
        }
        match &self.region {
            Patch::Keep => {}
            Patch::Clear => practice.region = None,
            Patch::Set(region) => {
                if before.region.as_ref() != Some(region) {
                    faults.region(region, ground.terms);
                }
                practice.region = Some(region.clone());
            }
        }
        match &self.plan {
            Patch::Keep => {}
            Patch::Clear => practice.plan = None,
            Patch::Set(plan) if before.plan.as_ref() == Some(plan) => {}
            Patch::Set(plan) => practice.plan = Some(faults.line("plan", plan, PLAN_CHARS_MAX)),
        }
        practice.api_access = self.api_access.unwrap_or(before.api_access);
        faults.judge()?;
        if practice == *before {
            return Ok(Plan::nothing(practice));
        }
        let deed = deed::edited("practice.edit", &*before, &practice);
        Ok(Plan::put(Document::Practice(practice.clone()), deed, practice))
    }
}

impl Operation for CreateUser {
    type Output = StaffUser;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<StaffUser>, Rejection> {
        ground.practice(&self.practice)?;
        let mut faults = Faults::default();
        faults.unless_key("username", self.username.as_str());
        let name = faults.name(&self.name);
        faults.judge()?;
        if ground.records.user(&self.practice, &self.username).is_some() {
            return Err(Rejection::duplicate("staff user", &self.username));
        }
        let user = StaffUser {
            practice: self.practice.clone(),
            username: self.username.clone(),
            name,
            created_at: ground.now,
        };
        let deed = deed::created("user.create", &user);
        Ok(Plan::put(Document::User(user.clone()), deed, user))
    }
}

impl Operation for EditUser {
    type Output = StaffUser;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<StaffUser>, Rejection> {
        let (revision, before) = ground.user(&self.practice, &self.username)?;
        unless_stale(self.if_match, revision)?;
        let mut faults = Faults::default();
        let mut user = StaffUser::clone(&before);
        if let Some(name) = self.name.as_ref().filter(|name| **name != before.name) {
            user.name = faults.name(name);
        }
        faults.judge()?;
        if user == *before {
            return Ok(Plan::nothing(user));
        }
        let deed = deed::edited("user.edit", &*before, &user);
        Ok(Plan::put(Document::User(user.clone()), deed, user))
    }
}

impl Operation for DeleteUser {
    type Output = ();

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<()>, Rejection> {
        let (revision, user) = ground.user(&self.practice, &self.username)?;
        unless_stale(self.if_match, revision)?;
        let keys = ground.records.keys(&self.practice, None);
        let owned = keys
            .filter(|key| key.value.owner == self.username && key.value.revoked_at.is_none())
            .count();
        if owned > 0 {
            let keys = if owned == 1 { "key that is" } else { "keys that are" };
            return Err(Rejection::OwnerInUse(format!(
                "`{}` owns {owned} {keys} not revoked; revoke first, or keep the user",
                self.username
            )));
        }
        let deed = deed::removed("user.delete", &*user);
        let id = Document::User(StaffUser::clone(&user)).id();
        Ok(Plan { puts: Vec::new(), removes: vec![id], deeds: vec![deed], output: () })
    }
}
