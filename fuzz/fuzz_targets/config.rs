//! Reading a configuration never panics, and every fault names a place that is in a file that was read.

#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use postern::config::{Config, Fault, Sources};

const MAIN: &str = "listen: { gateway: \"127.0.0.1:0\", admin: \"127.0.0.1:0\" }
upstreams:
  practice:
    url: [http://127.0.0.1:9000, http://127.0.0.1:9001]
    response_timeout: 30s
    headers: { Authorization: \"Bearer ${env:TOKEN}\" }
apis:
  standard: { mount: /v1, upstream: practice, routes: routes.yaml }
proxy: { max_body: 10MiB, trusted_proxies: [10.0.0.0/8] }
store: \"redis+sentinel://ann:${env:TOKEN}@s1:26379,s2/main\"
regions: { au: { hosts: [api.au.example.com, au], upstream: practice } }
credentials: { schemes: [bearer, basic, oauth2], vendor_key: optional, token_path: /oauth2/token, token_ttl: 5m }
keys: { reveal: always, idle_expiry: 14d, max_age: off, secrets: secrets, hashing: { memory: 64KiB, passes: 1 } }
";

const ROUTES: &str = "version: 1
categories:
  billing: { title: Billing, scopes: { invoices: Invoices } }
routes:
  - path: /v1/appointments/**
    category: appointment
  - path: /v1/appointments/{id:int}
    category: appointment
    methods: [GET, PUT]
  - path: /v1/patients
    category: patient
    when:
      - { query: include, contains: notes, requires: { clinical: read } }
  - { path: /v1/status, public: true }
  - { path: /v1/internal/**, deny: true }
  - { path: /v1/invoices, category: billing.invoices, max_body: 1GiB }
";

/// A text of its own, or a good one with pieces put in or over what stands there.
#[derive(Arbitrary, Debug)]
enum Text {
    Own(Vec<u8>),
    Spoiled(Vec<Splice>),
}

#[derive(Arbitrary, Debug)]
struct Splice {
    at: u16,
    instead_of: u8,
    piece: Vec<u8>,
}

impl Text {
    fn bytes(&self, good: &str) -> Vec<u8> {
        match self {
            Self::Own(bytes) => bytes.clone(),
            Self::Spoiled(splices) => {
                let mut bytes = good.as_bytes().to_vec();
                for Splice { at, instead_of, piece } in splices {
                    let start = usize::from(*at) % (bytes.len() + 1);
                    let end = (start + usize::from(*instead_of)).min(bytes.len());
                    bytes.splice(start..end, piece.iter().copied());
                }
                bytes
            }
        }
    }
}

struct Texts {
    main: Vec<u8>,
    routes: Vec<u8>,
}

impl Texts {
    fn named(&self, name: &str) -> Option<&[u8]> {
        match name {
            "postern.yaml" => Some(&self.main),
            "routes.yaml" => Some(&self.routes),
            _ => None,
        }
    }
}

impl Sources for Texts {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = path.to_str().and_then(|name| self.named(name));
        name.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn env(&self, name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "secret".to_owned())
    }
}

fuzz_target!(|input: (Text, Text)| {
    let texts = Texts { main: input.0.bytes(MAIN), routes: input.1.bytes(ROUTES) };
    match Config::load(Path::new("postern.yaml"), &texts) {
        Ok(config) => assert!(!config.files.is_empty() && !config.upstreams.is_empty()),
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a fault");
            faults.iter().for_each(|fault| in_its_file(fault, &texts));
        }
    }
});

fn in_its_file(fault: &Fault, texts: &Texts) {
    let bytes = texts.named(&fault.place.file).unwrap_or_else(|| panic!("no such file: {fault}"));
    assert!(fault.place.line >= 1 && fault.place.column >= 1, "{fault}");
    let text = String::from_utf8_lossy(bytes);
    // A fault may stand behind the last line, and behind the last character of a line.
    let mut lines = text.split('\n').skip(fault.place.line - 1);
    let line = lines.next().unwrap_or_else(|| panic!("no such line: {fault}"));
    assert!(fault.place.column <= line.chars().count() + 1, "no such column: {fault}");
}
