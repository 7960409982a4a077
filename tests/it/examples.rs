//! Every configuration in the repository is without fault.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::gateway::BINARY;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Configurations are files with `listen:` at the left margin; the others are route maps.
fn configurations() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("config")).expect("config/");
    let yaml = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = yaml
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| {
            std::fs::read_to_string(path).unwrap().lines().any(|line| line.starts_with("listen:"))
        })
        .collect();
    found.sort();
    found
}

/// The variables that a file names, each with a value of the kind its name promises.
fn variables(file: &Path) -> Vec<(String, &'static str)> {
    let text = std::fs::read_to_string(file).unwrap();
    let names = text.split("${env:").skip(1).filter_map(|rest| rest.split('}').next());
    let value =
        |name: &str| if name.ends_with("_URL") { "http://127.0.0.1:9000" } else { "example" };
    names.map(|name| (name.to_owned(), value(name))).collect()
}

#[test]
fn every_shipped_example_passes_check() {
    let examples = configurations();
    assert!(!examples.is_empty());
    for example in examples {
        let mut check = Command::new(BINARY);
        check.args(["check", "--config"]).arg(&example).envs(variables(&example));
        let output = check.output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", example.display());
    }
}

#[test]
fn what_the_container_needs_is_there() {
    for file in ["docker-compose.yml", "Dockerfile"] {
        let text = std::fs::read_to_string(root().join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains("postern"), "{file}");
        assert!(!text.contains('\t'), "{file} has a tab");
    }
}
