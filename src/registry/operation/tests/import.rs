//! Lines of JSON, in and out.

use proptest::prelude::*;

use super::*;
use crate::model::{Access, KeyLimits};
use crate::registry::operation::export;
use crate::registry::operation::import::{Import, Imported, LineFault};
use crate::vault::verify;

const CLINIC: &str = r#"
{"kind":"key","practice":"north","name":"Bookings","owner":"dr-lee","permissions":{"patient":"read"},"vendor":"acme","limits":{"rate":"600/min","burst":100},"key":"0123456789abcdefghijKLMNOP","random":true}
{"kind":"user","practice":"north","username":"dr-lee","name":"Dr Lee"}

{"kind":"practice","id":"north","name":"North Clinic"}
{"kind":"vendor_key","vendor":"acme","key":"chosen-by-a-person"}
{"kind":"vendor","id":"acme","name":"Acme"}
{"kind":"key","practice":"north","name":"Made here","owner":"dr-lee","enabled":false,"allowed_ips":["192.0.2.7"]}
"#;

fn read(world: &World, text: &[u8]) -> Import {
    Import::read(text, &world.terms, &VAULT, &mut |_, _| {}).unwrap()
}

fn import(world: &mut World, text: &str) -> Result<Vec<Imported>, Vec<LineFault>> {
    let import = read(world, text.as_bytes());
    world.must(import)
}

/// The faults of a text as `line: message`; nothing was written.
fn faults(world: &mut World, text: &str) -> Vec<String> {
    let before = world.changes;
    let faults = import(world, text).unwrap_err();
    assert_eq!(world.changes, before);
    faults.iter().map(|fault| format!("{}: {}", fault.line, fault.message)).collect()
}

#[test]
fn lines_may_refer_to_each_other_in_any_order() {
    let mut world = World::new();
    let made = import(&mut world, CLINIC).unwrap();
    let told: Vec<_> =
        made.iter().map(|made| (made.line, made.kind, made.plain.is_some())).collect();
    assert_eq!(
        told,
        [
            (2, "key", false),
            (3, "user", false),
            (5, "practice", false),
            (6, "vendor_key", false),
            (7, "vendor", false),
            (8, "key", true),
        ]
    );
    assert!(world.records.practice(&practice("north")).unwrap().value.api_access);
    let acme = &world.records.vendor(&vendor("acme")).unwrap().value;
    assert_eq!(acme.status, VendorStatus::Pending);
    let key = world.key(made[0].key_id.unwrap());
    assert_eq!((&*key.api, &*key.name, key.enabled), ("standard", "Bookings", true));
    assert_eq!(key.permissions.iter().collect::<Vec<_>>(), [("patient", Access::READ)]);
    let limits = KeyLimits { rate: "600/min".into(), burst: Some(100) };
    assert_eq!((key.vendor, key.limits.as_deref()), (Some(vendor("acme")), Some(&limits)));
    let plain = b"0123456789abcdefghijKLMNOP";
    assert_eq!(key.digest, VAULT.digest(Purpose::SubscriberKey, plain));
    assert!(verify(&key.hash, plain) && key.hash.0.contains("m=8,t=1"), "{}", key.hash.0);
    let plain = b"chosen-by-a-person";
    let chosen = world.records.vendor_key(made[3].key_id.unwrap()).unwrap();
    assert_eq!(chosen.value.digest, VAULT.digest(Purpose::VendorKey, plain));
    assert!(verify(&chosen.value.hash, plain) && chosen.value.hash.0.contains("m=19456,t=2"));
    let (fresh, plain) = (world.key(made[5].key_id.unwrap()), made[5].plain.as_ref().unwrap());
    assert_eq!(fresh.digest, VAULT.digest(Purpose::SubscriberKey, plain.reveal().as_bytes()));
    assert!(!fresh.enabled && *fresh.allowed_ips == ["192.0.2.7/32".parse().unwrap()]);
    assert_eq!(world.deeds.len(), 1);
    let told = serde_json::json!(
        { "practices": 1, "users": 1, "vendors": 1, "vendor_keys": 1, "keys": 2 }
    );
    assert_eq!((&*world.deeds[0].action, &world.deeds[0].after), ("import", &Some(told)));
}

#[test]
fn every_faulty_line_is_named_and_nothing_is_taken() {
    let mut world = World::furnished();
    let text = r#"{"kind":"practice","id":"south","name":"South"}
not json
{"kind":"practise","id":"x","name":"X"}
{"kind":"practice","id":"No Slug","nme":"X"}
{"kind":"practice","id":"west","id":"east","name":"X"}
{"kind":"key","practice":"north","name":"K","owner":"dr-le","permissions":{"patients":"read","files":"all"}}
{"kind":"key","practice":"nort","name":"K","owner":"dr-lee"}
{"kind":"key","practice":"north","name":"K","owner":"dr-lee","permissions":{"patients":"read"},"limits":{"rate":"600"}}
{"kind":"practice","id":"north","name":"North"}
{"kind":"practice","id":"south","name":"South again"}
{"kind":"vendor_key","vendor":"acme","key":"s3cret"}
[]
{"name":"no kind"}
{"kind":"user","practice":"north","username":"dr-lee","name":""}
{"kind":"vendor","id":"v","name":"V","status":"aproved"} trailing"#;
    let told = faults(&mut world, text);
    assert_eq!(
        told,
        [
            "2: not JSON at column 2",
            "3: unknown kind `practise`; did you mean `practice`?",
            "4: `id` must be 1 to 64 of a-z, 0-9 and -, beginning with a letter or a digit, not `No Slug`",
            "4: `name` is missing",
            "4: unknown field `nme` in a practice; did you mean `name`?",
            "5: `id` stands in it twice",
            "6: `permissions.files` must be none, read, write or write-only",
            "7: `practice` there is no practice `nort`; did you mean `north`?",
            "8: `permissions.patients` there is no category or scope `patients`; did you mean `patient`?",
            "8: `limits.rate` must be a rate such as 600/min: did you mean 600/min?",
            "9: the practice `north` is there already",
            "10: the practice `south` stands in line 1 already",
            "11: `key` must have 8 to 512 characters",
            "12: expected one JSON object, such as {\"kind\":\"practice\",…}",
            "13: `kind` is missing",
            "14: the user `dr-lee` of practice `north` is there already",
            "14: `name` must not be empty",
            "15: not JSON at column 58",
        ]
    );
}

#[test]
fn a_key_is_taken_once_and_never_shown() {
    let mut world = World::furnished();
    let line =
        r#"{"kind":"key","practice":"north","name":"K","owner":"dr-lee","key":"hunter2hunter2"}"#;
    let told = faults(&mut world, &format!("{line}\n{line}"));
    assert_eq!(told, ["2: this key is line 1's"]);
    let read = read(&world, line.as_bytes());
    assert!(!format!("{read:?}").contains("hunter2"));
    world.secrets.push("hunter2".to_owned());
    world.must(read).unwrap();
    assert_eq!(faults(&mut world, line), ["1: `key` is there already"]);
    for (key, random) in [("hunter2 with space", ""), ("hunter2hunter2", r#","random":true"#)] {
        let line = format!(r#"{{"kind":"vendor_key","vendor":"acme","key":"{key}"{random}}}"#);
        let told = faults(&mut world, &line);
        assert!(told.len() == 1 && !told[0].contains("hunter2"), "{told:?}");
    }
}

#[test]
fn a_plan_is_made_anew_against_newer_records() {
    let mut world = World::furnished();
    let text = r#"{"kind":"vendor","id":"new","name":"New"}"#;
    let import = read(&world, text.as_bytes());
    assert!(world.plan(&import).unwrap().output.is_ok());
    world.must(create_vendor("new", VendorStatus::Pending));
    let faults = world.must(import).unwrap_err();
    assert_eq!(faults[0].message, "the vendor `new` is there already");
}

#[test]
fn progress_is_told_key_by_key_and_faulty_files_are_not_hashed() {
    let world = World::furnished();
    let good = r#"{"kind":"vendor_key","vendor":"acme"}"#;
    let mut heard = Vec::new();
    let text = [good; 3].join("\n");
    Import::read(text.as_bytes(), &world.terms, &VAULT, &mut |done, of| heard.push((done, of)))
        .unwrap();
    assert_eq!(heard, [(1, 3), (2, 3), (3, 3)]);
    let text = format!("{text}\n{{}}");
    Import::read(text.as_bytes(), &world.terms, &VAULT, &mut |_, _| panic!("hashed")).unwrap();
}

#[test]
fn endlessly_many_faults_are_counted() {
    let mut world = World::new();
    let told = faults(&mut world, &"x\n".repeat(1_200));
    assert_eq!(told.len(), 1_001);
    assert_eq!(told[1_000], "1001: and 200 more faults from this line on");
}

#[test]
fn lines_are_held_against_the_records_no_longer_than_faults_are_told() {
    let mut world = World::furnished();
    let line = r#"{"kind":"key","practice":"north","name":"K","owner":"dr-le","vendor":"acmee"}"#;
    let told = faults(&mut world, &[line; 4_000].join("\n"));
    assert_eq!(told.len(), 1_001);
    assert_eq!(told[1_000], "501: and maybe more faults from this line on");
    assert!(told[0].ends_with("did you mean `dr-lee`?"), "{}", told[0]);
    let hints = told.iter().filter(|fault| fault.contains("did you mean")).count();
    assert_eq!(hints, 20, "as many as anybody reads");
    let unread = faults(&mut world, &format!("{}{line}", "x\n".repeat(1_000)));
    assert_eq!(unread[1_000], "1001: and maybe more faults from this line on");
}

#[test]
fn of_one_line_no_more_is_told_than_anybody_reads() {
    let mut world = World::furnished();
    let fields: Vec<String> = (0..5_000).map(|number| format!(r#""f{number}":1"#)).collect();
    let told = faults(&mut world, &format!(r#"{{"kind":"practice",{}}}"#, fields.join(",")));
    assert_eq!(told.len(), 102, "two fields are missing");
    let addresses = vec!["7"; 5_000].join(",");
    let told = faults(
        &mut world,
        &format!(
            r#"{{"kind":"key","practice":"north","name":"K","owner":"dr-lee","allowed_ips":[{addresses}]}}"#
        ),
    );
    assert_eq!(told.len(), 100);
    let region = "long".repeat(1_000);
    let told = faults(
        &mut world,
        &format!(r#"{{"kind":"practice","id":"south","name":"S","region":"{region}"}}"#),
    );
    assert_eq!((told.len(), told[0].chars().count()), (1, "1: ".len() + 500 + "…".len() - 2));
}

#[test]
fn a_key_in_the_wrong_place_is_told_and_not_repeated() {
    let mut world = World::furnished();
    let text = r#"{"kind":"pst_ven_5ecret"}
{"kind":"practice","id":"pst_sub_5ecret","name":"X"}
{"kind":"practice","id":"south","name":"X","pst_adm_5ecret":1}
{"kind":"practice","id":"south","pst_ses_5ecret":1,"pst_ses_5ecret":2}
{"kind":"user","practice":"north","username":"pst_tok_5ecret","name":"X"}
{"kind":"user","practice":"north","username":"pst_tok_5ecret","name":"X"}
{"kind":"key","practice":"north","name":"K","owner":"pst_sub_5ecret"}
{"kind":"key","practice":"north","name":"K","owner":"dr-lee","permissions":{"pst_sub_5ecret":"all"}}
{"kind":"vendor","id":"v","name":"V","status":"pst_ven_5ecret"}"#;
    let told = faults(&mut world, text);
    let lines: std::collections::BTreeSet<_> =
        told.iter().filter_map(|fault| fault.split(':').next()).collect();
    assert_eq!(lines.len(), 9, "{told:?}");
    assert!(told.iter().all(|fault| !fault.contains("5ecret")), "{told:?}");
    let named =
        r#"{"kind":"key","practice":"north","name":"K","owner":"dr-lee","key":"pst_ven_5"}"#;
    assert!(faults(&mut world, named)[0].contains("begins with pst_ven_"), "which is no key");
    let user = create_user("north", "pst_sub_5ecret");
    assert_eq!(world.faults(user), ["username: holds a key; keys do not belong in text"]);
}

#[test]
fn an_empty_file_changes_nothing() {
    let mut world = World::new();
    assert!(import(&mut world, "\n \r\n").unwrap().is_empty());
    assert_eq!(world.changes, 0);
}

#[test]
fn what_is_over_is_not_exported_and_an_overlap_is_an_end() {
    let mut world = World::furnished();
    let (revoked, rotated) = (world.issued().id, world.issued().id);
    world.must(RevokeKey { id: revoked, if_match: None });
    let fresh = world.fresh(Purpose::SubscriberKey);
    world.must(RotateKey { id: rotated, if_match: None, overlap: HOUR, fresh });
    let of_keys = |world: &World| -> Vec<String> {
        let lines = export::lines(&world.records, &world.terms, world.now).into_iter();
        lines.filter(|line| line.contains(r#""kind":"key""#)).collect()
    };
    let keys = of_keys(&world);
    let ends = format!(r#""expires_at":"{}""#, world.now.after(HOUR));
    assert_eq!(keys.len(), 2);
    assert_eq!(keys.iter().filter(|line| line.contains(&ends)).count(), 1);
    world.later(HOUR);
    assert_eq!(of_keys(&world).len(), 1);
}

/// What a line may say of a key, beyond what every key has.
fn arbitrary_key() -> impl Strategy<Value = IssueChoices> {
    (
        "[a-zA-Z\"\\\\é] ?[a-z]{0,20}[!-~]",
        proptest::option::of("[ -~]{0,40}x"),
        proptest::collection::btree_map(
            prop_oneof![Just("patient"), Just("billing"), Just("billing.invoices"), Just("files")],
            prop_oneof![
                Just(Access::NONE),
                Just(Access::READ),
                Just(Access::READ_WRITE),
                Just(Access::WRITE_ONLY)
            ],
            0..4,
        ),
        any::<bool>(),
        proptest::option::of(1_u64..1_000_000),
        proptest::collection::vec((any::<std::net::Ipv4Addr>(), 0_u8..=32), 0..3),
        proptest::option::of((1_u32..9_999, proptest::option::of(1_u32..1_000))),
    )
}

type IssueChoices = (
    String,
    Option<String>,
    BTreeMap<&'static str, Access>,
    bool,
    Option<u64>,
    Vec<(std::net::Ipv4Addr, u8)>,
    Option<(u32, Option<u32>)>,
);

fn issue_with(world: &mut World, choices: IssueChoices) -> IssueKey {
    let (name, description, permissions, bound, ends, addresses, limits) = choices;
    let networks = addresses
        .into_iter()
        .map(|(address, bits)| ipnet::IpNet::new(address.into(), bits).unwrap());
    IssueKey {
        name,
        description,
        permissions: Some(
            permissions.into_iter().map(|(name, to)| (name.to_owned(), to)).collect(),
        ),
        vendor: bound.then(|| vendor("acme")),
        expires_at: ends.map(|seconds| world.now.after(Duration::from_secs(seconds))),
        allowed_ips: networks.collect(),
        limits: limits
            .map(|(count, burst)| KeyLimits { rate: format!("{count}/min").into(), burst }),
        ..world.issue()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_exported_can_be_imported_and_is_exported_again_the_same(
        keys in proptest::collection::vec(arbitrary_key(), 0..6),
        region in proptest::option::of(prop_oneof![Just("au".to_owned()), Just("uk".to_owned())]),
        review in proptest::option::of("[ -~\n]{0,30}x"),
    ) {
        let mut world = World::furnished();
        world.must(CreatePractice { region, api_access: false, ..create_practice("south") });
        let agreement_expires = Some(world.now);
        world.must(CreateVendor { review, agreement_expires, ..create_vendor("zeta", VendorStatus::Suspended) });
        let fresh = world.fresh(Purpose::VendorKey);
        world.must(IssueVendorKey { vendor: vendor("acme"), fresh });
        for choices in keys {
            let issue = issue_with(&mut world, choices);
            world.must(issue);
        }
        let lines = export::lines(&world.records, &world.terms, world.now);
        let text = lines.join("\n");
        for secret in &world.secrets {
            prop_assert!(!text.contains(secret.as_str()));
        }
        let mut other = World::new();
        let made = import(&mut other, &text).unwrap();
        prop_assert_eq!(made.len(), lines.len());
        prop_assert_eq!(export::lines(&other.records, &other.terms, other.now), lines);
    }

    #[test]
    fn whatever_the_bytes_are_they_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let world = World::furnished();
        let _taken = world.plan(&read(&world, &bytes)).unwrap();
    }

    #[test]
    fn whatever_is_bent_in_a_line_it_is_taken_or_refused(
        at in 0_usize..800,
        with in prop_oneof![any::<u8>(), Just(b'"'), Just(b'{'), Just(b','), Just(b'0')],
    ) {
        let world = World::new();
        let mut bytes = CLINIC.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        // Hashing is not what is tried here.
        bytes.extend_from_slice(b"\n{}");
        let plan = world.plan(&read(&world, &bytes)).unwrap();
        prop_assert!(plan.output.is_err() && plan.puts.is_empty());
    }
}
