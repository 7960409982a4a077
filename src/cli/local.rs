//! The registry of a configuration, opened by a command itself: to change a store that nobody serves, or to read one
//! beside whoever serves it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use anyhow::{Context, anyhow, bail};
use tokio::runtime::Runtime;

use crate::config::{Config, StoreAddress};
use crate::model::{Actor, KeyId, NodeName, Username};
use crate::registry::operation::keys::RevokeKey;
use crate::registry::{Operation, Receipt, Registry, Terms};
use crate::store::{self, Mode, StoreError};
use crate::vault::Vault;

/// An open registry, and the runtime that its store lives on.
pub(super) struct Local {
    registry: Registry,
    vault: Arc<Vault>,
    runtime: Runtime,
}

impl Local {
    /// To change it. Where a gateway has an embedded store, `instead` says how to ask that gateway.
    pub(super) fn sole(config: &Config, instead: &str) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let vault = Vault::open(&config.keys.secrets).map(Arc::new)?;
        let opened = runtime.block_on(async {
            let store = store::open(&config.store, Mode::Sole).await?;
            registry(config, store, &vault).await
        });
        let registry = opened.map_err(|error| match error.downcast_ref::<StoreError>() {
            Some(StoreError::InUse(_)) => anyhow!(
                "{error:#}\n\
                 a gateway that runs has it; ask that gateway through its admin listener:\n\
                 \x20   POSTERN_ADMIN_URL={} POSTERN_ADMIN_TOKEN=pst_adm_… {instead}",
                admin_url(config)
            ),
            _ => error,
        })?;
        Ok(Self { registry, vault, runtime })
    }

    /// To read it. None where nothing was kept in it yet.
    pub(super) fn reader(config: &Config) -> anyhow::Result<Option<Self>> {
        if is_unmade(config) {
            return Ok(None);
        }
        let runtime = runtime()?;
        let opened = runtime.block_on(async {
            let store = store::open(&config.store, Mode::Reader).await?;
            // Nobody's yet: reading must not make it anybody's, nor make secrets for it.
            if store.load(&mut store::Unheard).await?.vault.is_none() {
                return Ok(None);
            }
            let secrets = &config.keys.secrets;
            if !secrets.join("pepper").exists() {
                bail!(
                    "there is a store and no pepper for it in {}; `keys.secrets` names its directory",
                    secrets.display()
                );
            }
            let vault = Vault::open(secrets).map(Arc::new)?;
            Ok(Some((registry(config, store, &vault).await?, vault)))
        })?;
        Ok(opened.map(|(registry, vault)| Self { registry, vault, runtime }))
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Does it in the name of whoever runs this command, and keeps it.
    pub(super) fn execute<O: Operation>(&self, operation: O) -> anyhow::Result<O::Output> {
        let done = self.runtime.block_on(self.registry.execute(&actor()?, operation))?;
        Ok(done.output)
    }

    pub(super) fn revoke_key(&self, key: KeyId) -> anyhow::Result<Receipt> {
        Ok(self
            .runtime
            .block_on(self.registry.revoke_key(&actor()?, RevokeKey { id: key, if_match: None }))?)
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn registry(
    config: &Config,
    store: Arc<dyn store::RegistryStore>,
    vault: &Arc<Vault>,
) -> anyhow::Result<Registry> {
    let name = format!("cli-{}", std::process::id());
    let node = NodeName::parse(&name).context("a name for this node")?;
    Ok(Registry::open(store, Arc::clone(vault), node, Terms::of(config)).await?)
}

/// Whether a configuration names an embedded store in which nothing was ever kept.
pub(super) fn is_unmade(config: &Config) -> bool {
    match &config.store {
        StoreAddress::Embedded(directory) => is_empty(directory),
        StoreAddress::Redis(_) => false,
    }
}

/// Whether an embedded store was never made.
fn is_empty(directory: &Path) -> bool {
    // One that cannot be read is for the store to complain about.
    fs::read_dir(directory).map_or_else(
        |error| error.kind() == std::io::ErrorKind::NotFound,
        |mut entries| entries.next().is_none(),
    )
}

/// Who stands in the audit: the person at this machine, by name where the environment has one.
fn actor() -> anyhow::Result<Actor> {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| env::var(name).ok());
    let numbered = fs::metadata("/proc/self").map(|process| format!("uid-{}", process.uid()));
    let names = named.chain(numbered).chain(["unknown".to_owned()]);
    let mut usernames = names.map(|person| Username::parse(&format!("cli@{person}")));
    let username = usernames.find_map(Result::ok).context("nobody to stand in the audit")?;
    Ok(Actor { username, address: None })
}

/// The store in words, without its password.
pub(super) fn named(config: &Config) -> String {
    match &config.store {
        StoreAddress::Embedded(directory) => format!("embedded:{}", directory.display()),
        StoreAddress::Redis(address) => {
            let servers = address.servers.iter().map(|(host, port)| format!("{host}:{port}"));
            let scheme = if address.tls { "rediss" } else { "redis" };
            format!("{scheme}://{}", servers.collect::<Vec<_>>().join(","))
        }
    }
}

fn admin_url(config: &Config) -> String {
    let scheme = if config.listen.admin_tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", config.listen.admin)
}
