//! The configuration of the demo as real files, for the gateway to read and for people to edit.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::demo::keys::DemoKeys;

const ROUTES: &str = include_str!("routes.yaml");

pub(super) struct Settings {
    pub(super) practice: SocketAddr,
    pub(super) gateway: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// A directory that only its owner may read, because keys lie in it; removed when dropped.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn create(settings: &Settings) -> anyhow::Result<Self> {
        let unique = getrandom::u64().context("the operating system gave no random bytes")?;
        let path = std::env::temp_dir().join(format!("postern-demo-{unique:016x}"));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the directory {}", path.display()))?;
        let directory = Self(path);
        write_private(&directory.0.join("routes.yaml"), ROUTES)?;
        write_private(&directory.config(), &configuration(settings))?;
        Ok(directory)
    }

    /// Files that curl reads headers from, so that no key stands in a history or a process list.
    pub(super) fn add_headers(&self, keys: &DemoKeys) -> anyhow::Result<()> {
        let DemoKeys { vendor, desk, billing, operator } = keys;
        for (name, key) in [("desk", desk), ("billing", billing)] {
            let (subscriber, vendor) = (key.plain.reveal(), vendor.plain.reveal());
            let headers = format!("X-Subscriber-Key: {subscriber}\nX-Vendor-Key: {vendor}\n");
            write_private(&self.0.join(name), &headers)?;
        }
        let header = format!("Authorization: Bearer {}\n", operator.token.reveal());
        write_private(&self.0.join("operator"), &header)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("postern.yaml")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "the demo's files are still there");
        }
    }
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn configuration(settings: &Settings) -> String {
    let Settings { practice, gateway, admin } = settings;
    format!(
        "\
# The gateway of `postern demo`. Save a change, here or in routes.yaml, and it is taken in about a second;
# one with a fault is reported and changes nothing.
listen:
  gateway: {gateway}
  admin: {admin}
store: embedded:./data               # practices, vendors and keys, in this directory
upstreams:
  practice:
    url: http://{practice}
    health: {{ path: /health, interval: 5s }}
apis:
  standard:
    mount: /v1
    upstream: practice
    routes: routes.yaml
limits:                              # small, so that curl -i shows them; 429 where one is exceeded
  key: {{ rate: 60/min, burst: 30 }}   # of each key
  category: {{ files: {{ rate: 20/min }} }}
  daily_quota: {{ requests: 5000 }}
  max_concurrent_per_key: 10
proxy:
  max_connections: 200
  drain: 5s
"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::app::DiskSources;
    use crate::config::Config;
    use crate::demo::keys;

    #[test]
    fn the_files_have_no_fault_and_are_for_their_owner_alone() {
        let [practice, gateway, admin] =
            ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"].map(|text| text.parse().unwrap());
        let settings = Settings { practice, gateway, admin };
        let directory = Directory::create(&settings).unwrap();
        let keys = keys::fill(&directory.config()).unwrap();
        directory.add_headers(&keys).unwrap();
        for name in ["postern.yaml", "desk", "billing", "operator"] {
            let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let config = Config::load(&directory.config(), &DiskSources).unwrap();
        assert!(config.listen.gateway[0].address == gateway && config.listen.admin == admin);
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!path.exists());
    }
}
