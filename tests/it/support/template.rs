//! The store of the fixture, imported once and copied into every gateway's directory.
//!
//! Each test is a process of its own, so the template lies on disk: in a directory that is named after the program that
//! made it and what it was made of, moved into place whole. Whoever comes second uses it; two that make it at the same
//! time both try, and the one that loses throws its own away.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::fixture;
use super::gateway::BINARY;
use super::program;
use super::setup::Setup;

/// What the commands printed, beside `data` and `secrets`.
const MADE: &str = "made.jsonl";
const OPERATOR: &str = "operator.json";

/// What was made.
pub(crate) struct Template {
    path: PathBuf,
    /// Ids by the names of the keys.
    ids: HashMap<String, String>,
    operator: String,
}

impl Template {
    pub(crate) fn get() -> &'static Self {
        static TEMPLATE: OnceLock<Template> = OnceLock::new();
        TEMPLATE.get_or_init(|| {
            let path = place();
            if !path.exists() {
                make(&path);
            }
            Self::read(path)
        })
    }

    fn read(path: PathBuf) -> Self {
        let made = fs::read_to_string(path.join(MADE)).unwrap();
        let lines = made.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
        let keys = lines.filter(|line| line["kind"] == "key");
        let ids = keys.map(|line| (text(&line, "name"), text(&line, "id"))).collect();
        let operator = fs::read(path.join(OPERATOR)).unwrap();
        let operator: Value = serde_json::from_slice(&operator).unwrap();
        Self { operator: text(&operator, "token"), path, ids }
    }

    /// The id that a key of the fixture was given.
    pub(crate) fn key_id(&self, name: &str) -> &str {
        self.ids.get(name).unwrap_or_else(|| panic!("no key {name} was imported"))
    }

    /// The name of the key with an id.
    pub(crate) fn key_name(&self, id: &str) -> Option<&str> {
        self.ids.iter().find(|(_, known)| *known == id).map(|(name, _)| name.as_str())
    }

    /// The token of an operator.
    pub(crate) fn operator(&self) -> &str {
        &self.operator
    }

    /// Puts the store and its secrets into a directory.
    pub(crate) fn copy_to(&self, directory: &Path) {
        for name in ["data", "secrets"] {
            copy(&self.path.join(name), &directory.join(name));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn place() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    let program = fs::metadata(BINARY).unwrap();
    (program.mtime(), program.mtime_nsec(), program.size()).hash(&mut hasher);
    fixture::import_lines().hash(&mut hasher);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{:016x}", hasher.finish()))
}

fn make(path: &Path) {
    let home = path.parent().unwrap();
    forget_old_ones(home);
    let making = TempDir::new_in(home).unwrap();
    let at = |name: &str| making.path().join(name);
    Setup::to(&["http://127.0.0.1:9".to_owned()]).write_files(making.path());
    fs::write(at("import.jsonl"), fixture::import_lines()).unwrap();
    let (config, lines) = (at("postern.yaml"), at("import.jsonl"));
    let config = config.to_str().unwrap();
    let import = ["import", "--config", config, "--from", lines.to_str().unwrap(), "--json"];
    fs::write(at(MADE), program::run(making.path(), &[], &import).done().out).unwrap();
    let operator =
        ["admins", "create", "--config", config, "--username", "root", "--role", "operator"];
    fs::write(at(OPERATOR), program::run(making.path(), &[], &operator).done().out).unwrap();
    // Where another test was first, its template is as good.
    if let Err(error) = fs::rename(making.path(), path) {
        assert!(path.exists(), "{error}");
    }
}

/// Templates of earlier builds; nobody uses one that is an hour old and not this program's.
fn forget_old_ones(home: &Path) {
    for entry in fs::read_dir(home).unwrap().flatten() {
        let is_template = entry.file_name().to_string_lossy().starts_with("store-");
        let age = entry.metadata().and_then(|data| data.modified()).map(|time| time.elapsed());
        let is_old = age.is_ok_and(|age| age.is_ok_and(|age| age.as_secs() > 3600));
        if is_template && is_old {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}
