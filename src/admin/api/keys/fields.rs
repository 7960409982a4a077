//! What may be said of a key: when it is issued, and afterwards.

use std::time::Duration;

use ipnet::IpNet;

use crate::admin::field::kind::{
    FLAG, Grant, LIMITS, NAME, NETWORKS, NOTE, OVERLAP, PERMISSIONS, TIME, USERNAME, VENDOR,
};
use crate::admin::field::{Field, Fixed, Record};
use crate::model::{KeyLimits, Timestamp, Username, VendorId};

pub(super) static NAMED: Field<String> =
    Field::required("name", &NAME, "What it is for, in a few words.");
pub(super) static DESCRIPTION: Field<String> =
    Field::optional("description", &NOTE, "More of that.");
pub(super) static OWNER: Field<Username> =
    Field::required("owner", &USERNAME, "The staff user whose key it is.");
pub(super) static API: Field<String> = Field::optional(
    "api",
    &NAME,
    "The one API it is for; never changes. May be left out where there is only one.",
);
pub(super) static GRANTS: Field<Vec<Grant>> = Field::optional(
    "permissions",
    &PERMISSIONS,
    "Categories and scopes, each with its access; `keys.default_access` where it is left out.",
);
pub(super) static BOUND: Field<VendorId> =
    Field::optional("vendor", &VENDOR, "Only this vendor may use it.");
pub(super) static ENDS: Field<Timestamp> = Field::optional("expires_at", &TIME, "Its chosen end.");
pub(super) static NETS: Field<Vec<IpNet>> = Field::optional(
    "allowed_ips",
    &NETWORKS,
    "Addresses and networks it may be used from; none means anywhere.",
);
pub(super) static RATES: Field<KeyLimits> =
    Field::optional("limits", &LIMITS, "Its own limits, in place of the configuration's.");

pub(super) static ISSUE: Record = Record {
    name: "NewKeyRequest",
    fields: &[&NAMED, &DESCRIPTION, &OWNER, &API, &GRANTS, &BOUND, &ENDS, &NETS, &RATES],
};

pub(super) static RENAMED: Field<String> =
    Field::kept("name", &NAME, "What it is for, in a few words.");
pub(super) static REGRANTED: Field<Vec<Grant>> = Field::kept(
    "permissions",
    &PERMISSIONS,
    "All that it may from now on, in place of what it may now.",
);
pub(super) static RENETTED: Field<Vec<IpNet>> = Field::kept(
    "allowed_ips",
    &NETWORKS,
    "Addresses and networks it may be used from; an empty list means anywhere.",
);
pub(super) static ENABLED: Field<bool> =
    Field::kept("enabled", &FLAG, "Off, it is refused until it is on again.");

const ONCE: &str = "is fixed when a key is made";

pub(super) static EDIT: Record = Record {
    name: "KeyPatch",
    fields: &[
        &RENAMED,
        &DESCRIPTION,
        &REGRANTED,
        &BOUND,
        &ENDS,
        &RENETTED,
        &RATES,
        &ENABLED,
        &Fixed("api", ONCE),
        &Fixed("owner", ONCE),
        &Fixed("practice", ONCE),
    ],
};

pub(super) static OVERLAPS: Field<Duration> =
    Field::kept("overlap", &OVERLAP, "How long both work, such as 24h, which is the default.");
pub(super) static ROTATE: Record = Record { name: "Rotation", fields: &[&OVERLAPS] };
