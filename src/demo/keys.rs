//! What the demo's registry holds: made through the very operations that the admin API calls, before anything is served.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::app::{DiskSources, Faults};
use crate::config::Config;
use crate::model::{
    Access, Actor, KeyId, NodeName, PlainKey, PracticeId, Role, Username, VendorId, VendorStatus,
};
use crate::registry::operation::administrators::{CreateAdmin, IssueToken};
use crate::registry::operation::keys::IssueKey;
use crate::registry::operation::practices::{CreatePractice, CreateUser};
use crate::registry::operation::vendors::{CreateVendor, IssueVendorKey};
use crate::registry::{Operation, Registry, Terms};
use crate::store::{self, Mode};
use crate::vault::{self, Purpose, Vault};

/// A key as its holder gets it.
#[derive(Clone, Debug)]
pub(super) struct DemoKey {
    pub(super) id: KeyId,
    pub(super) plain: PlainKey,
}

/// One vendor, two keys of the practice, and an operator.
#[derive(Clone, Debug)]
pub(super) struct DemoKeys {
    pub(super) vendor: DemoKey,
    /// Reads patients, contacts and files; books appointments.
    pub(super) desk: DemoKey,
    /// Reads patients; writes invoices.
    pub(super) billing: DemoKey,
    pub(super) operator: Operator,
}

#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) token: PlainKey,
    pub(super) password: PlainKey,
}

pub(super) const PRACTICE: &str = "harbour-clinic";
pub(super) const OPERATOR: &str = "operator";

const DESK: [(&str, Access); 4] = [
    ("appointment", Access::READ_WRITE),
    ("patient", Access::READ),
    ("contact", Access::READ),
    ("files", Access::READ),
];
const BILLING: [(&str, Access); 2] = [("financial", Access::READ_WRITE), ("patient", Access::READ)];

/// Fills the store of a configuration, which nobody serves yet.
pub(super) fn fill(config: &Path) -> anyhow::Result<DemoKeys> {
    let config = Config::load(config, &DiskSources).map_err(Faults)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let vault = Arc::new(Vault::open(&config.keys.secrets)?);
        let store = store::open(&config.store, Mode::Sole).await?;
        let node = NodeName::parse("demo")?;
        let registry = Registry::open(store, vault, node, Terms::of(&config)).await?;
        let actor = Actor { username: Username::parse("postern-demo")?, address: None };
        Clerk { registry, actor }.enter_all().await
    })
}

struct Clerk {
    registry: Registry,
    actor: Actor,
}

impl Clerk {
    async fn enter_all(&self) -> anyhow::Result<DemoKeys> {
        let practice = PracticeId::parse(PRACTICE)?;
        let harbour = CreatePractice {
            id: practice.clone(),
            name: "Harbour Clinic".to_owned(),
            region: None,
            api_access: true,
            plan: None,
        };
        self.enter(harbour).await?;
        for (username, name) in [("mia.tanaka", "Mia Tanaka"), ("sam.okafor", "Sam Okafor")] {
            let (username, name) = (Username::parse(username)?, name.to_owned());
            self.enter(CreateUser { practice: practice.clone(), username, name }).await?;
        }
        Ok(DemoKeys {
            vendor: self.vendor().await?,
            desk: self.key(&practice, "Front desk", "mia.tanaka", &DESK).await?,
            billing: self.key(&practice, "Billing", "sam.okafor", &BILLING).await?,
            operator: self.operator().await?,
        })
    }

    async fn enter<O: Operation>(&self, operation: O) -> anyhow::Result<()> {
        self.registry.execute(&self.actor, operation).await.context("cannot fill the registry")?;
        Ok(())
    }

    async fn vendor(&self) -> anyhow::Result<DemoKey> {
        let vendor = VendorId::parse("brightbook")?;
        let brightbook = CreateVendor {
            id: vendor.clone(),
            name: "BrightBook".to_owned(),
            contact: None,
            status: VendorStatus::Approved,
            review: Some("reviewed for the demo".to_owned()),
            agreement_expires: None,
        };
        self.enter(brightbook).await?;
        let cost = self.registry.terms().cost;
        let fresh = self.registry.vault().mint(Purpose::VendorKey, cost, false)?;
        let made = DemoKey { id: fresh.id, plain: fresh.plain.clone() };
        self.enter(IssueVendorKey { vendor, fresh }).await?;
        Ok(made)
    }

    async fn key(
        &self,
        practice: &PracticeId,
        name: &str,
        owner: &str,
        permissions: &[(&str, Access)],
    ) -> anyhow::Result<DemoKey> {
        let cost = self.registry.terms().cost;
        let fresh = self.registry.vault().mint(Purpose::SubscriberKey, cost, false)?;
        let made = DemoKey { id: fresh.id, plain: fresh.plain.clone() };
        let granted = permissions.iter().map(|(name, access)| ((*name).to_owned(), *access));
        let issue = IssueKey {
            practice: practice.clone(),
            name: name.to_owned(),
            description: None,
            owner: Username::parse(owner)?,
            api: None,
            permissions: Some(granted.collect()),
            vendor: None,
            expires_at: None,
            allowed_ips: Vec::new(),
            limits: None,
            fresh,
        };
        self.enter(issue).await?;
        Ok(made)
    }

    async fn operator(&self) -> anyhow::Result<Operator> {
        let username = Username::parse(OPERATOR)?;
        let password = vault::make_password()?;
        let hash = vault::hash_password(&password)?;
        let create =
            CreateAdmin { username: username.clone(), role: Role::Operator, password: hash };
        self.enter(create).await?;
        let (id, token, digest) = self.registry.vault().mint_token(Purpose::AdminToken)?;
        let name = "demo".to_owned();
        self.enter(IssueToken { username, id, name, digest, expires_at: None }).await?;
        Ok(Operator { token, password })
    }
}
