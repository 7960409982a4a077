//! Administrators, their tokens and their sessions.

use super::*;
use crate::model::Session;
use crate::store::Document;

fn edit(name: &str) -> EditAdmin {
    EditAdmin { username: username(name), if_match: None, role: None, password: None }
}

fn delete(name: &str) -> DeleteAdmin {
    DeleteAdmin { username: username(name), if_match: None }
}

fn sign_in(world: &mut World, name: &str) -> Session {
    let (id, plain, digest) = VAULT.mint_token(Purpose::Session).unwrap();
    world.secrets.push(plain.reveal().to_owned());
    world.secrets.push(crate::model::hex::encode(&digest.0));
    let expires_at = world.now.after(DAY);
    let epoch = epoch(world, name);
    world.must(SignIn { username: username(name), epoch, id, digest, expires_at })
}

fn epoch(world: &World, name: &str) -> u64 {
    world.records.admin(&username(name)).unwrap().value.epoch
}

fn issue_token(world: &mut World, name: &str, expires_at: Option<Timestamp>) -> IssueToken {
    let (id, plain, digest) = VAULT.mint_token(Purpose::AdminToken).unwrap();
    world.secrets.push(plain.reveal().to_owned());
    world.secrets.push(crate::model::hex::encode(&digest.0));
    IssueToken { username: username(name), id, name: "Terraform".to_owned(), digest, expires_at }
}

fn with_admins() -> World {
    let mut world = World::furnished();
    world.secrets.extend((0..3).map(|number| password(number).0.to_string()));
    world.must(create_admin("root", Role::Operator));
    world.must(create_admin("eve", Role::Auditor));
    world
}

#[test]
fn the_last_operator_can_neither_go_nor_step_down() {
    let mut world = with_admins();
    let demotion = EditAdmin { role: Some(Role::Auditor), ..edit("root") };
    assert_eq!(world.refusal(demotion.clone()), Rejection::LastOperator);
    assert_eq!(world.refusal(delete("root")), Rejection::LastOperator);
    world.must(EditAdmin { password: Some(password(1)), ..edit("root") });
    world.must(create_admin("ann", Role::Operator));
    world.must(demotion);
    assert_eq!(world.refusal(delete("ann")), Rejection::LastOperator);
    world.must(EditAdmin { role: Some(Role::Operator), ..edit("eve") });
    world.must(delete("ann"));
}

#[test]
fn a_practice_admin_has_a_practice_that_is_there() {
    let mut world = with_admins();
    let lost = create_admin("pat", Role::PracticeAdmin(practice("nort")));
    assert_eq!(
        world.faults(lost),
        ["practice: there is no practice `nort`; did you mean `north`?"]
    );
    let lost = EditAdmin { role: Some(Role::PracticeAdmin(practice("x"))), ..edit("eve") };
    assert_eq!(world.faults(lost).len(), 1);
    world.must(create_admin("pat", Role::PracticeAdmin(practice("north"))));
    let deed = world.last_deed();
    let told = serde_json::json!({ "role": "practice-admin", "practice": "north" });
    assert_eq!((deed.object.as_str(), &deed.practice), ("admin/pat", &None));
    assert_eq!(deed.after, Some(told));
    let twice = create_admin("pat", Role::Auditor);
    assert!(matches!(world.refusal(twice), Rejection::Duplicate { what: "administrator", .. }));
}

#[test]
fn a_change_of_role_or_password_ends_the_sessions_and_nothing_else_does() {
    let mut world = with_admins();
    for change in [
        EditAdmin { password: Some(password(1)), ..edit("eve") },
        EditAdmin { role: Some(Role::PracticeAdmin(practice("north"))), ..edit("eve") },
    ] {
        let session = sign_in(&mut world, "eve");
        let others = sign_in(&mut world, "root");
        let epoch = session.epoch;
        let changed = world.must(change.clone());
        assert!(changed.epoch > epoch);
        assert!(world.records.session(&session.digest).is_none());
        assert!(world.records.session(&others.digest).is_some());
        let session = sign_in(&mut world, "eve");
        let changes = world.changes;
        assert_eq!(world.must(change), changed);
        assert_eq!(world.changes, changes);
        assert!(world.records.session(&session.digest).is_some());
    }
    let told = world.deeds.iter().rev().find(|deed| {
        &*deed.action == "admin.edit" && deed.after.as_ref().unwrap().get("password").is_some()
    });
    assert_eq!(told.unwrap().after, Some(serde_json::json!({ "password": "changed" })));
    let seen = Some(Position(1));
    assert_eq!(world.refusal(EditAdmin { if_match: seen, ..edit("eve") }), Rejection::Stale);
    assert_eq!(world.refusal(DeleteAdmin { if_match: seen, ..delete("eve") }), Rejection::Stale);
}

#[test]
fn who_is_deleted_leaves_no_way_in() {
    let mut world = with_admins();
    let session = sign_in(&mut world, "eve");
    let issue = issue_token(&mut world, "eve", None);
    let token = world.must(issue);
    let epoch = world.records.admin(&username("eve")).unwrap().value.epoch;
    world.must(delete("eve"));
    assert!(world.records.admin(&username("eve")).is_none());
    assert!(world.records.session(&session.digest).is_none());
    assert!(world.records.token(&token.digest).is_none());
    world.later(Duration::from_micros(1));
    let namesake = world.must(create_admin("eve", Role::Auditor));
    assert!(namesake.epoch > epoch, "a session of the old one could be taken for the new one's");
    let sign_in = SignIn {
        username: username("nobody"),
        epoch,
        id: session.id,
        digest: session.digest,
        expires_at: world.now.after(DAY),
    };
    assert!(matches!(world.refusal(sign_in.clone()), Rejection::NotFound { .. }));
    let with_the_old_password = SignIn { username: username("eve"), ..sign_in };
    assert!(matches!(world.refusal(with_the_old_password), Rejection::NotFound { .. }));
}

#[test]
fn a_password_that_was_changed_while_it_was_checked_lets_nobody_in() {
    let mut world = with_admins();
    let (id, _, digest) = VAULT.mint_token(Purpose::Session).unwrap();
    let expires_at = world.now.after(DAY);
    let late =
        SignIn { username: username("eve"), epoch: epoch(&world, "eve"), id, digest, expires_at };
    world.must(EditAdmin { password: Some(password(1)), ..edit("eve") });
    assert!(matches!(world.refusal(late.clone()), Rejection::NotFound { .. }));
    world.must(SignIn { epoch: epoch(&world, "eve"), ..late });
}

#[test]
fn nobody_is_named_like_another_or_like_the_gateway_or_like_a_key() {
    let mut world = with_admins();
    for name in ["postern", "Postern", "EVE", "pst_adm_0123456789ab"] {
        let faults = world.faults(create_admin(name, Role::Auditor));
        assert!(faults.len() == 1 && faults[0].starts_with("username: "), "{faults:?}");
        assert!(!faults[0].contains("pst_adm_"), "{faults:?}");
    }
    let twice = create_admin("eve", Role::Auditor);
    assert!(matches!(world.refusal(twice), Rejection::Duplicate { .. }));
}

#[test]
fn a_key_in_a_text_is_refused_and_not_repeated() {
    let mut world = with_admins();
    let name = "for pst_sub_0123456789ab_secret".to_owned();
    let faulty = IssueToken { name, ..issue_token(&mut world, "eve", None) };
    assert_eq!(world.faults(faulty), ["name: holds a key; keys do not belong in text"]);
}

#[test]
fn tokens_have_names_ends_and_a_number() {
    let mut world = with_admins();
    let past = Some(world.now);
    let faulty = IssueToken { name: "\n".to_owned(), ..issue_token(&mut world, "eve", past) };
    let faults = world.faults(faulty);
    assert!(faults[0].starts_with("name: ") && faults[1].starts_with("expires_at: "), "{faults:?}");
    let soon = Some(world.now.after(HOUR));
    let first = issue_token(&mut world, "eve", soon);
    let first = world.must(first);
    assert_eq!(
        (&*world.last_deed().action, world.last_deed().object.as_str()),
        ("admin.token", "admin/eve")
    );
    for _ in 1..100 {
        let issue = issue_token(&mut world, "eve", None);
        world.must(issue);
    }
    let more = issue_token(&mut world, "eve", None);
    assert!(world.faults(more.clone())[0].contains("has 100 tokens"));
    world.later(HOUR);
    world.must(more);
    world.later(5 * MINUTE);
    world.must(ClearExpired);
    assert!(world.records.token(&first.digest).is_none());
    assert_eq!(world.records.tokens_of(&username("eve")).count(), 100);
    let gone = RevokeToken { username: username("eve"), id: first.id };
    assert!(matches!(world.refusal(gone), Rejection::NotFound { what: "token", .. }));
    let issue = issue_token(&mut world, "root", None);
    let roots = world.must(issue);
    let anothers = RevokeToken { username: username("eve"), id: roots.id };
    assert!(matches!(world.refusal(anothers), Rejection::NotFound { what: "token", .. }));
    world.must(RevokeToken { username: username("root"), id: roots.id });
    assert!(world.records.token(&roots.digest).is_none());
}

#[test]
fn of_many_sessions_the_oldest_end_and_signing_out_ends_one() {
    let mut world = with_admins();
    let mut sessions = Vec::new();
    for _ in 0..22 {
        world.later(Duration::from_secs(1));
        sessions.push(sign_in(&mut world, "eve"));
    }
    let is_there =
        |world: &World, session: &Session| world.records.session(&session.digest).is_some();
    let there: Vec<bool> = sessions.iter().map(|session| is_there(&world, session)).collect();
    assert_eq!(there, [vec![false; 2], vec![true; 20]].concat());
    let last = &sessions[21];
    world.must(SignOut { digest: last.digest });
    assert_eq!(&*world.last_deed().action, "admin.sign_out");
    assert!(!is_there(&world, last) && is_there(&world, &sessions[20]));
    let changes = world.changes;
    world.must(SignOut { digest: last.digest });
    world.must(ClearExpired);
    assert_eq!(world.changes, changes);
    world.later(DAY + 5 * MINUTE);
    let deeds = world.deeds.len();
    world.must(ClearExpired);
    assert_eq!((world.records.sessions().count(), world.deeds.len()), (0, deeds));
}

#[test]
fn administrators_are_written_down_with_their_role_beside_the_rest() {
    let mut world = with_admins();
    world.must(create_admin("pat", Role::PracticeAdmin(practice("north"))));
    for kept in world.records.admins(None) {
        let document = Document::Admin(Administrator::clone(&kept.value));
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document, "{text}");
    }
}
