//! The configuration of one gateway under test, piece by piece.

use std::fs;
use std::path::Path;

use super::Gateway;
use super::fixture::{OTHER_ROUTES, ROUTES};
use super::template::Template;

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Lines under `listen:`.
    listen: String,
    /// Lines under `upstreams: practice:`.
    upstream: String,
    /// Lines under `proxy:`.
    proxy: String,
    /// Lines under `apis: standard:`.
    api: String,
    /// More top-level YAML.
    top: String,
    routes: String,
    files: Vec<(String, Vec<u8>)>,
    pub(super) log: &'static str,
}

impl Setup {
    pub(crate) fn to(urls: &[String]) -> Self {
        Self {
            listen: "  gateway: 127.0.0.1:0\n  admin: 127.0.0.1:0\n".to_owned(),
            upstream: format!("    url: [{}]\n", urls.join(", ")),
            proxy: "  workers: 2\n".to_owned(),
            api: String::new(),
            top: String::new(),
            routes: ROUTES.to_owned(),
            files: Vec::new(),
            log: "info",
        }
    }

    /// The lines under `listen:`, with `gateway` and `admin`.
    pub(crate) fn listen(mut self, lines: &str) -> Self {
        self.listen = lines.lines().map(|line| format!("  {line}\n")).collect();
        self
    }

    pub(crate) fn upstream(mut self, line: &str) -> Self {
        self.upstream += &format!("    {line}\n");
        self
    }

    /// `workers: 1` replaces the usual two.
    pub(crate) fn proxy(mut self, line: &str) -> Self {
        if line.starts_with("workers") {
            self.proxy.clear();
        }
        self.proxy += &format!("  {line}\n");
        self
    }

    pub(crate) fn api(mut self, line: &str) -> Self {
        self.api += &format!("    {line}\n");
        self
    }

    pub(crate) fn top(mut self, yaml: &str) -> Self {
        self.top += yaml;
        self.top += "\n";
        self
    }

    pub(crate) fn routes(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.routes);
        self
    }

    /// How much is logged; everything, where a suite looks for keys in the log.
    pub(crate) fn log(mut self, level: &'static str) -> Self {
        self.log = level;
        self
    }

    pub(crate) fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        self.files.push((name.to_owned(), bytes.to_vec()));
        self
    }

    pub(crate) fn yaml(&self) -> String {
        let Self { listen, upstream, proxy, api, top, .. } = self;
        format!(
            "listen:\n{listen}store: embedded:./data\nupstreams:\n  practice:\n{upstream}apis:\n  standard:\n    mount: /v1\n    \
             upstream: practice\n    routes: routes.yaml\n{api}  other:\n    mount: /other\n    \
             upstream: practice\n    routes: other.yaml\nproxy:\n{proxy}{top}"
        )
    }

    /// The files of the configuration, and the fixture's store where there is none yet.
    pub(crate) fn write(&self, directory: &Path) {
        if !directory.join("data").exists() {
            Template::get().copy_to(directory);
        }
        self.write_files(directory);
    }

    /// Writes everything but the main file, then the main file: what a careful person does.
    pub(crate) fn write_files(&self, directory: &Path) {
        for (name, bytes) in &self.files {
            save(&directory.join(name), bytes);
        }
        save(&directory.join("routes.yaml"), self.routes.as_bytes());
        save(&directory.join("other.yaml"), OTHER_ROUTES.as_bytes());
        save(&directory.join("postern.yaml"), self.yaml().as_bytes());
    }

    pub(crate) fn start(&self) -> Gateway {
        Gateway::start(self)
    }
}

/// Whole or not at all, as an editor saves; untouched where nothing changed.
pub(crate) fn save(path: &Path, bytes: &[u8]) {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return;
    }
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(&beside, path).unwrap();
}
