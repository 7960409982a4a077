//! The configuration as a whole: what is shipped loads, and what is wrong is said once, where it stands.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

mod faults;
mod limits;
mod routes;

/// Files and variables as a test wants them.
#[derive(Default)]
pub(crate) struct Given {
    files: HashMap<PathBuf, Vec<u8>>,
    variables: HashMap<String, String>,
    /// A file that is longer than the source of files reads.
    endless: Option<PathBuf>,
}

impl Given {
    pub(crate) fn file(mut self, path: &str, text: impl AsRef<[u8]>) -> Self {
        self.files.insert(path.into(), text.as_ref().to_owned());
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    pub(crate) fn load(&self) -> Result<Config, Vec<Fault>> {
        Config::load(Path::new("p/postern.yaml"), self)
    }

    fn faults(&self) -> Vec<String> {
        self.load().map(drop).unwrap_err().iter().map(ToString::to_string).collect()
    }
}

impl Sources for Given {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if self.endless.as_deref() == Some(path) {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 64 MiB"));
        }
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn env(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

/// The files beside this test.
struct Disk;

impl Sources for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

pub(crate) const MAIN: &str = "\
listen:
  gateway: 127.0.0.1:0
upstreams:
  practice:
    url: http://127.0.0.1:9000
apis:
  standard:
    mount: /v1
    upstream: practice
    routes: routes.yaml
";

pub(super) const ROUTES: &str = "\
version: 1
routes:
  - path: /v1/patients/**
    category: patient
";

pub(crate) fn given(main: &str) -> Given {
    Given::default().file("p/postern.yaml", main).file("p/routes.yaml", ROUTES)
}

/// What `limits: { … }` makes, in a configuration of one route map that has the category `billing` with two scopes.
pub(crate) fn with_limits(limits: &str) -> Config {
    let billing =
        "categories:\n  billing: { title: B, scopes: { invoices: I, claims: C } }\nroutes:";
    let routes = ROUTES.replacen("routes:", billing, 1);
    let main = format!("{MAIN}limits: {{ {limits} }}\n");
    given(&main).file("p/routes.yaml", routes).load().unwrap()
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn the_shipped_example_loads_and_says_the_defaults() {
    let example = Config::load(&shipped("postern.yaml"), &Disk).unwrap();
    let bare = given(MAIN).load().unwrap();
    assert_eq!(example.proxy, bare.proxy);
    assert_eq!(example.credentials, bare.credentials);
    assert_eq!(bare.credentials.schemes, Credentials::default().schemes);
    assert_eq!(example.keys, KeyRules { secrets: shipped("secrets"), ..bare.keys });
    assert_eq!(example.store, StoreAddress::Embedded(shipped("data")));
    assert_eq!(example.listen.admin, bare.listen.admin);
    let (said, default) = (&example.upstreams[0], &bare.upstreams[0]);
    assert_eq!(
        (said.connect_timeout, said.response_timeout),
        (default.connect_timeout, default.response_timeout)
    );
    assert_eq!((said.preserve_host, &said.headers), (default.preserve_host, &default.headers));
    assert_eq!(example.apis[0].strip_mount, bare.apis[0].strip_mount);
    assert!(matches!((example.errors, bare.errors), (ErrorShape::Problem, ErrorShape::Problem)));
    assert_eq!(example.files, [shipped("postern.yaml"), shipped("routes/pracsuite.yaml")]);
}

#[test]
fn defaults_are_those_of_the_contract() {
    let proxy = given(MAIN).load().unwrap().proxy;
    let seconds = Duration::from_secs;
    let contract = Proxy {
        workers: None,
        max_connections: 20_000,
        max_body: 100 << 20,
        max_header_bytes: 32 << 10,
        max_headers: 100,
        max_target: 8 << 10,
        handshake_timeout: seconds(10),
        header_timeout: seconds(10),
        body_timeout: seconds(30),
        min_body_rate: 1024,
        write_timeout: seconds(30),
        idle_timeout: seconds(60),
        max_streams: 100,
        drain: seconds(30),
        trusted_proxies: Vec::new(),
        cors_origins: Vec::new(),
        max_staleness: seconds(60),
    };
    assert_eq!(proxy, contract);
}

#[test]
fn keys_live_beside_the_configuration_and_by_the_contract_where_nothing_is_said() {
    let config = given(MAIN).load().unwrap();
    let lifetimes = Lifetimes {
        idle_expiry: None,
        max_age: None,
        rotate_after: Some(Duration::from_secs(90 * 86_400)),
    };
    let contract = KeyRules {
        read_by_default: false,
        reveal: false,
        lifetimes,
        secrets: "p/secrets".into(),
        hash_memory_kib: 64,
        hash_passes: 1,
    };
    assert_eq!((config.keys, config.store), (contract, StoreAddress::Embedded("p/data".into())));
    assert_eq!(config.credentials.token_path, "/oauth2/token");
    assert_eq!(config.credentials.token_ttl, Duration::from_secs(3600));
    assert!(config.regions.is_empty());
    assert_eq!(config.places.store.to_string(), "p/postern.yaml:1:1");
}

#[test]
fn every_shipped_map_and_template_loads() {
    let main = MAIN
        .replace("mount: /v1", "mount: /")
        .replace("routes.yaml", "../config/routes/dentally.yaml")
        + "errors: ../config/errors/pracsuite.json\n";
    let beside = |name: &str| std::fs::read(shipped(name)).unwrap();
    let given = Given::default()
        .file("p/postern.yaml", &main)
        .file("p/../config/routes/dentally.yaml", beside("routes/dentally.yaml"))
        .file("p/../config/routes/example.yaml", beside("routes/example.yaml"))
        .file("p/../config/errors/pracsuite.json", beside("errors/pracsuite.json"));
    let config = given.load().unwrap();
    assert!(matches!(config.errors, ErrorShape::Template(_)));
    assert!(config.policy.table.rules().len() > 80);
    let given = given.file("p/postern.yaml", main.replace("dentally", "example"));
    assert_eq!(given.load().unwrap().policy.table.rules().len(), 10);
}

/// A configuration that leaves nothing out.
const EVERYTHING: &str = r#"
listen:
  gateway:
    - 127.0.0.1:8080
    - { address: "[::1]:8443", tls: { certificate: own.crt, private_key: own.key } }
  admin: 127.0.0.1:8082
  tls: { certificate: gateway.crt, private_key: gateway.key }
  admin_tls: { certificate: gateway.crt, private_key: gateway.key }
upstreams:
  practice:
    url: [https://a.example.com, "https://[::1]:9443"]
    connect_timeout: 250ms
    health: { path: /health, interval: 2s }
    headers: { Authorization: "Bearer ${env:TOKEN}", X-Price: "$${1}", X-Site: "${file:site.key}" }
    tls: { ca: ca.pem, certificate: own.crt, private_key: own.key, server_name: practice.internal }
    preserve_host: true
apis:
  standard: { mount: /v1, upstream: practice, routes: [routes.yaml], strip_mount: true }
store: "redis+sentinel://ann:${env:TOKEN}@s1,s2:7/main"
regions:
  au: { hosts: [API.au.example.com, au], upstream: practice }
keys: { default_access: read, reveal: always, idle_expiry: 14d, max_age: 365d, rotate_after: off, secrets: /etc/postern, hashing: { memory: 19MiB, passes: 2 } }
credentials:
  schemes: [headers, bearer, basic, username_header, oauth2]
  subscriber_header: A-api-key
  vendor_header: x-api-key
  username_header: X-Owner
  vendor_key: optional
  token_path: /token
  token_ttl: 5m
proxy: { workers: 4, max_staleness: 5s, trusted_proxies: [10.0.0.0/8, "::1"], cors: { origins: [https://app.example.com] }, http2: { max_streams: 7 } }
"#;

fn everything() -> Config {
    let mut given = given(EVERYTHING).env("TOKEN", "t0ken: [\"x").file("p/site.key", "s1te\n");
    for pem in ["own.crt", "own.key", "gateway.crt", "gateway.key", "ca.pem"] {
        given = given.file(&format!("p/{pem}"), pem);
    }
    given.load().unwrap()
}

#[test]
fn everything_that_can_be_said_is_read() {
    let config = everything();
    let tls =
        |index: usize| config.listen.gateway[index].tls.as_ref().unwrap().certificate.bytes.clone();
    assert_eq!((tls(0), tls(1)), (b"gateway.crt".to_vec(), b"own.crt".to_vec()));
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.place.to_string(), "p/postern.yaml:10:3");
    assert_eq!(upstream.endpoints[1], Endpoint { https: true, host: "::1".into(), port: 9443 });
    assert_eq!(upstream.connect_timeout, Duration::from_millis(250));
    assert_eq!(
        upstream.health,
        Some(HealthProbe { path: "/health".into(), interval: Duration::from_secs(2) })
    );
    let headers: Vec<_> = upstream
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(
        headers,
        [("authorization", "Bearer t0ken: [\"x"), ("x-price", "${1}"), ("x-site", "s1te")]
    );
    assert!(upstream.preserve_host && upstream.tls.ca.is_some() && upstream.tls.identity.is_some());
    assert_eq!(upstream.tls.server_name.as_deref(), Some("practice.internal"));
    assert!(config.apis[0].strip_mount);
    assert_eq!(
        (config.proxy.workers, config.proxy.max_streams, config.proxy.trusted_proxies.len()),
        (Some(4), 7, 2)
    );
    assert_eq!(config.proxy.cors_origins, ["https://app.example.com"]);
    assert_eq!(config.files.len(), 8);
}

#[test]
fn everything_that_can_be_said_of_keys_is_read() {
    let config = everything();
    assert_eq!(config.credentials.subscriber_header, "a-api-key");
    assert_eq!(config.credentials.spelling.subscriber, "A-api-key");
    assert_eq!(config.credentials.username_header, "x-owner");
    let Schemes { headers, bearer, basic, username_header, oauth2 } = config.credentials.schemes;
    assert!(headers && bearer && basic && username_header && oauth2);
    assert_eq!(config.credentials.vendor_key, VendorKeyRule::Optional);
    assert_eq!(config.credentials.token_path, "/token");
    assert_eq!(config.credentials.token_ttl, Duration::from_secs(300));
    assert_eq!(config.proxy.max_staleness, Duration::from_secs(5));
    let StoreAddress::Redis(redis) = &config.store else { panic!("a Redis") };
    assert_eq!(redis.password.as_ref().unwrap().reveal(), "t0ken: [\"x");
    assert_eq!(redis.layout, RedisLayout::Sentinel("main".into()));
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    let lifetimes = Lifetimes { idle_expiry: days(14), max_age: days(365), rotate_after: None };
    assert_eq!((config.keys.lifetimes, config.keys.hash_memory_kib), (lifetimes, 19 << 10));
    assert!(config.keys.reveal && config.keys.read_by_default);
    assert_eq!(config.keys.secrets, Path::new("/etc/postern"));
    let region = &config.regions[0];
    assert_eq!((region.name.as_str(), region.upstream), ("au", UpstreamId(0)));
    assert_eq!(region.hosts, ["api.au.example.com", "au"]);
}

#[test]
fn a_thousand_routes_load() {
    let mut routes = "version: 1\nroutes:\n".to_owned();
    for n in 0..1000 {
        routes.push_str(&format!(
            "  - path: /v1/resource{n}/{{id}}\n    category: patient\n    methods: [GET, PUT]\n"
        ));
    }
    let given = given(MAIN).file("p/routes.yaml", routes);
    assert_eq!(given.load().unwrap().policy.table.rules().len(), 1000);
}

/// Whether a place is in the file that it names.
fn stands_in(place: &Place, given: &Given) -> bool {
    let text = given.files.get(Path::new(&*place.file)).map(|bytes| String::from_utf8_lossy(bytes));
    let line = text.as_deref().and_then(|text| text.split('\n').nth(place.line.wrapping_sub(1)));
    line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&place.column))
}

/// A text with one piece of it replaced by another.
fn mangled(text: &str, at: usize, len: usize, with: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let start = at % chars.len();
    let end = (start + len).min(chars.len());
    chars[..start].iter().copied().chain(with.chars()).chain(chars[end..].iter().copied()).collect()
}

proptest::proptest! {
    #[test]
    fn a_mangled_configuration_is_taken_or_refused_with_places(
        at in 0_usize..5000,
        len in 0_usize..12,
        with in "([a-z0-9]{0,3}|: |- |\n|  |[\\[\\]{}#\"'&*!|>%@`~,]|\\$\\{env:X\\}|\\$\\{|é|\t|-1|0){0,3}",
        which in 0_usize..3,
    ) {
        let more = "store: redis://u:p@h/1\nkeys: { max_age: 1d, hashing: { memory: 1MiB } }\nregions: { au: { hosts: [a], upstream: practice } }\n";
        let (mut main, mut routes) = (format!("{MAIN}{more}"), include_str!("../../config/routes/example.yaml").to_owned());
        match which {
            0 => main = mangled(&main, at, len, &with),
            1 => routes = mangled(&routes, at, len, &with),
            _ => main = mangled(include_str!("../../config/postern.yaml"), at, len, &with),
        }
        let given = Given::default().file("p/postern.yaml", main).file("p/routes.yaml", &routes).file("p/routes/pracsuite.yaml", ROUTES);
        let faults = given.load().map(drop).err().unwrap_or_default();
        proptest::prop_assert!(faults.iter().all(|fault| stands_in(&fault.place, &given)), "{:?}", faults);
        for (index, fault) in faults.iter().enumerate() {
            proptest::prop_assert!(!faults[..index].contains(fault), "said twice: {fault}");
        }
    }
}
