//! Who may do what: the one place that says it.
//!
//! Every endpoint names its [`Right`]; the way to every handler leads through [`admit`], which holds the role against it
//! and the practice of the path (or of the key in the path) against the caller's. A practice admin who asks for what
//! another practice has is told what it would be told of something that does not exist.

use crate::admin::problem::Problem;
use crate::model::{Actor, PlainKey, PracticeId, Role, Username};
use crate::registry::operation::Proof;

/// What an endpoint asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// To see: everybody, a practice admin only what is of its practice.
    See,
    /// To see what is of no practice.
    SeeAll,
    /// To change what a practice manages itself: operators, and the admins of that practice.
    Manage,
    /// To change the rest: operators.
    Operate,
}

impl Right {
    /// The roles that have it, as the contract names them.
    pub(super) fn roles(self) -> &'static [&'static str] {
        match self {
            Self::See => &["operator", "practice-admin", "auditor"],
            Self::SeeAll => &["operator", "auditor"],
            Self::Manage => &["operator", "practice-admin"],
            Self::Operate => &["operator"],
        }
    }

    fn is_of(self, role: &Role) -> bool {
        self.roles().contains(&role.name())
    }
}

/// An administrator whose credentials were found good for this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) actor: Actor,
    pub(super) role: Role,
    /// By what it was recognised: whoever decides asks again.
    pub(super) proof: Proof,
    /// For a session: what its changes must carry.
    pub(super) csrf: Option<PlainKey>,
}

impl Who {
    pub(super) fn username(&self) -> &Username {
        &self.actor.username
    }

    /// The only practice that it sees; None: all of them.
    pub(super) fn confined_to(&self) -> Option<&PracticeId> {
        self.role.practice()
    }

    pub(super) fn sees(&self, practice: &PracticeId) -> bool {
        self.confined_to().is_none_or(|own| own == practice)
    }
}

/// What a path names, and the practice that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) what: &'static str,
    pub(super) id: &'a str,
    /// None where there is no such thing.
    pub(super) practice: Option<&'a PracticeId>,
}

/// The role first, so that an endpoint which is not for it tells nothing of what there is; then the practice.
pub(super) fn admit(who: &Who, right: Right, named: Option<Named<'_>>) -> Result<(), Problem> {
    if !right.is_of(&who.role) {
        let roles = right.roles().join(" and ");
        let detail = format!("This is for {roles}, and you are {}.", who.role.name());
        return Err(Problem::forbidden(detail));
    }
    match named {
        Some(Named { what, id, practice })
            if !practice.is_some_and(|practice| who.sees(practice)) =>
        {
            Err(Problem::unknown(what, id))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyDigest;

    fn who(role: Role) -> Who {
        let username = Username::parse("lee").unwrap();
        let proof = Proof::Token(KeyDigest([0; 32]));
        Who { actor: Actor { username, address: None }, role, proof, csrf: None }
    }

    fn practice(id: &str) -> PracticeId {
        PracticeId::parse(id).unwrap()
    }

    fn code(role: &Role, right: Right, of: Option<Option<&PracticeId>>) -> &'static str {
        let named = of.map(|practice| Named { what: "key", id: "k", practice });
        admit(&who(role.clone()), right, named).map_or_else(|problem| problem.code, |()| "ok")
    }

    #[test]
    fn the_table_of_roles_and_rights_is_this() {
        let own = practice("north");
        let roles = [Role::Operator, Role::PracticeAdmin(own.clone()), Role::Auditor];
        for (right, expected) in [
            (Right::See, ["ok", "ok", "ok"]),
            (Right::SeeAll, ["ok", "forbidden", "ok"]),
            (Right::Manage, ["ok", "ok", "forbidden"]),
            (Right::Operate, ["ok", "forbidden", "forbidden"]),
        ] {
            for (role, expected) in roles.iter().zip(expected) {
                assert_eq!(code(role, right, None), expected, "{right:?} {role:?}");
                assert_eq!(code(role, right, Some(Some(&own))), expected, "{right:?} {role:?}");
            }
        }
    }

    #[test]
    fn another_practice_and_nothing_are_told_apart_by_nobody() {
        let (own, other) = (practice("north"), practice("south"));
        let admin = Role::PracticeAdmin(own);
        let named = |practice| Some(Named { what: "key", id: "k", practice });
        for right in [Right::See, Right::Manage] {
            let foreign = admit(&who(admin.clone()), right, named(Some(&other)));
            assert_eq!(foreign, admit(&who(admin.clone()), right, named(None)));
            assert_eq!(foreign.unwrap_err().code, "not_found");
            assert_eq!(code(&Role::Operator, right, Some(Some(&other))), "ok");
            assert_eq!(code(&Role::Operator, right, Some(None)), "not_found");
        }
        // What is not for the role is told first.
        assert_eq!(code(&admin, Right::Operate, Some(Some(&other))), "forbidden");
    }
}
