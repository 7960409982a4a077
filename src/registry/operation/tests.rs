//! A registry in memory, on which operations are planned and carried out as a node does it.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::model::{AuditHead, Catalogue, Lifetimes, Role, SecretHash, VendorStatus};
use crate::registry::operation::administrators::*;
use crate::registry::operation::keys::*;
use crate::registry::operation::practices::*;
use crate::registry::operation::vendors::*;
use crate::store::Change;
use crate::vault::{Cost, Fresh, Purpose, Vault};

mod administrators;
mod import;
mod keys;
mod machine;
mod practices;
mod proof;
mod vendors;

static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::ephemeral().unwrap());

const START: i64 = 1_800_000_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
struct World {
    records: Records,
    terms: Terms,
    now: Timestamp,
    actor: Actor,
    used: Used,
    /// Everything that was written of what was done.
    deeds: Vec<Deed>,
    /// What must be in no deed.
    secrets: Vec<String>,
    changes: u64,
}

#[derive(Debug, Default)]
struct Used(BTreeMap<KeyId, Timestamp>);

impl LastUsed for Used {
    fn of(&self, key: KeyId) -> Option<Timestamp> {
        self.0.get(&key).copied()
    }
}

impl World {
    fn new() -> Self {
        let mut catalogue = Catalogue::default();
        let billing = catalogue.add_category("billing", "Billing");
        catalogue.add_scope(billing, "invoices", "Invoices");
        Self {
            records: Records::default(),
            terms: Terms {
                apis: vec!["standard".into()],
                catalogue,
                regions: vec!["au".to_owned(), "uk".to_owned()],
                lifetimes: Lifetimes::default(),
                grants_read_by_default: false,
                reveal: false,
                cost: Cost { memory_kib: 8, passes: 1 },
            },
            now: Timestamp::from_micros(START),
            actor: Actor { username: username("root"), address: None },
            used: Used::default(),
            deeds: Vec::new(),
            secrets: Vec::new(),
            changes: 0,
        }
    }

    /// With practice `north`, its user `dr-lee`, and the approved vendor `acme`.
    fn furnished() -> Self {
        let mut world = Self::new();
        world.must(create_practice("north"));
        world.must(create_user("north", "dr-lee"));
        world.must(create_vendor("acme", VendorStatus::Approved));
        world
    }

    fn plan<O: Operation>(&self, operation: &O) -> Result<Plan<O::Output>, Rejection> {
        operation.plan(&Ground {
            records: &self.records,
            terms: &self.terms,
            now: self.now,
            actor: &self.actor,
            last_used: &self.used,
        })
    }

    /// Plans and applies.
    #[expect(clippy::needless_pass_by_value, reason = "an operation is made to be carried out")]
    fn run<O: Operation>(&mut self, operation: O) -> Result<O::Output, Rejection> {
        let plan = self.plan(&operation)?;
        let told = serde_json::to_string(&plan.deeds).unwrap();
        for secret in &self.secrets {
            assert!(!told.contains(secret.as_str()), "a secret in {told}");
        }
        if plan.puts.is_empty() && plan.removes.is_empty() && plan.deeds.is_empty() {
            return Ok(plan.output);
        }
        self.changes += 1;
        let change = Change {
            id: self.changes.to_string(),
            at: self.now,
            puts: plan.puts,
            removes: plan.removes,
            audit: Vec::new(),
        };
        let _touched = self.records.apply(Position(self.changes), &change);
        self.deeds.extend(plan.deeds);
        assert_eq!(self.records.head(), AuditHead::default());
        Ok(plan.output)
    }

    fn must<O: Operation>(&mut self, operation: O) -> O::Output {
        self.run(operation).unwrap()
    }

    fn refusal<O: Operation>(&mut self, operation: O) -> Rejection {
        let before = self.changes;
        let rejection = self.run(operation).err().expect("a rejection");
        assert_eq!(self.changes, before);
        rejection
    }

    /// The faults of an operation as `field: message`.
    fn faults<O: Operation>(&mut self, operation: O) -> Vec<String> {
        match self.refusal(operation) {
            Rejection::Invalid(faults) => {
                faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn fresh(&mut self, purpose: Purpose) -> Fresh {
        let fresh = VAULT.mint(purpose, self.terms.cost, self.terms.reveal).unwrap();
        self.keep_secret(&fresh);
        fresh
    }

    fn keep_secret(&mut self, fresh: &Fresh) {
        self.secrets.push(fresh.plain.reveal().to_owned());
        self.secrets.push(crate::model::hex::encode(&fresh.digest.0));
        self.secrets.push(fresh.hash.0.to_string());
        self.secrets.extend(fresh.sealed.iter().map(|sealed| crate::model::hex::encode(&sealed.0)));
    }

    fn issue(&mut self) -> IssueKey {
        let fresh = self.fresh(Purpose::SubscriberKey);
        IssueKey {
            practice: practice("north"),
            name: "Bookings".to_owned(),
            description: None,
            owner: username("dr-lee"),
            api: None,
            permissions: None,
            vendor: None,
            expires_at: None,
            allowed_ips: Vec::new(),
            limits: None,
            fresh,
        }
    }

    fn issued(&mut self) -> SubscriberKey {
        let issue = self.issue();
        self.must(issue)
    }

    fn key(&self, id: KeyId) -> SubscriberKey {
        SubscriberKey::clone(&self.records.key(id).unwrap().value)
    }

    fn later(&mut self, span: Duration) {
        self.now = self.now.after(span);
    }

    fn last_deed(&self) -> &Deed {
        self.deeds.last().unwrap()
    }
}

fn practice(id: &str) -> PracticeId {
    PracticeId::parse(id).unwrap()
}

fn username(text: &str) -> Username {
    Username::parse(text).unwrap()
}

fn vendor(id: &str) -> VendorId {
    VendorId::parse(id).unwrap()
}

fn create_practice(id: &str) -> CreatePractice {
    CreatePractice {
        id: practice(id),
        name: "A clinic".to_owned(),
        region: None,
        api_access: true,
        plan: None,
    }
}

fn create_user(of: &str, name: &str) -> CreateUser {
    CreateUser { practice: practice(of), username: username(name), name: "A person".to_owned() }
}

fn create_vendor(id: &str, status: VendorStatus) -> CreateVendor {
    CreateVendor {
        id: vendor(id),
        name: "A vendor".to_owned(),
        contact: None,
        status,
        review: None,
        agreement_expires: None,
    }
}

fn create_admin(name: &str, role: Role) -> CreateAdmin {
    CreateAdmin { username: username(name), role, password: password(0) }
}

fn password(number: u32) -> SecretHash {
    SecretHash(format!("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$password{number}").into())
}

fn code(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NotPossible(code, _) => code,
        other => panic!("{other:?}"),
    }
}
