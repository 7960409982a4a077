//! YAML text to a [`Config`] without invalid states, or to every fault of it at once.
//!
//! Four steps: the text becomes a tree that knows where each value was written (`yaml`); secrets are put in
//! (`substitute`); the tree is read field by field into the types of this module, faults being collected and never
//! thrown (`read`); rules are compiled to a [`Policy`] (`route_map`). Nothing here touches the disk or the environment:
//! files and variables come through [`Sources`].

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::model::{Lifetimes, Place, PlainKey, RateLimit, UpstreamId};
use crate::policy::Policy;

mod api;
mod credentials;
pub mod draft;
pub mod error_template;
pub mod fault;
mod format;
mod keys;
mod limits;
mod listen;
pub mod listing;
mod log;
pub mod openapi;
mod proxy;
mod read;
mod region;
mod root;
pub(crate) mod route;
mod route_map;
pub mod schema;
mod shape;
mod store;
mod substitute;
mod upstream;
mod value;
mod yaml;

pub use error_template::ErrorTemplate;
pub use fault::Fault;
pub(crate) use limits::{WrongRate, read_rate_limit};
pub(crate) use shape::nearest;

/// Where the texts come from: the disk and the environment in the program, a map in tests.
pub trait Sources {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    fn env(&self, name: &str) -> Option<String>;
}

/// A whole configuration that was found without fault.
#[derive(Debug)]
pub struct Config {
    pub listen: Listen,
    /// In the order of the file; [`UpstreamId`] is a position here.
    pub upstreams: Vec<Upstream>,
    /// In the order of the file; `ApiId` is a position here.
    pub apis: Vec<Api>,
    pub errors: ErrorShape,
    pub credentials: Credentials,
    pub proxy: Proxy,
    pub store: StoreAddress,
    pub keys: KeyRules,
    pub limits: Limits,
    pub log: LogRules,
    /// In the order of the file; empty where there are none.
    pub regions: Vec<Region>,
    pub policy: Policy,
    pub places: StartPlaces,
    /// Every file that was read, each once, in the order of reading.
    pub files: Vec<PathBuf>,
}

/// Where the settings stand that are taken at the start alone; the section or the file where one is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartPlaces {
    pub gateway: Place,
    pub admin: Place,
    pub workers: Place,
    pub store: Place,
    pub secrets: Place,
    pub log_dir: Place,
}

/// Where the gateway and its admin listener answer.
#[derive(Debug)]
pub struct Listen {
    pub gateway: Vec<GatewayListener>,
    pub admin: SocketAddr,
    pub admin_tls: Option<Identity>,
}

/// One address that integrations call, with TLS or without.
#[derive(Debug)]
pub struct GatewayListener {
    pub address: SocketAddr,
    pub tls: Option<Identity>,
}

/// A certificate chain with its private key, as PEM bytes; whether they fit is found by `proxy::pem`.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: PemFile,
    pub private_key: PemFile,
}

/// A PEM file as it was read; its `Debug` shows the path alone, since it may hold a key.
#[derive(Clone)]
pub struct PemFile {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// Where the configuration names it.
    pub place: Place,
}

impl std::fmt::Debug for PemFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PemFile({})", self.path.display())
    }
}

/// A practice system behind the gateway.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: String,
    /// Where the configuration names it.
    pub place: Place,
    /// At least one; all with the same scheme.
    pub endpoints: Vec<Endpoint>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub health: Option<HealthProbe>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// For https endpoints.
    pub tls: UpstreamTls,
    pub preserve_host: bool,
}

/// One url: scheme, host and port alone. A path, a query or user-info in the url is a fault.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub https: bool,
    /// A name, an IPv4 address or an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// `host` or `host:port` as it stands in a `Host` header: default ports left out, IPv6 in brackets.
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

/// How an upstream is verified, and what the gateway shows it.
#[derive(Clone, Debug, Default)]
pub struct UpstreamTls {
    /// Trusted in place of the system's roots.
    pub ca: Option<PemFile>,
    /// Shown to the upstream.
    pub identity: Option<Identity>,
    /// What its certificate must be for, where that is not the host of the url.
    pub server_name: Option<String>,
}

/// What is asked of each endpoint to see whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthProbe {
    pub path: String,
    pub interval: Duration,
}

/// A mounted surface; a key is for exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    pub name: String,
    /// `/v1`; without a trailing slash. `/` for the root.
    pub mount: String,
    pub upstream: UpstreamId,
    pub strip_mount: bool,
}

/// How a refusal is written.
#[derive(Debug)]
pub enum ErrorShape {
    /// RFC 9457.
    Problem,
    Template(ErrorTemplate),
}

/// Where keys sit in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub schemes: Schemes,
    pub subscriber_header: HeaderName,
    pub vendor_header: HeaderName,
    pub username_header: HeaderName,
    pub vendor_key: VendorKeyRule,
    pub token_path: String,
    pub token_ttl: Duration,
    pub spelling: Spelling,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            schemes: Schemes { headers: true, ..Schemes::default() },
            subscriber_header: HeaderName::from_static("x-subscriber-key"),
            vendor_header: HeaderName::from_static("x-vendor-key"),
            username_header: HeaderName::from_static("x-username"),
            vendor_key: VendorKeyRule::Required,
            token_path: "/oauth2/token".to_owned(),
            token_ttl: Duration::from_secs(3600),
            spelling: Spelling::default(),
        }
    }
}

impl Credentials {
    /// Where tokens are given back: `/oauth2/revoke` beside `/oauth2/token`.
    pub fn revocation_path(&self) -> String {
        let parent = self.token_path.rsplit_once('/').map_or("", |(parent, _)| parent);
        format!("{parent}/revoke")
    }
}

/// Which ways of presenting a subscriber key are taken; at least one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schemes {
    pub headers: bool,
    pub bearer: bool,
    pub basic: bool,
    pub username_header: bool,
    pub oauth2: bool,
}

/// Whether a request says which vendor it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VendorKeyRule {
    Required,
    /// One that is sent must be genuine.
    Optional,
    /// The header means nothing.
    Off,
}

/// Where keys, practices and vendors are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// A directory.
    Embedded(PathBuf),
    Redis(RedisAddress),
}

/// Its `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub layout: RedisLayout,
    /// `host`, port; at least one.
    pub servers: Vec<(String, u16)>,
    pub tls: bool,
    pub username: Option<String>,
    pub password: Option<PlainKey>,
    pub database: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisLayout {
    Single,
    /// The name of the monitored primary.
    Sentinel(String),
    Cluster,
}

/// How keys are issued and how long they live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRules {
    pub read_by_default: bool,
    pub reveal: bool,
    pub lifetimes: Lifetimes,
    /// The directory of the pepper and the sealing key.
    pub secrets: PathBuf,
    /// Of argon2id, for machine-made keys: KiB and passes.
    pub hash_memory_kib: u32,
    pub hash_passes: u32,
}

/// How often what may be called. What is absent is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub mode: LimitMode,
    /// Of a key that has none of its own.
    pub key: Option<RateLimit>,
    pub vendor: Option<RateLimit>,
    pub practice: Option<RateLimit>,
    /// Of a key within a category or a scope, by its name.
    pub categories: Vec<(String, RateLimit)>,
    pub daily_requests: Option<u64>,
    /// Of bodies, both ways.
    pub daily_bytes: Option<u64>,
    pub failed_auth_per_ip: Option<RateLimit>,
    pub max_concurrent_per_key: Option<u32>,
    pub store_down: StoreDown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitMode {
    #[default]
    Enforce,
    /// What would be refused is recorded, and passes.
    Observe,
}

/// What holds while the shared store is out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreDown {
    /// Each node counts alone.
    #[default]
    Local,
    Deny,
}

/// How access records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRules {
    /// Where they wait until the store has them.
    pub dir: PathBuf,
    pub sync: Duration,
    pub max_disk: u64,
    pub retention: Duration,
    /// The path as it was called, and not the pattern of its rule.
    pub full_path: bool,
    /// With its query.
    pub query: bool,
    pub on_failure: OnFailure,
}

/// What happens to a request whose record cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    Deny,
    /// It is served, and counted as unrecorded.
    Serve,
}

/// Host names with an upstream of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub name: String,
    /// Lower case, without a port.
    pub hosts: Vec<String>,
    pub upstream: UpstreamId,
}

/// The names of the headers as the configuration spells them, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    pub subscriber: String,
    pub vendor: String,
    pub username: String,
}

/// The limits and timers of the gateway listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// `auto` is resolved by `app`: one a core.
    pub workers: Option<usize>,
    pub max_connections: usize,
    pub max_body: u64,
    pub max_header_bytes: usize,
    pub max_headers: usize,
    pub max_target: usize,
    pub handshake_timeout: Duration,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    /// Bytes a second.
    pub min_body_rate: u64,
    pub write_timeout: Duration,
    pub idle_timeout: Duration,
    pub max_streams: u32,
    pub drain: Duration,
    pub trusted_proxies: Vec<IpNet>,
    pub cors_origins: Vec<String>,
    /// The store out of reach for longer: nothing is served.
    pub max_staleness: Duration,
}

impl std::fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisAddress({:?} {:?})", self.layout, self.servers)
    }
}

/// Faults of listeners and upstreams that are otherwise well written.
pub type Further<'f> = &'f dyn Fn(&Listen, &[Upstream]) -> Vec<Fault>;

impl Config {
    /// Reads the configuration at `path` and every file it names. All faults at once, in order of file and line.
    pub fn load(path: &Path, sources: &dyn Sources) -> Result<Self, Vec<Fault>> {
        root::load(path, sources, &|_, _| Vec::new())
    }

    /// The same, and where there are faults, `further` is asked for those that only using the values can find, so that
    /// they are told together. Without any, whoever uses the values will find them.
    pub fn load_trying(
        path: &Path,
        sources: &dyn Sources,
        further: Further<'_>,
    ) -> Result<Self, Vec<Fault>> {
        root::load(path, sources, further)
    }
}

#[cfg(test)]
pub(crate) mod tests;
