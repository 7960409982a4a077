//! Practices and staff: what may be written of them, and what an owner of keys cannot leave behind.

use super::*;

fn edit(id: &str) -> EditPractice {
    EditPractice {
        id: practice(id),
        if_match: None,
        name: None,
        region: Patch::Keep,
        api_access: None,
        plan: Patch::Keep,
    }
}

#[test]
fn a_plan_that_is_there_already_may_be_sent_back() {
    let mut world = World::new();
    let long = "é".repeat(101);
    // As an earlier version let it in.
    let plan = world.plan(&create_practice("north")).unwrap().output;
    let puts = vec![Document::Practice(Practice { plan: Some(long.clone()), ..plan })];
    let (id, at) = (String::new(), world.now);
    let change = Change { id, at, puts, removes: Vec::new(), audit: Vec::new() };
    let _touched = world.records.apply(Position(1), &change);
    let name = Some("Renamed".to_owned());
    let sent = EditPractice { name, plan: Patch::Set(long.clone()), ..edit("north") };
    let after = world.must(sent);
    assert_eq!((&*after.name, after.plan), ("Renamed", Some(long)));
    let other = EditPractice { plan: Patch::Set("é".repeat(102)), ..edit("north") };
    assert_eq!(world.faults(other).len(), 1);
}

#[test]
fn all_faults_are_told_at_once_by_their_fields() {
    let mut world = World::new();
    let faulty = CreatePractice {
        name: " \t".to_owned(),
        region: Some("auu".to_owned()),
        plan: Some("a\nb".to_owned()),
        ..create_practice("north")
    };
    assert_eq!(
        world.faults(faulty),
        [
            "name: must not be empty",
            "region: there is no region `auu`; did you mean `au`?",
            "plan: must not have line breaks or other control characters",
        ]
    );
    for (name, good) in [
        ("é".repeat(200), true),
        ("é".repeat(201), false),
        ("two\nlines".to_owned(), false),
        ("turned \u{202e} round".to_owned(), false),
        ("\u{5e9}\u{5dc}\u{5d5}\u{5dd}".to_owned(), true),
    ] {
        let create = CreatePractice { name: name.clone(), ..create_practice("south") };
        assert_eq!(world.plan(&create).is_ok(), good, "{name:?}");
    }
    world.terms.regions.clear();
    let create = CreatePractice { region: Some("au".to_owned()), ..create_practice("north") };
    assert_eq!(world.faults(create).len(), 1);
}

#[test]
fn a_practice_is_made_once_and_told_of() {
    let mut world = World::new();
    let create = CreatePractice {
        name: "  North Clinic ".to_owned(),
        region: Some("au".to_owned()),
        ..create_practice("north")
    };
    assert_eq!(world.must(create.clone()).name, "North Clinic");
    assert_eq!(
        world.refusal(create),
        Rejection::Duplicate { what: "practice", id: "north".to_owned() }
    );
    let deed = world.last_deed();
    assert_eq!((&*deed.action, deed.object.as_str()), ("practice.create", "practice/north"));
    assert_eq!(deed.practice, Some(practice("north")));
    let expected =
        serde_json::json!({ "name": "North Clinic", "region": "au", "api_access": true });
    assert_eq!((&deed.before, &deed.after), (&None, &Some(expected)));
}

#[test]
fn an_edit_tells_only_what_it_changed_and_is_refused_when_stale() {
    let mut world = World::furnished();
    let seen = world.records.practice(&practice("north")).unwrap().revision;
    let off = EditPractice { api_access: Some(false), if_match: Some(seen), ..edit("north") };
    assert!(!world.must(off.clone()).api_access);
    let deed = world.last_deed();
    assert_eq!(deed.before, Some(serde_json::json!({ "api_access": true })));
    assert_eq!(deed.after, Some(serde_json::json!({ "api_access": false })));
    assert_eq!(world.refusal(off), Rejection::Stale);
    let nobody = world.refusal(edit("south"));
    assert_eq!(nobody, Rejection::NotFound { what: "practice", id: "south".to_owned() });
}

#[test]
fn an_edit_that_changes_nothing_writes_nothing() {
    let mut world = World::furnished();
    world.must(EditPractice { region: Patch::Set("uk".to_owned()), ..edit("north") });
    // A region that has left the configuration may be sent back, and not be chosen anew.
    world.terms.regions = vec!["au".to_owned()];
    let before = (world.changes, world.deeds.len());
    let same = EditPractice {
        name: Some("A clinic".to_owned()),
        region: Patch::Set("uk".to_owned()),
        api_access: Some(true),
        plan: Patch::Clear,
        ..edit("north")
    };
    assert_eq!(world.must(same).region.as_deref(), Some("uk"));
    assert_eq!((world.changes, world.deeds.len()), before);
}

#[test]
fn staff_belong_to_a_practice_that_is_there() {
    let mut world = World::furnished();
    assert!(matches!(
        world.refusal(create_user("south", "dr-lee")),
        Rejection::NotFound { what: "practice", .. }
    ));
    assert!(matches!(
        world.refusal(create_user("north", "dr-lee")),
        Rejection::Duplicate { what: "staff user", .. }
    ));
    let rename = EditUser {
        practice: practice("north"),
        username: username("dr-lee"),
        if_match: None,
        name: Some("Dr Lee".to_owned()),
    };
    assert_eq!(world.must(rename).name, "Dr Lee");
    assert_eq!(world.last_deed().object, "user/north/dr-lee");
}

#[test]
fn an_owner_of_keys_stays_until_they_are_revoked() {
    let mut world = World::furnished();
    let delete =
        DeleteUser { practice: practice("north"), username: username("dr-lee"), if_match: None };
    let (one, other) = (world.issued().id, world.issued().id);
    let Rejection::OwnerInUse(told) = world.refusal(delete.clone()) else { panic!() };
    assert!(told.contains("`dr-lee` owns 2 keys"), "{told}");
    world.must(RevokeKey { id: one, if_match: None });
    let Rejection::OwnerInUse(told) = world.refusal(delete.clone()) else { panic!() };
    assert!(told.contains("1 key that is"), "{told}");
    world.must(RevokeKey { id: other, if_match: None });
    world.must(delete.clone());
    assert!(world.records.user(&practice("north"), &username("dr-lee")).is_none());
    assert_eq!(world.last_deed().before, Some(serde_json::json!({ "name": "A person" })));
    assert!(matches!(world.refusal(delete), Rejection::NotFound { what: "staff user", .. }));
}
