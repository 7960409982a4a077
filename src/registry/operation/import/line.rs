//! What a line may say.

use ipnet::IpNet;
use serde_json::Value;

use crate::config::nearest;
use crate::model::{
    Access, KeyDigest, KeyLimits, PlainKey, PracticeId, Timestamp, Username, VendorId, VendorStatus,
};
use crate::registry::operation::import::object::{Object, shown};
use crate::registry::operation::import::secret;
use crate::vault::{Purpose, Vault};

pub(super) const PRACTICE: &str = "practice";
pub(super) const USER: &str = "user";
pub(super) const VENDOR: &str = "vendor";
pub(super) const VENDOR_KEY: &str = "vendor_key";
pub(super) const KEY: &str = "key";

/// The kinds, and the fields of each.
const KINDS: [(&str, &[&str]); 5] = [
    (PRACTICE, &["kind", "id", "name", "region", "api_access", "plan"]),
    (USER, &["kind", "practice", "username", "name"]),
    (VENDOR, &["kind", "id", "name", "contact", "status", "review", "agreement_expires"]),
    (VENDOR_KEY, &["kind", "vendor", "key", "random"]),
    (
        KEY,
        &[
            "kind",
            "practice",
            "name",
            "description",
            "owner",
            "api",
            "permissions",
            "vendor",
            "expires_at",
            "allowed_ips",
            "limits",
            "enabled",
            "key",
            "random",
        ],
    ),
];

#[derive(Debug)]
pub(super) enum Line {
    Practice(PracticeLine),
    User(UserLine),
    Vendor(VendorLine),
    VendorKey(VendorKeyLine),
    Key(Box<KeyLine>),
}

#[derive(Debug)]
pub(super) struct PracticeLine {
    pub id: PracticeId,
    pub name: String,
    pub region: Option<String>,
    pub api_access: bool,
    pub plan: Option<String>,
}

#[derive(Debug)]
pub(super) struct UserLine {
    pub practice: PracticeId,
    pub username: Username,
    pub name: String,
}

#[derive(Debug)]
pub(super) struct VendorLine {
    pub id: VendorId,
    pub name: String,
    pub contact: Option<String>,
    pub status: VendorStatus,
    pub review: Option<String>,
    pub agreement_expires: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct VendorKeyLine {
    pub vendor: VendorId,
    pub secret: Secret,
}

#[derive(Debug)]
pub(super) struct KeyLine {
    pub practice: PracticeId,
    pub name: String,
    pub description: Option<String>,
    pub owner: Username,
    pub api: Option<String>,
    pub permissions: Option<Vec<(String, Access)>>,
    pub vendor: Option<VendorId>,
    pub expires_at: Option<Timestamp>,
    pub allowed_ips: Vec<IpNet>,
    pub limits: Option<KeyLimits>,
    pub enabled: bool,
    pub secret: Secret,
}

/// The secret of a key line.
#[derive(Debug)]
pub(super) enum Secret {
    /// To be made here.
    Fresh,
    Issued {
        plain: PlainKey,
        random: bool,
    },
}

impl Line {
    /// The secret that is to be hashed, and what for.
    pub(super) fn secret(&self) -> Option<(Purpose, &Secret)> {
        match self {
            Self::VendorKey(line) => Some((Purpose::VendorKey, &line.secret)),
            Self::Key(line) => Some((Purpose::SubscriberKey, &line.secret)),
            Self::Practice(_) | Self::User(_) | Self::Vendor(_) => None,
        }
    }

    /// Of a key that was issued elsewhere, by which it is found.
    pub(super) fn digest(&self, vault: &Vault) -> Option<KeyDigest> {
        match self.secret()? {
            (purpose, Secret::Issued { plain, .. }) => {
                Some(vault.digest(purpose, plain.reveal().as_bytes()))
            }
            (_, Secret::Fresh) => None,
        }
    }
}

/// Reads a line, or says all that is wrong with it by itself.
pub(super) fn read(text: &[u8]) -> Result<Line, Vec<String>> {
    let mut object = Object::read(text).map_err(|fault| vec![fault])?;
    let names = KINDS.map(|(name, _)| name);
    let Some(kind) = object.required_text("kind") else {
        return object.judge("line", &["kind"], None::<Line>).map_err(|mut faults| {
            // Without its kind, nothing can be said of the other fields.
            faults.truncate(1);
            faults
        });
    };
    let Some((kind, fields)) = KINDS.into_iter().find(|(name, _)| *name == kind) else {
        let hint =
            nearest(&kind, names).unwrap_or_else(|| format!("take one of {}", names.join(", ")));
        return Err(vec![format!("unknown kind `{}`; {hint}", shown(&kind))]);
    };
    let line = match kind {
        PRACTICE => practice(&mut object).map(Line::Practice),
        USER => user(&mut object).map(Line::User),
        VENDOR => vendor(&mut object).map(Line::Vendor),
        VENDOR_KEY => vendor_key(&mut object).map(Line::VendorKey),
        _ => key(&mut object).map(|line| Line::Key(Box::new(line))),
    };
    object.judge(kind, fields, line)
}

fn practice(object: &mut Object) -> Option<PracticeLine> {
    let id = object.required_name("id", PracticeId::parse);
    let name = object.required_text("name");
    let region = object.text("region");
    let api_access = object.truth("api_access").unwrap_or(true);
    let plan = object.text("plan");
    Some(PracticeLine { id: id?, name: name?, region, api_access, plan })
}

fn user(object: &mut Object) -> Option<UserLine> {
    let practice = object.required_name("practice", PracticeId::parse);
    let username = object.required_name("username", Username::parse);
    let name = object.required_text("name");
    Some(UserLine { practice: practice?, username: username?, name: name? })
}

fn vendor(object: &mut Object) -> Option<VendorLine> {
    let id = object.required_name("id", VendorId::parse);
    let name = object.required_text("name");
    let contact = object.text("contact");
    let status = match object.text("status").as_deref() {
        None | Some("pending") => VendorStatus::Pending,
        Some("approved") => VendorStatus::Approved,
        Some("suspended") => VendorStatus::Suspended,
        Some(other) => {
            let hint = nearest(other, ["pending", "approved", "suspended"])
                .map(|hint| format!("; {hint}"))
                .unwrap_or_default();
            let other = shown(other);
            object.fault(format!(
                "`status` must be pending, approved or suspended, not `{other}`{hint}"
            ));
            VendorStatus::Pending
        }
    };
    let review = object.text("review");
    let agreement_expires = object.moment("agreement_expires");
    Some(VendorLine { id: id?, name: name?, contact, status, review, agreement_expires })
}

fn vendor_key(object: &mut Object) -> Option<VendorKeyLine> {
    let vendor = object.required_name("vendor", VendorId::parse);
    let secret = secret::take(object, Purpose::VendorKey);
    Some(VendorKeyLine { vendor: vendor?, secret: secret? })
}

fn key(object: &mut Object) -> Option<KeyLine> {
    let practice = object.required_name("practice", PracticeId::parse);
    let name = object.required_text("name");
    let description = object.text("description");
    let owner = object.required_name("owner", Username::parse);
    let api = object.text("api");
    let permissions = permissions(object);
    let vendor = object.named("vendor", VendorId::parse);
    let expires_at = object.moment("expires_at");
    let allowed_ips = addresses(object);
    let limits = limits(object);
    let enabled = object.truth("enabled").unwrap_or(true);
    let secret = secret::take(object, Purpose::SubscriberKey);
    Some(KeyLine {
        practice: practice?,
        name: name?,
        description,
        owner: owner?,
        api,
        permissions,
        vendor,
        expires_at,
        allowed_ips,
        limits,
        enabled,
        secret: secret?,
    })
}

fn permissions(object: &mut Object) -> Option<Vec<(String, Access)>> {
    let Value::Object(written) = object.take("permissions")? else {
        object.fault("`permissions` must be an object such as {\"patient\":\"read\"}");
        return None;
    };
    let mut permissions = Vec::new();
    for (name, access) in written {
        match access.as_str().and_then(Access::from_permission) {
            Some(access) => permissions.push((name, access)),
            None => {
                let name = shown(&name);
                object
                    .fault(format!("`permissions.{name}` must be none, read, write or write-only"));
            }
        }
    }
    Some(permissions)
}

fn addresses(object: &mut Object) -> Vec<IpNet> {
    let Some(written) = object.take("allowed_ips") else { return Vec::new() };
    let Value::Array(written) = written else {
        object.fault("`allowed_ips` must be a list such as [\"192.0.2.0/24\"]");
        return Vec::new();
    };
    let mut addresses = Vec::new();
    for (index, address) in written.iter().enumerate() {
        let text = address.as_str().unwrap_or_default();
        let host = || text.parse().map(std::net::IpAddr::into);
        match text.parse().or_else(|_| host()) {
            Ok(address) => addresses.push(address),
            Err(_) => object.fault(format!(
                "`allowed_ips[{index}]` must be an address or a network such as 192.0.2.0/24"
            )),
        }
    }
    addresses
}

fn limits(object: &mut Object) -> Option<KeyLimits> {
    let written = object.take("limits")?;
    let fields = written.as_object();
    let known = |name: &String| matches!(name.as_str(), "rate" | "burst");
    let rate = fields.and_then(|fields| fields.get("rate")).and_then(Value::as_str);
    let burst = fields.and_then(|fields| fields.get("burst")).filter(|burst| !burst.is_null());
    let count = burst.and_then(Value::as_u64).and_then(|burst| u32::try_from(burst).ok());
    match (rate, fields) {
        (Some(rate), Some(fields))
            if fields.keys().all(known) && burst.is_some() == count.is_some() =>
        {
            Some(KeyLimits { rate: rate.into(), burst: count })
        }
        _ => {
            object.fault("`limits` must be an object such as {\"rate\":\"600/min\",\"burst\":100}");
            None
        }
    }
}
