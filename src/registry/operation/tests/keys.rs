//! Subscriber keys, from their issue to their end.

use super::*;
use crate::model::{Access, KeyLimits, KeyStatus};

fn rotate(world: &mut World, id: KeyId, overlap: Duration) -> RotateKey {
    let fresh = world.fresh(Purpose::SubscriberKey);
    RotateKey { id, if_match: None, overlap, fresh }
}

fn edit(id: KeyId, patch: KeyPatch) -> EditKey {
    EditKey { id, if_match: None, patch }
}

fn limits(rate: &str, burst: Option<u32>) -> KeyLimits {
    KeyLimits { rate: rate.into(), burst }
}

fn read(names: &[&str]) -> Vec<(String, Access)> {
    names.iter().map(|name| ((*name).to_owned(), Access::READ)).collect()
}

#[test]
fn all_faults_of_a_new_key_are_told_at_once_with_the_nearest_names() {
    let mut world = World::furnished();
    let faulty = IssueKey {
        name: "x".repeat(201),
        description: Some("a\u{0}b".to_owned()),
        owner: username("dr-le"),
        api: Some("standart".to_owned()),
        permissions: Some(read(&["patient", "billing.invoces", "patient"])),
        vendor: Some(vendor("acne")),
        expires_at: Some(world.now),
        allowed_ips: vec!["192.0.2.0/24".parse().unwrap(), "::ffff:192.0.2.0/120".parse().unwrap()],
        limits: Some(limits("600/minute", Some(0))),
        ..world.issue()
    };
    let faults = world.faults(faulty);
    assert_eq!(
        faults,
        [
            "owner: there is no staff user `dr-le`; did you mean `dr-lee`?".to_owned(),
            "vendor: there is no vendor `acne`; did you mean `acme`?".to_owned(),
            "name: must have at most 200 characters".to_owned(),
            "description: must not have control characters but line breaks and tabs".to_owned(),
            "api: there is no API `standart`; did you mean `standard`?".to_owned(),
            "permissions.billing.invoces: there is no category or scope `billing.invoces`; did you \
             mean `billing.invoices`?"
                .to_owned(),
            "permissions.patient: stands there twice".to_owned(),
            format!("expires_at: must be in the future; it is {} now", world.now),
            "allowed_ips[1]: is an IPv4 address in IPv6 form; did you mean `192.0.2.0/24`?"
                .to_owned(),
            "limits.rate: must be a rate such as 600/min: did you mean 600/min?".to_owned(),
            "limits.burst: must be from 1 to 4294967295".to_owned(),
        ]
    );
    let elsewhere = IssueKey { practice: practice("south"), ..world.issue() };
    assert!(matches!(world.refusal(elsewhere), Rejection::NotFound { what: "practice", .. }));
}

#[test]
fn an_api_may_be_left_out_where_there_is_one() {
    let mut world = World::furnished();
    assert_eq!(&*world.issued().api, "standard");
    world.terms.apis.push("fhir".into());
    let issue = world.issue();
    assert_eq!(world.faults(issue), ["api: is required: one of standard, fhir"]);
    let issue = IssueKey { api: Some("fhir".to_owned()), ..world.issue() };
    assert_eq!(&*world.must(issue).api, "fhir");
}

#[test]
fn permissions_are_the_default_unless_chosen_and_then_kept_as_written() {
    let mut world = World::furnished();
    assert_eq!(world.issued().permissions.iter().count(), 0);
    world.terms.grants_read_by_default = true;
    let key = world.issued();
    let categories = world.terms.catalogue.names().filter(|name| !name.contains('.'));
    let mut expected: Vec<_> = categories.map(|name| (name, Access::READ)).collect();
    expected.sort_unstable();
    assert_eq!(key.permissions.iter().collect::<Vec<_>>(), expected);
    assert!(expected.contains(&("billing", Access::READ)));
    let issue =
        IssueKey { permissions: Some(vec![("patient".to_owned(), Access::NONE)]), ..world.issue() };
    let key = world.must(issue);
    assert_eq!(key.permissions.iter().collect::<Vec<_>>(), [("patient", Access::NONE)]);
    let grants = world.terms.catalogue.grants(key.permissions.iter()).unwrap();
    assert_eq!(grants.on(world.terms.catalogue.id("patient").unwrap()), Access::NONE);
    let nothing = IssueKey { permissions: Some(Vec::new()), ..world.issue() };
    assert_eq!(world.must(nothing).permissions.iter().count(), 0);
}

#[test]
fn a_key_remembers_who_made_it_and_the_audit_tells_what_it_may() {
    let mut world = World::furnished();
    let issue = IssueKey { permissions: Some(read(&["patient"])), ..world.issue() };
    let key = world.must(issue.clone());
    assert_eq!((key.created_by.as_str(), key.created_at), ("root", world.now));
    assert_eq!(key.status(world.now, None, &world.terms.lifetimes), KeyStatus::Active);
    assert!(matches!(world.refusal(issue), Rejection::Duplicate { what: "key", .. }));
    let deed = world.last_deed();
    assert_eq!((&*deed.action, &deed.practice), ("key.issue", &Some(practice("north"))));
    let told = deed.after.as_ref().unwrap();
    assert_eq!(told["permissions"], serde_json::json!({ "patient": "read" }));
    assert_eq!(told["owner"], "dr-lee");
}

#[test]
fn an_edit_tells_what_it_changed_and_nothing_else_moves() {
    let mut world = World::furnished();
    let key = world.issued();
    let revision = world.records.key(key.id).unwrap().revision;
    let patch = KeyPatch {
        permissions: Some(read(&["files"])),
        vendor: Patch::Set(vendor("acme")),
        limits: Patch::Set(limits("5/10s", Some(10))),
        enabled: Some(false),
        ..KeyPatch::default()
    };
    let edited = world.must(EditKey { id: key.id, if_match: Some(revision), patch: patch.clone() });
    let expected = SubscriberKey {
        permissions: [("files", Access::READ)].into_iter().collect(),
        vendor: Some(vendor("acme")),
        limits: Some(Box::new(limits("5/10s", Some(10)))),
        enabled: false,
        ..key.clone()
    };
    assert_eq!((&edited, &world.key(key.id)), (&expected, &expected));
    let deed = world.last_deed();
    assert_eq!(deed.before, Some(serde_json::json!({ "permissions": {}, "enabled": true })));
    assert_eq!(deed.after.as_ref().unwrap()["vendor"], "acme");
    let stale = EditKey { id: key.id, if_match: Some(revision), patch: patch.clone() };
    assert_eq!(world.refusal(stale), Rejection::Stale);
    let changes = world.changes;
    world.must(edit(key.id, patch));
    assert_eq!(world.changes, changes);
    let cleared = KeyPatch {
        vendor: Patch::Clear,
        limits: Patch::Clear,
        permissions: Some(Vec::new()),
        enabled: Some(true),
        ..KeyPatch::default()
    };
    assert_eq!(world.must(edit(key.id, cleared)), key);
}

#[test]
fn what_is_there_already_may_be_sent_back() {
    let mut world = World::furnished();
    let end = world.now.after(DAY);
    let issue = IssueKey {
        expires_at: Some(end),
        permissions: Some(read(&["billing.invoices"])),
        ..world.issue()
    };
    let key = world.must(issue);
    world.later(2 * DAY);
    world.terms.catalogue = Catalogue::default();
    let same = KeyPatch {
        expires_at: Patch::Set(end),
        permissions: Some(read(&["billing.invoices"])),
        description: Patch::Set("Now with one".to_owned()),
        ..KeyPatch::default()
    };
    assert_eq!(world.must(edit(key.id, same)).description.as_deref(), Some("Now with one"));
    let other = KeyPatch {
        expires_at: Patch::Set(world.now),
        permissions: Some(read(&["billing.invoices", "patient"])),
        name: Some(String::new()),
        ..KeyPatch::default()
    };
    let faults = world.faults(edit(key.id, other));
    let fields: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
    assert_eq!(fields, ["name", "permissions.billing.invoices", "expires_at"]);
}

#[test]
fn rotating_makes_a_pair_of_which_the_old_one_ends() {
    let mut world = World::furnished();
    let issue = IssueKey {
        description: Some("For the booking site".to_owned()),
        permissions: Some(read(&["appointment"])),
        vendor: Some(vendor("acme")),
        expires_at: Some(world.now.after(30 * DAY)),
        allowed_ips: vec!["192.0.2.0/24".parse().unwrap()],
        limits: Some(limits("600/min", None)),
        ..world.issue()
    };
    let old = world.must(issue);
    world.later(HOUR);
    let rotation = rotate(&mut world, old.id, DAY);
    let new = world.must(rotation.clone());
    let expected = SubscriberKey {
        id: new.id,
        created_at: world.now,
        replaces: Some(old.id),
        preview: rotation.fresh.preview,
        digest: rotation.fresh.digest,
        hash: rotation.fresh.hash,
        ..old.clone()
    };
    assert_eq!(new, expected);
    assert_ne!(new.digest, old.digest);
    let ends = world.now.after(DAY);
    let kept = world.key(old.id);
    let expected =
        SubscriberKey { replaced_by: Some(new.id), overlap_ends: Some(ends), ..old.clone() };
    assert_eq!(kept, expected);
    let lifetimes = world.terms.lifetimes;
    assert_eq!(kept.status(world.now, None, &lifetimes), KeyStatus::Active);
    assert_eq!(kept.status(ends, None, &lifetimes), KeyStatus::Expired);
    let again = rotate(&mut world, old.id, DAY);
    assert_eq!(code(&world.refusal(again)), "already_rotated");
    world.must(RevokeKey { id: old.id, if_match: None });
    assert_eq!(world.key(new.id).status(ends, None, &lifetimes), KeyStatus::Active);
    let actions: Vec<_> = world.deeds.iter().rev().take(3).map(|deed| &*deed.action).collect();
    assert_eq!(actions, ["key.revoke", "key.issue", "key.rotate"]);
}

#[test]
fn an_overlap_never_lengthens_a_life_and_may_be_nothing() {
    let mut world = World::furnished();
    let end = world.now.after(HOUR);
    let issue = IssueKey { expires_at: Some(end), ..world.issue() };
    let key = world.must(issue);
    let rotation = rotate(&mut world, key.id, DAY);
    assert_eq!(world.must(rotation).expires_at, Some(end));
    assert_eq!(world.key(key.id).ends_at(&world.terms.lifetimes), Some(end));
    let key = world.issued();
    let rotation = rotate(&mut world, key.id, Duration::ZERO);
    world.must(rotation);
    let status = world.key(key.id).status(world.now, None, &world.terms.lifetimes);
    assert_eq!(status, KeyStatus::Expired);
    let key = world.issued();
    let long = rotate(&mut world, key.id, 90 * DAY + Duration::from_micros(1));
    assert_eq!(world.faults(long), ["overlap: must be at most 90d"]);
    let longest = rotate(&mut world, key.id, 90 * DAY);
    world.must(longest);
}

#[test]
fn rotating_gives_nothing_back() {
    let mut world = World::furnished();
    let disabled = world.issued().id;
    world.must(edit(disabled, KeyPatch { enabled: Some(false), ..KeyPatch::default() }));
    let rotation = rotate(&mut world, disabled, DAY);
    assert!(!world.must(rotation).enabled);

    let revoked = world.issued().id;
    world.must(RevokeKey { id: revoked, if_match: None });
    let rotation = rotate(&mut world, revoked, DAY);
    assert_eq!(code(&world.refusal(rotation)), "key_revoked");

    let issue = IssueKey { expires_at: Some(world.now.after(HOUR)), ..world.issue() };
    let expired = world.must(issue).id;
    let idle = world.issued().id;
    world.later(2 * DAY);
    let rotation = rotate(&mut world, expired, DAY);
    assert_eq!(code(&world.refusal(rotation)), "key_expired");

    world.terms.lifetimes =
        Lifetimes { idle_expiry: Some(DAY), max_age: Some(DAY), ..Lifetimes::default() };
    let rotation = rotate(&mut world, idle, DAY);
    let new = world.must(rotation);
    let lifetimes = world.terms.lifetimes;
    assert_eq!(new.status(world.now, None, &lifetimes), KeyStatus::Active);
    assert_ne!(world.key(idle).status(world.now, None, &lifetimes), KeyStatus::Active);
}

#[test]
fn a_revocation_is_for_good_and_answers_the_same_again() {
    let mut world = World::furnished();
    world.terms.reveal = true;
    let key = world.issued();
    assert!(key.sealed.is_some());
    let revoked = world.must(RevokeKey { id: key.id, if_match: None });
    assert_eq!((revoked.revoked_at, &revoked.sealed), (Some(world.now), &None));
    let changes = world.changes;
    world.later(HOUR);
    assert_eq!(world.must(RevokeKey { id: key.id, if_match: None }), revoked);
    assert_eq!(world.changes, changes);
    let enable = KeyPatch { enabled: Some(true), ..KeyPatch::default() };
    assert_eq!(code(&world.refusal(edit(key.id, enable))), "key_revoked");
    let nobodys = RevokeKey { id: KeyId::parse("nobodyskeyid").unwrap(), if_match: None };
    assert!(matches!(world.refusal(nobodys), Rejection::NotFound { what: "key", .. }));
}

#[test]
fn a_key_is_shown_again_only_where_that_was_chosen_and_every_time_is_told() {
    let mut world = World::furnished();
    let unsealed = world.issued().id;
    assert_eq!(code(&world.refusal(RevealKey { id: unsealed })), "not_revealable");
    world.terms.reveal = true;
    assert_eq!(code(&world.refusal(RevealKey { id: unsealed })), "not_revealable");
    let issue = world.issue();
    let key = world.must(issue.clone());
    for _ in 0..2 {
        let before = world.deeds.len();
        let sealed = world.must(RevealKey { id: key.id });
        assert_eq!(VAULT.unseal(key.id, &sealed).unwrap(), issue.fresh.plain);
        assert_eq!(world.deeds.len(), before + 1);
        assert_eq!(&*world.last_deed().action, "key.reveal");
    }
    assert_eq!(world.key(key.id), key);
    world.terms.reveal = false;
    assert_eq!(code(&world.refusal(RevealKey { id: key.id })), "not_revealable");
    world.terms.reveal = true;
    world.must(RevokeKey { id: key.id, if_match: None });
    assert_eq!(code(&world.refusal(RevealKey { id: key.id })), "not_revealable");
}

#[test]
fn of_endlessly_many_faults_some_are_told_and_few_with_a_hint() {
    let mut world = World::furnished();
    let permissions = (0..5_000).map(|number| (format!("billin{number}"), Access::READ));
    let faulty = IssueKey { permissions: Some(permissions.collect()), ..world.issue() };
    let told = world.faults(faulty);
    let hints = told.iter().filter(|fault| fault.contains("did you mean")).count();
    assert_eq!((told.len(), hints), (1_000, 20));
}

#[test]
fn what_is_there_already_may_be_sent_back_with_an_edit() {
    let mut world = World::furnished();
    let key = world.issued();
    let mapped = "::ffff:192.0.2.0/120".parse().unwrap();
    let limits = KeyLimits { rate: "600".into(), burst: None };
    // As an earlier version let it in.
    let old = SubscriberKey {
        allowed_ips: Box::new([mapped]),
        limits: Some(Box::new(limits.clone())),
        ..world.key(key.id)
    };
    let change = Change {
        id: String::new(),
        at: world.now,
        puts: vec![Document::Key(old)],
        removes: Vec::new(),
        audit: Vec::new(),
    };
    let _touched = world.records.apply(Position(99), &change);
    let patch = KeyPatch {
        allowed_ips: Some(vec![mapped]),
        limits: Patch::Set(limits),
        name: Some("Renamed".to_owned()),
        ..KeyPatch::default()
    };
    assert_eq!(&*world.must(EditKey { id: key.id, if_match: None, patch }).name, "Renamed");
}

#[test]
fn a_dead_token_is_kept_until_it_would_have_ended() {
    let mut world = World::furnished();
    let id = KeyId::parse("tokentoken01").unwrap();
    let key = KeyId::parse("kkkkkkkkkk01").unwrap();
    let kill = KillToken { id, key, expires_at: world.now.after(HOUR) };
    let deeds = world.deeds.len();
    world.must(kill.clone());
    let changes = world.changes;
    world.must(kill);
    let other = KeyId::parse("tokentoken02").unwrap();
    world.must(KillToken { id: other, key, expires_at: world.now });
    assert_eq!((world.changes, world.deeds.len()), (changes, deeds));
    assert_eq!(world.records.dead_tokens().count(), 1);
    world.later(HOUR);
    world.must(ClearExpired);
    assert_eq!(world.records.dead_tokens().count(), 1, "it may still live by a slower clock");
    world.later(5 * MINUTE);
    world.must(ClearExpired);
    assert_eq!(world.records.dead_tokens().count(), 0);
}

#[test]
fn a_key_gives_back_a_thousand_tokens_and_no_more_until_they_have_ended() {
    let mut world = World::furnished();
    let kill = |world: &World, key: &str, number: usize| KillToken {
        id: KeyId::parse(&format!("{number:012}")).unwrap(),
        key: KeyId::parse(key).unwrap(),
        expires_at: world.now.after(HOUR),
    };
    for number in 0..1000 {
        let one = kill(&world, "kkkkkkkkkk01", number);
        world.must(one);
    }
    let more = kill(&world, "kkkkkkkkkk01", 1000);
    assert_eq!(code(&world.refusal(more.clone())), "too_many_dead_tokens");
    let again = kill(&world, "kkkkkkkkkk01", 7);
    world.must(again);
    let anothers = kill(&world, "kkkkkkkkkk02", 1001);
    world.must(anothers);
    world.later(HOUR + 5 * MINUTE);
    for left in [501, 1, 0] {
        world.must(ClearExpired);
        assert_eq!(world.records.dead_tokens().count(), left, "a round takes 500");
    }
    let more = KillToken { expires_at: world.now.after(HOUR), ..more };
    world.must(more);
    assert_eq!(world.records.dead_tokens_of(KeyId::parse("kkkkkkkkkk01").unwrap()), 1);
}
