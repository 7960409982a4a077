//! The callers that the store of a configuration knows, as the gateway itself would judge them now.

use crate::cli::local::{self, Local};
use crate::config::Config;
use crate::model::{Caller, KeyId, Refusal, Timestamp, VendorId};
use crate::policy::diff::Holder;
use crate::registry::View;

/// Every key of a store, read once.
pub(super) struct Callers {
    /// None where nothing is kept yet.
    view: Option<View>,
    keys: Vec<KeyId>,
    /// Approved ones alone.
    vendors: Vec<VendorId>,
    now: Timestamp,
    store: String,
}

impl Callers {
    /// Reads beside whoever serves.
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        let store = local::named(config);
        let Some(local) = Local::reader(config)? else {
            let (keys, vendors, now) = (Vec::new(), Vec::new(), Timestamp::default());
            return Ok(Self { view: None, keys, vendors, now, store });
        };
        let registry = local.registry();
        let now = registry.now();
        let (keys, vendors) = registry.read(|records| {
            let keys = records.all_keys().map(|key| key.value.id).collect();
            let vendors = records.vendors(None).filter(|vendor| vendor.value.is_approved(now));
            (keys, vendors.map(|vendor| vendor.value.id.clone()).collect())
        });
        Ok(Self { view: Some(registry.view()), keys, vendors, now, store })
    }

    /// Where there are none: why.
    pub(super) fn absence(&self) -> Option<String> {
        match self.view {
            None => Some(format!(
                "the store {} has nothing in it yet, so there are no keys",
                self.store
            )),
            Some(_) if self.keys.is_empty() => {
                Some(format!("the store {} has no keys", self.store))
            }
            Some(_) => None,
        }
    }

    /// The caller that a key makes, with the vendor that it is bound to, or why it makes none now.
    pub(super) fn by_id(&self, id: &str) -> anyhow::Result<Result<Caller, Refusal>> {
        let key = KeyId::parse(id).ok();
        let found = key.and_then(|key| self.view.as_ref()?.by_key_id(key, self.now));
        found.ok_or_else(|| anyhow::anyhow!("no key `{id}`; {}", self.known()))
    }

    /// Names none: ids of other practices' keys are nobody's to learn from a mistake.
    fn known(&self) -> String {
        self.absence().unwrap_or_else(|| {
            "there are others: `postern keys list` shows the ids of those that you may see"
                .to_owned()
        })
    }

    /// Every key, and every vendor with the keys that it may use. What is refused now reaches nothing.
    pub(super) fn holders(&self) -> Vec<Holder> {
        let Some(view) = &self.view else { return Vec::new() };
        let caller = |id: &KeyId| view.by_key_id(*id, self.now).and_then(Result::ok);
        let callers: Vec<(KeyId, Option<Caller>)> =
            self.keys.iter().map(|id| (*id, caller(id))).collect();
        let key = |(id, caller): &(KeyId, Option<Caller>)| Holder {
            name: format!("key {id}"),
            callers: caller.iter().cloned().collect(),
        };
        let vendor = |vendor: &VendorId| {
            let is_usable = |caller: &&Caller| {
                caller.vendor.as_ref().is_none_or(|bound| **bound == *vendor.as_str())
            };
            let usable = callers.iter().filter_map(|(_, caller)| caller.as_ref());
            let callers = usable.filter(is_usable).cloned().collect();
            Holder { name: format!("vendor {vendor}"), callers }
        };
        callers.iter().map(key).chain(self.vendors.iter().map(vendor)).collect()
    }
}
