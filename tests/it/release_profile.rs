//! Release builds, and they alone, are told how the gateway is used (.cargo/with-profile).

use std::process::Command;

const OPTIMIZED: [&str; 2] = ["-C", "opt-level=3"];
const RELEASE: [&str; 2] = ["--out-dir", "/elsewhere/target/release/deps"];

/// What the compiler would be called with; `into` is where a build is to count.
fn arguments(given: &[&str], into: Option<&str>) -> Vec<String> {
    let mut told = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.cargo/with-profile"));
    told.args(["printf", "%s\\n"]).args(given).env_remove("POSTERN_COUNT_INTO");
    if let Some(into) = into {
        told.env("POSTERN_COUNT_INTO", into);
    }
    let output = told.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn added(given: &[&str], into: Option<&str>) -> Vec<String> {
    let all = arguments(given, into);
    assert_eq!(all[..given.len()], *given);
    all[given.len()..].to_vec()
}

#[test]
fn a_release_build_is_told_what_is_often_run() {
    let told = added(&[OPTIMIZED, RELEASE].concat(), None);
    let profile = told[0].strip_prefix("-Cprofile-use=").unwrap();
    let bytes = std::fs::read(profile).unwrap();
    assert!(bytes.starts_with(b"\xfflprofi\x81"), "{profile} is not a profile");
    assert_eq!(told[1..], ["-Cllvm-args=-no-pgo-warn-mismatch"]);
}

#[test]
fn one_that_counts_is_told_nothing() {
    let told = added(&[OPTIMIZED, RELEASE].concat(), Some("/counted"));
    assert_eq!(told, ["-Cprofile-generate=/counted"]);
}

#[test]
fn other_builds_are_left_alone() {
    let debug = ["--out-dir", "/elsewhere/target/debug/deps"];
    let counted = ["--out-dir", "/elsewhere/target/instructions/deps"];
    let optimized = [OPTIMIZED, RELEASE].concat();
    let alone: [Vec<&str>; 8] = [
        vec!["-vV"],
        [OPTIMIZED, debug].concat(),
        [OPTIMIZED, counted].concat(),
        // Build scripts and macros, which run while something is built.
        [["-C", "opt-level=0"], RELEASE].concat(),
        [&optimized[..], &["--cfg", "fuzzing"]].concat(),
        [&optimized[..], &["-Cinstrument-coverage"]].concat(),
        [&optimized[..], &["-Cprofile-use=/another"]].concat(),
        [&optimized[..], &["-C", "profile-generate=/another"]].concat(),
    ];
    for given in alone {
        assert_eq!(added(&given, None), Vec::<String>::new(), "{given:?}");
        assert_eq!(added(&given, Some("/counted")), Vec::<String>::new(), "{given:?}");
    }
}
