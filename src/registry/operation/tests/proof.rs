//! Operations of administrators who may be gone, or be another, by the time they are decided.

use super::*;
use crate::model::KeyDigest;

/// With the operators `root` and `ann`, of whom `root` has a token.
fn with_token() -> (World, Proof) {
    let mut world = World::furnished();
    world.must(create_admin("root", Role::Operator));
    world.must(create_admin("ann", Role::Operator));
    let digest = KeyDigest([7; 32]);
    world.must(IssueToken {
        username: username("root"),
        id: KeyId::parse("tokentoken01").unwrap(),
        name: "Terraform".to_owned(),
        digest,
        expires_at: Some(world.now.after(HOUR)),
    });
    (world, Proof::Token(digest))
}

fn held(proof: Proof, role: Role) -> Held<CreatePractice> {
    Held { proof, role, operation: create_practice("south") }
}

fn edit(role: Option<Role>, password: Option<SecretHash>) -> EditAdmin {
    EditAdmin { username: username("root"), if_match: None, role, password }
}

#[test]
fn an_operation_is_decided_while_its_actor_is_who_asked() {
    let (mut world, proof) = with_token();
    world.must(held(proof, Role::Operator));
    let as_auditor = held(proof, Role::Auditor);
    assert_eq!(world.refusal(as_auditor), Rejection::Dismissed);
    let unknown = Proof::Token(KeyDigest([8; 32]));
    assert_eq!(world.refusal(held(unknown, Role::Operator)), Rejection::Dismissed);
    let session = Proof::Session(KeyDigest([7; 32]));
    assert_eq!(world.refusal(held(session, Role::Operator)), Rejection::Dismissed);
    world.actor.username = username("ann");
    assert_eq!(world.refusal(held(proof, Role::Operator)), Rejection::Dismissed);
}

#[test]
fn what_takes_the_right_away_takes_the_operation_with_it() {
    let delete = DeleteAdmin { username: username("root"), if_match: None };
    let revoke =
        RevokeToken { username: username("root"), id: KeyId::parse("tokentoken01").unwrap() };
    let takings: [fn(&mut World, DeleteAdmin, RevokeToken); 4] = [
        |world, delete, _| world.must(delete),
        |world, _, revoke| world.must(revoke),
        |world, _, _| drop(world.must(edit(Some(Role::Auditor), None))),
        |world, _, _| world.later(HOUR),
    ];
    for take in takings {
        let (mut world, proof) = with_token();
        take(&mut world, delete.clone(), revoke.clone());
        assert_eq!(world.refusal(held(proof, Role::Operator)), Rejection::Dismissed);
    }
}

#[test]
fn a_session_holds_until_its_end_or_another_password() {
    let (mut world, _) = with_token();
    let (id, _, digest) = VAULT.mint_token(Purpose::Session).unwrap();
    let epoch = world.records.admin(&username("root")).unwrap().value.epoch;
    let expires_at = world.now.after(HOUR);
    world.must(SignIn { username: username("root"), epoch, id, digest, expires_at });
    let proof = Proof::Session(digest);
    world.must(Held { proof, role: Role::Operator, operation: create_practice("south") });
    let start = world.now;
    world.later(HOUR);
    assert_eq!(proof.holder(&world.records, world.now), None);
    world.now = start;
    assert!(proof.holder(&world.records, world.now).is_some());
    world.must(edit(None, Some(password(2))));
    assert_eq!(world.refusal(held(proof, Role::Operator)), Rejection::Dismissed);
}

#[test]
fn a_key_that_changed_since_it_was_read_is_not_revoked() {
    let mut world = World::furnished();
    let key = world.issued();
    let seen = world.records.key(key.id).unwrap().revision;
    let patch = KeyPatch { enabled: Some(false), ..KeyPatch::default() };
    world.must(EditKey { id: key.id, if_match: None, patch });
    let revoke = RevokeKey { id: key.id, if_match: Some(seen) };
    assert_eq!(world.refusal(revoke.clone()), Rejection::Stale);
    let seen = world.records.key(key.id).map(|kept| kept.revision);
    world.must(RevokeKey { if_match: seen, ..revoke });
    assert!(world.key(key.id).revoked_at.is_some());
}
