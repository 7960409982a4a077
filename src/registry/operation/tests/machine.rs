//! Random sequences of operations, after each of which the laws of the registry must hold.

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Practice(u8),
    ApiAccess(u8, bool),
    User(u8, u8),
    DeleteUser(u8, u8),
    Vendor(u8, bool),
    EditVendor(u8, u8),
    VendorKey(u8),
    RevokeVendorKey(u8),
    Issue(u8, u8, Option<u8>),
    Edit(u8, bool, Option<u8>),
    Rotate(u8, u32),
    Revoke(u8),
    Admin(u8, u8),
    EditAdmin(u8, u8),
    DeleteAdmin(u8),
    SignIn(u8),
    Token(u8),
    Clear,
    Later(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let few = || 0_u8..3;
    prop_oneof![
        1 => few().prop_map(Step::Practice),
        1 => (few(), any::<bool>()).prop_map(|(of, on)| Step::ApiAccess(of, on)),
        1 => (few(), few()).prop_map(|(of, name)| Step::User(of, name)),
        1 => (few(), few()).prop_map(|(of, name)| Step::DeleteUser(of, name)),
        1 => (few(), any::<bool>()).prop_map(|(id, approved)| Step::Vendor(id, approved)),
        1 => (few(), few()).prop_map(|(id, to)| Step::EditVendor(id, to)),
        1 => few().prop_map(Step::VendorKey),
        1 => any::<u8>().prop_map(Step::RevokeVendorKey),
        3 => (few(), few(), proptest::option::of(few()))
            .prop_map(|(of, owner, bound)| Step::Issue(of, owner, bound)),
        2 => (any::<u8>(), any::<bool>(), proptest::option::of(few()))
            .prop_map(|(key, enabled, bound)| Step::Edit(key, enabled, bound)),
        2 => (any::<u8>(), 0_u32..200).prop_map(|(key, hours)| Step::Rotate(key, hours)),
        1 => any::<u8>().prop_map(Step::Revoke),
        1 => (few(), few()).prop_map(|(name, role)| Step::Admin(name, role)),
        2 => (few(), few()).prop_map(|(name, role)| Step::EditAdmin(name, role)),
        1 => few().prop_map(Step::DeleteAdmin),
        1 => few().prop_map(Step::SignIn),
        1 => few().prop_map(Step::Token),
        1 => Just(Step::Clear),
        1 => (0_u32..100).prop_map(Step::Later),
    ]
}

fn id(number: u8) -> String {
    format!("n{number}")
}

fn role(number: u8) -> Role {
    match number {
        0 => Role::Operator,
        1 => Role::Auditor,
        _ => Role::PracticeAdmin(practice("n0")),
    }
}

fn status(number: u8) -> VendorStatus {
    match number {
        0 => VendorStatus::Pending,
        1 => VendorStatus::Approved,
        _ => VendorStatus::Suspended,
    }
}

/// One of the keys there are, or none that is there.
fn pick(world: &World, number: u8) -> KeyId {
    let keys: Vec<KeyId> = world.records.all_keys().map(|kept| kept.value.id).collect();
    let found = keys.get(usize::from(number) % keys.len().max(1)).copied();
    found.unwrap_or(KeyId::parse("nobodyskeyid").unwrap())
}

/// Takes a step; refusals are answers, too, and change nothing.
fn take(world: &mut World, step: &Step) {
    let before = world.changes;
    let refused = is_refused(world, step);
    assert!(!refused || world.changes == before, "refused and written: {step:?}");
}

fn is_refused(world: &mut World, step: &Step) -> bool {
    match step.clone() {
        Step::Practice(of) => world.run(create_practice(&id(of))).is_err(),
        Step::ApiAccess(of, on) => world
            .run(EditPractice {
                id: practice(&id(of)),
                if_match: None,
                name: None,
                region: Patch::Keep,
                api_access: Some(on),
                plan: Patch::Keep,
            })
            .is_err(),
        Step::User(of, name) => world.run(create_user(&id(of), &id(name))).is_err(),
        Step::DeleteUser(of, name) => world
            .run(DeleteUser {
                practice: practice(&id(of)),
                username: username(&id(name)),
                if_match: None,
            })
            .is_err(),
        Step::Vendor(of, approved) => {
            world.run(create_vendor(&id(of), status(u8::from(approved)))).is_err()
        }
        Step::EditVendor(of, to) => world
            .run(EditVendor {
                id: vendor(&id(of)),
                if_match: None,
                name: None,
                contact: Patch::Keep,
                status: Some(status(to)),
                review: Patch::Keep,
                agreement_expires: Patch::Keep,
            })
            .is_err(),
        Step::Later(hours) => {
            world.later(hours * HOUR);
            false
        }
        step => is_key_refused(world, &step),
    }
}

fn is_key_refused(world: &mut World, step: &Step) -> bool {
    match step.clone() {
        Step::VendorKey(of) => {
            let fresh = world.fresh(Purpose::VendorKey);
            world.run(IssueVendorKey { vendor: vendor(&id(of)), fresh }).is_err()
        }
        Step::RevokeVendorKey(number) => {
            let of = vendor(&id(number % 3));
            let held = world.records.vendor_keys(&of, None).map(|kept| kept.value.id).next();
            held.is_some_and(|key| world.run(RevokeVendorKey { vendor: of, key }).is_err())
        }
        Step::Issue(of, owner, bound) => {
            let issue = IssueKey {
                practice: practice(&id(of)),
                owner: username(&id(owner)),
                vendor: bound.map(|number| vendor(&id(number))),
                expires_at: (owner == 1).then(|| world.now.after(50 * HOUR)),
                ..world.issue()
            };
            world.run(issue).is_err()
        }
        Step::Edit(number, enabled, bound) => {
            let patch = KeyPatch {
                enabled: Some(enabled),
                vendor: bound.map_or(Patch::Clear, |number| Patch::Set(vendor(&id(number)))),
                ..KeyPatch::default()
            };
            let id = pick(world, number);
            world.run(EditKey { id, if_match: None, patch }).is_err()
        }
        Step::Rotate(number, hours) => {
            let fresh = world.fresh(Purpose::SubscriberKey);
            let id = pick(world, number);
            world.run(RotateKey { id, if_match: None, overlap: hours * HOUR, fresh }).is_err()
        }
        Step::Revoke(number) => {
            let id = pick(world, number);
            world.run(RevokeKey { id, if_match: None }).is_err()
        }
        step => is_admin_refused(world, &step),
    }
}

fn is_admin_refused(world: &mut World, step: &Step) -> bool {
    match step.clone() {
        Step::Admin(name, to) => world.run(create_admin(&id(name), role(to))).is_err(),
        Step::EditAdmin(name, to) => world
            .run(EditAdmin {
                username: username(&id(name)),
                if_match: None,
                role: Some(role(to)),
                password: None,
            })
            .is_err(),
        Step::DeleteAdmin(name) => {
            world.run(DeleteAdmin { username: username(&id(name)), if_match: None }).is_err()
        }
        Step::SignIn(name) => {
            let (key, _, digest) = VAULT.mint_token(Purpose::Session).unwrap();
            let expires_at = world.now.after(HOUR);
            let username = username(&id(name));
            let epoch = world.records.admin(&username).map_or(0, |kept| kept.value.epoch);
            world.run(SignIn { username, epoch, id: key, digest, expires_at }).is_err()
        }
        Step::Token(name) => {
            let (key, _, digest) = VAULT.mint_token(Purpose::AdminToken).unwrap();
            let username = username(&id(name));
            let name = "T".to_owned();
            let expires_at = Some(world.now.after(HOUR));
            world.run(IssueToken { username, id: key, name, digest, expires_at }).is_err()
        }
        Step::Clear => world.run(ClearExpired).is_err(),
        step => unreachable!("{step:?}"),
    }
}

fn keys(world: &World) -> BTreeMap<KeyId, SubscriberKey> {
    let all = world.records.all_keys();
    all.map(|kept| (kept.value.id, SubscriberKey::clone(&kept.value))).collect()
}

fn operators(world: &World) -> usize {
    world.records.admins(None).filter(|kept| kept.value.role == Role::Operator).count()
}

/// What every key refers to is there; digests are unique; pairs point at each other.
fn check_keys(world: &World) {
    let keys = keys(world);
    let mut digests = HashSet::new();
    for key in keys.values() {
        let records = &world.records;
        assert!(records.practice(&key.practice).is_some());
        assert!(
            key.revoked_at.is_some() || records.user(&key.practice, &key.owner).is_some(),
            "a key in use has no owner"
        );
        assert!(key.vendor.as_ref().is_none_or(|vendor| records.vendor(vendor).is_some()));
        assert!(digests.insert(key.digest));
        if let Some(successor) = key.replaced_by {
            assert_eq!(keys[&successor].replaces, Some(key.id));
            assert!(key.overlap_ends.is_some());
        }
        if let Some(predecessor) = key.replaces {
            assert_eq!(keys[&predecessor].replaced_by, Some(key.id));
        }
        assert_eq!(key.replaced_by.is_some(), key.overlap_ends.is_some());
    }
    for kept in world.records.vendors(None) {
        for key in world.records.vendor_keys(&kept.value.id, None) {
            assert!(digests.insert(key.value.digest));
        }
    }
}

/// What was decided for good stays so, and what never changes did not.
fn check_history(before: &BTreeMap<KeyId, SubscriberKey>, after: &BTreeMap<KeyId, SubscriberKey>) {
    for (id, was) in before {
        let is = &after[id];
        assert!(was.revoked_at.is_none() || is == was, "a revoked key changed");
        assert!(was.overlap_ends.is_none_or(|end| is.overlap_ends == Some(end)));
        assert_eq!(
            (&was.api, &was.practice, &was.owner, was.digest, was.created_at),
            (&is.api, &is.practice, &is.owner, is.digest, is.created_at)
        );
        assert!(was.replaced_by.is_none() || is.replaced_by == was.replaced_by);
    }
}

fn check_admins(world: &World) {
    let names: BTreeSet<Username> =
        world.records.admins(None).map(|kept| kept.value.username.clone()).collect();
    for session in world.records.sessions() {
        let admin = world.records.admin(&session.value.username).unwrap();
        assert_eq!(admin.value.epoch, session.value.epoch, "a session outlived a change of role");
    }
    for token in world.records.tokens() {
        assert!(names.contains(&token.value.username));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_laws_hold_after_every_step(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for number in 0..2 {
            world.must(create_practice(&id(number)));
            world.must(create_user(&id(number), &id(0)));
            world.must(create_vendor(&id(number), VendorStatus::Approved));
        }
        for step in &steps {
            let (before, had) = (keys(&world), operators(&world));
            take(&mut world, step);
            check_keys(&world);
            check_history(&before, &keys(&world));
            check_admins(&world);
            assert!(had == 0 || operators(&world) > 0, "the last operator is gone: {step:?}");
        }
    }
}
