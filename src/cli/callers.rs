//! The callers that a configuration knows: its keys, as the gateway itself finds them.

use crate::auth::Registry;
use crate::config::{Config, StaticKey};
use crate::model::Caller;
use crate::policy::diff::Holder;

/// Every subscriber key of the configuration. Its vendor is the one that it is bound to, or empty.
pub(super) fn of(config: &Config) -> Vec<Caller> {
    let registry = Registry::from_static_keys(config);
    let ids = config.static_keys.iter().filter_map(|key| match key {
        StaticKey::Subscriber { id, .. } => Some(id),
        StaticKey::Vendor { .. } => None,
    });
    ids.filter_map(|id| registry.by_key_id(id)).collect()
}

/// Every key, and every vendor with the keys that it may use.
pub(super) fn holders(config: &Config) -> Vec<Holder> {
    let callers = of(config);
    let key = |caller: &Caller| Holder {
        name: format!("key {}", caller.key_id),
        callers: vec![caller.clone()],
    };
    let vendor = |vendor: &String| {
        let usable = |caller: &&Caller| caller.vendor.is_empty() || *caller.vendor == **vendor;
        let callers = callers.iter().filter(usable).cloned().collect();
        Holder { name: format!("vendor {vendor}"), callers }
    };
    let vendors = config.static_keys.iter().filter_map(|key| match key {
        StaticKey::Vendor { vendor, .. } => Some(vendor),
        StaticKey::Subscriber { .. } => None,
    });
    callers.iter().map(key).chain(vendors.map(vendor)).collect()
}
