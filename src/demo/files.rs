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
    pub(super) keys: DemoKeys,
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
        let DemoKeys { vendor, desk, billing } = &settings.keys;
        for (name, key) in [("desk", desk), ("billing", billing)] {
            let (subscriber, vendor) = (key.key.reveal(), vendor.key.reveal());
            let headers = format!("X-Subscriber-Key: {subscriber}\nX-Vendor-Key: {vendor}\n");
            write_private(&directory.0.join(name), &headers)?;
        }
        write_private(&directory.config(), &configuration(settings))?;
        Ok(directory)
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
    let Settings { practice, gateway, admin, keys: DemoKeys { vendor, desk, billing } } = settings;
    format!(
        "\
# The gateway of `postern demo`. Save a change, here or in routes.yaml, and it is taken in about a second;
# one with a fault is reported and changes nothing.
listen:
  gateway: {gateway}
  admin: {admin}
upstreams:
  practice:
    url: http://{practice}
    health: {{ path: /health, interval: 5s }}
apis:
  standard:
    mount: /v1
    upstream: practice
    routes: routes.yaml
proxy:
  max_connections: 200
  drain: 5s
static_keys:
  - {{ kind: vendor, vendor: brightbook, key: {vendor_key} }}
  - kind: subscriber                 # the front desk: reads patients, contacts and files, books appointments
    id: {desk_id}
    practice: harbour-clinic
    owner: mia.tanaka
    api: standard
    permissions: {{ appointment: write, patient: read, contact: read, files: read }}
    key: {desk_key}
  - kind: subscriber                 # billing: reads patients, writes invoices
    id: {billing_id}
    practice: harbour-clinic
    owner: sam.okafor
    api: standard
    permissions: {{ financial: write, patient: read }}
    key: {billing_key}
",
        vendor_key = vendor.key.reveal(),
        desk_id = desk.id,
        desk_key = desk.key.reveal(),
        billing_id = billing.id,
        billing_key = billing.key.reveal(),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::app::DiskSources;
    use crate::config::Config;

    #[test]
    fn the_files_have_no_fault_and_are_for_their_owner_alone() {
        let [practice, gateway, admin] =
            ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"].map(|text| text.parse().unwrap());
        let keys = DemoKeys::generate().unwrap();
        let settings = Settings { practice, gateway, admin, keys };
        let directory = Directory::create(&settings).unwrap();
        let mode = fs::metadata(directory.config()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let config = Config::load(&directory.config(), &DiskSources).unwrap();
        assert_eq!(config.static_keys.len(), 3);
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!path.exists());
    }
}
