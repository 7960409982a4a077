//! Properties of the source itself: layers, purity, size, module docs, and what may be named where.

use std::fs;
use std::path::{Path, PathBuf};

/// A module may name only modules on rows above its own.
const LAYERS: &[&[&str]] = &[
    &["model"],
    &["policy"],
    &["config"],
    &["telemetry"],
    &["exclusive"],
    &["journal"],
    &["vault"],
    &["store"],
    &["registry"],
    &["history"],
    &["limits"],
    &["auth"],
    &["proxy", "admin"],
    &["app"],
    &["demo"],
    &["cli"],
];

/// The first rows are pure: nothing in them may name the outside world.
const PURE_ROWS: usize = 3;
const IMPURE: &[&str] = &[
    "tokio::",
    "hyper::",
    "redis::",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::net::Tcp",
    "::now()",
];

const MAX_LINES: usize = 500;

/// What only some files may name, and why.
const RESERVED: &[(&str, &[&str])] = &[
    ("saphyr", &["src/config/yaml.rs", "src/config/yaml/"]),
    (
        "StatusCode::",
        &["src/proxy/respond.rs", "src/proxy/respond/", "src/admin.rs", "src/admin/", "src/demo/"],
    ),
    // Whoever decides for an administrator holds the decision to who that is by then: `Call::execute`.
    ("who.actor", &["src/admin/endpoint.rs", "src/admin/sign_in/form.rs"]),
    ("unsafe {", &["src/journal/mapped.rs"]),
    ("\"postern_", &["src/telemetry/metrics.rs", "src/telemetry/metrics/"]),
    ("print!", &["src/cli/output.rs"]),
    ("println!", &["src/cli/output.rs"]),
    ("eprint!", &["src/cli/output.rs"]),
    ("eprintln!", &["src/cli/output.rs"]),
    // What the demo has to say is its guide; `serve` says its addresses in one line that scripts wait for; whether
    // there is colour depends on what stdout is.
    (
        "stdout()",
        &["src/cli/output.rs", "src/demo.rs", "src/app/serve.rs", "src/telemetry/paint.rs"],
    ),
    ("stderr()", &["src/cli/output.rs", "src/app/serve.rs", "src/telemetry/logging.rs"]),
];

/// Words that say that something is not finished, in two halves so that this file is clean.
const UNFINISHED: &[&str] = &[
    concat!("SE", "AM"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn is_test(&self) -> bool {
        self.name().ends_with("tests.rs")
            || self.name().contains("/tests/")
            || self.name().starts_with("tests/")
    }

    /// Numbered lines without comments, up to the inline tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests").unwrap_or(self.text.len());
        let lines = self.text[..tests].lines().enumerate();
        lines.map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn sources(directory: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)) else {
        return found;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let path = Path::new(directory).join(entry.file_name());
        if entry.path().is_dir() {
            found.extend(sources(path.to_str().unwrap()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(Source { text: fs::read_to_string(entry.path()).unwrap(), path });
        }
    }
    found
}

fn everything() -> Vec<Source> {
    ["src", "tests", "benches", "fuzz/fuzz_targets"].into_iter().flat_map(sources).collect()
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn row(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn top_module(path: &Path) -> String {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[test]
fn a_module_names_only_modules_before_it() {
    let mut problems = Vec::new();
    for source in sources("src") {
        let own = top_module(&source.path);
        let Some(own_row) = row(&own) else { continue };
        for (number, line) in source.code() {
            let here = format!("{}:{number}", source.name());
            for named in line.split("crate::").skip(1).map(identifier) {
                if named != own && row(&named).is_none_or(|row| row >= own_row) {
                    problems.push(format!("{here}: `{own}` may not name `{named}`"));
                }
            }
            if line.contains("crate::{") {
                problems.push(format!("{here}: one line for each module, no group of the crate"));
            }
            if line.contains("super::super") {
                problems.push(format!("{here}: name it from `crate::`"));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_module_has_its_row() {
    let mut problems = Vec::new();
    for source in sources("src") {
        let module = top_module(&source.path);
        if row(&module).is_none() && !["lib", "main"].contains(&module.as_str()) {
            problems.push(format!("{}: `{module}` is on no row of LAYERS", source.name()));
        }
    }
    report(&problems);
}

#[test]
fn the_first_layers_are_pure() {
    let mut problems = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_test()) {
        let own = top_module(&source.path);
        if row(&own).is_none_or(|row| row >= PURE_ROWS) {
            continue;
        }
        for (number, line) in source.code() {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                problems.push(format!(
                    "{}:{number}: `{own}` is pure but names `{word}`",
                    source.name()
                ));
            }
        }
    }
    report(&problems);
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut problems = Vec::new();
    for source in everything() {
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            problems.push(format!("{}: {lines} lines, longer than {MAX_LINES}", source.name()));
        }
        if !source.text.starts_with("//!") {
            problems.push(format!("{}: no module doc", source.name()));
        }
        if source.name().ends_with("/mod.rs") {
            problems.push(format!("{}: write foo.rs beside foo/", source.name()));
        }
        for word in UNFINISHED.iter().filter(|word| source.text.contains(**word)) {
            problems.push(format!("{}: `{word}`", source.name()));
        }
    }
    report(&problems);
}

#[test]
fn exceptions_have_reasons() {
    let mut problems = Vec::new();
    for source in everything() {
        for (index, line) in source.text.lines().enumerate() {
            let line = line.trim();
            let bare = line == "#[ignore]"
                || line.starts_with("#[allow(")
                || line.starts_with("#![allow(");
            if bare {
                problems.push(format!("{}:{}: {line}", source.name(), index + 1));
            }
        }
    }
    report(&problems);
}

/// Whether the word stands there by itself, not as the end of a longer name.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !word.starts_with(char::is_alphabetic)
            || !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn some_things_are_named_in_one_place_alone() {
    let mut problems = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_test()) {
        for (word, homes) in RESERVED {
            if homes.iter().any(|home| source.name().starts_with(home)) {
                continue;
            }
            for (number, line) in source.code().filter(|(_, line)| names(line, word)) {
                problems.push(format!("{}:{number}: `{word}` in `{}`", source.name(), line.trim()));
            }
        }
    }
    report(&problems);
}

#[test]
fn the_architecture_names_only_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut problems = Vec::new();
    for document in ["ARCHITECTURE.md", "README.md"] {
        let Ok(text) = fs::read_to_string(root.join(document)) else {
            problems.push(format!("{document} is missing"));
            continue;
        };
        // What stands in backquotes, has a slash and ends as a file of this repository does.
        for name in text.split('`').skip(1).step_by(2) {
            let ends =
                [".rs", ".sh", ".toml", ".yaml", ".yml"].iter().any(|end| name.ends_with(end));
            let plain = !name.contains([' ', '*', '{', '$', '\n', '<']);
            if ends && plain && name.contains('/') {
                let exists = root.join(name).exists() || root.join("src").join(name).exists();
                if !exists {
                    problems.push(format!("{document}: there is no `{name}`"));
                }
            }
        }
    }
    report(&problems);
}

#[test]
fn the_lockfile_stays_small() {
    let lock =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let packages = lock.matches("[[package]]").count();
    assert!(packages < 350, "{packages} packages");
}
