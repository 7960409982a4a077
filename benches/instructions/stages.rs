//! The stages of a request that are counted, each with what it needs. A new one is a function and a line in [`STAGES`].

use std::hint::black_box;

use http::request::Parts;
use http::{HeaderMap, Request};

use postern::auth::Presented;
use postern::model::refusal::{Lack, Short};
use postern::model::{Access, Method, Refusal, RequestId};
use postern::policy::Target;
use postern::proxy::Setup;
use postern::proxy::stages::{Wire, refuse, screen, tell};

#[path = "../journal/scene.rs"]
mod journal;
#[path = "../keys/scene.rs"]
mod keys;
#[path = "../limits/scene.rs"]
mod limits;
#[path = "../policy/map.rs"]
mod map;

/// Does it once; the number is another one each time.
pub(crate) type Turn = Box<dyn FnMut(usize)>;

pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) set_up: fn() -> Turn,
}

/// In the order in which a request comes to them.
pub(crate) const STAGES: &[Stage] = &[
    Stage { name: "guard", set_up: guard },
    Stage { name: "head", set_up: head },
    Stage { name: "target", set_up: target },
    Stage { name: "credentials", set_up: credentials },
    Stage { name: "rule", set_up: rule },
    Stage { name: "keys", set_up: keys },
    Stage { name: "limits", set_up: limits },
    Stage { name: "record", set_up: record },
    Stage { name: "fields", set_up: fields },
    Stage { name: "unauthenticated", set_up: unauthenticated },
    Stage { name: "denied", set_up: denied },
];

const ROUTES: usize = 100;
const KEYS: usize = 1_000;
/// Has no common divisor with the number of keys, so that all have their turn.
const STEP: usize = 919;

const HEAD: &str = "GET /v1/patients/123456/appointments?from=2026-11-01&include=notes HTTP/1.1\r\n\
    Host: practice.example:8080\r\n\
    User-Agent: acme-scheduling/4.2 (linux; x86_64)\r\n\
    Accept: application/json\r\n\
    Accept-Encoding: gzip, br\r\n\
    Accept-Language: en-GB\r\n\
    X-Subscriber-Key: pst_sub_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL\r\n\
    X-Vendor-Key: pst_ven_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL\r\n\
    X-Correlation-Id: 7f0c2a9e-1d2b-4c3d-8e4f-5a6b7c8d9e0f\r\n\
    Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
    Cache-Control: no-cache\r\n\
    Connection: keep-alive\r\n\
    \r\n";

/// The bytes of a head as they come from the connection.
fn guard() -> Turn {
    let mut guard = Wire::new(&limits::config("").proxy);
    Box::new(move |_| assert!(guard.ends_a_head(black_box(HEAD.as_bytes()))))
}

/// The same head as hyper hands it over.
fn head() -> Turn {
    let (config, parts) = (limits::config(""), parts());
    Box::new(move |_| assert!(screen(black_box(&parts), &config.proxy).is_ok()))
}

/// Its target read, and its query screened.
fn target() -> Turn {
    let raw = targets();
    Box::new(move |number| {
        let target = Target::parse(black_box(&raw[number % raw.len()])).unwrap();
        assert!(black_box(target).screen_query().is_ok());
    })
}

/// The two keys found among its fields.
fn credentials() -> Turn {
    let (config, parts) = (limits::config(""), parts());
    Box::new(move |_| {
        let target = Target::parse(parts.uri.path()).unwrap();
        let presented = Presented::read(&config.credentials, black_box(&parts.headers), &target);
        assert!(black_box(presented).is_ok());
    })
}

/// The rule found among a hundred, and all that it needs judged.
fn rule() -> Turn {
    let policy = map::policy(ROUTES);
    let (caller, headers) = (map::caller(&policy), map::headers());
    let targets: Vec<_> = targets().iter().map(|raw| Target::parse(raw).unwrap()).collect();
    Box::new(move |number| {
        let target = black_box(&targets[number % targets.len()]);
        let found = policy.find(target, Method::Get);
        let admission = policy.judge(found, Method::Get, target, &headers, Some(&caller));
        assert!(!black_box(admission).unwrap().needs.is_empty());
    })
}

/// Both keys known among a thousand, and what they are worth now.
fn keys() -> Turn {
    let scene = keys::Scene::of(KEYS);
    Box::new(move |number| assert!(scene.is_caller(number * STEP % KEYS)))
}

/// What it costs taken from eight limits at once, and its end told.
fn limits() -> Turn {
    let scene = limits::Scene::of(1_000);
    let mut turn = 0;
    Box::new(move |_| {
        turn = (turn + 919) % 1_000;
        assert!(black_box(scene.request(turn)).outcome.is_ok());
    })
}

/// Its record begun and completed: encoded, and written into the journal's pages.
fn record() -> Turn {
    let scene = journal::Scene::new();
    Box::new(move |_| {
        let begun = scene.begin();
        scene.lane.complete(begun, black_box(&journal::OUTCOME));
    })
}

/// What is left of its limits, written into the answer.
fn fields() -> Turn {
    let scene = limits::Scene::of(10);
    let standings = scene.request(1).standings;
    let mut headers = HeaderMap::with_capacity(16);
    Box::new(move |_| {
        tell(&scene.plan, black_box(&standings), &mut headers);
        assert_eq!(headers.len(), 2);
    })
}

/// The answer to a wrong key.
fn unauthenticated() -> Turn {
    refusal(Refusal::InvalidCredentials)
}

/// The answer that names most of what was wrong.
fn denied() -> Turn {
    refusal(Refusal::PermissionDenied(Lack {
        category: "clinical".to_owned(),
        needed: Access::READ_WRITE,
        granted: Access::READ,
        short: Short::Key,
    }))
}

fn refusal(refusal: Refusal) -> Turn {
    let setup = Setup::build(limits::config(""), None).expect("a configuration without faults");
    let id = RequestId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    Box::new(move |_| {
        let response = refuse(&setup, black_box(&refusal), id);
        assert!(black_box(response).status().is_client_error());
    })
}

/// As long as the process lives: it counts one stage and ends.
fn targets() -> &'static [String] {
    map::targets(ROUTES).leak()
}

fn parts() -> Parts {
    let mut lines = HEAD.lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
    let fields = lines.filter_map(|line| line.split_once(": "));
    let request =
        fields.fold(Request::get(target), |request, (name, value)| request.header(name, value));
    request.body(()).unwrap().into_parts().0
}
