//! Practices of a region are served at its host names, by its upstream, and nowhere else.

use serde_json::{Value, json};

use super::support::admin::Client;
use super::support::fixture::{operator, request};
use super::support::setup::Setup;
use super::support::{Answer, Gateway, Upstream, eventually};

struct World {
    usual: Upstream,
    australia: Upstream,
    setup: Setup,
    gateway: Gateway,
}

const REGIONS: &str = "regions:
  au: { hosts: [api.au.test, au.test], upstream: australia }
  eu: { hosts: [api.eu.test], upstream: practice }";

impl World {
    fn open() -> Self {
        let (usual, australia) = (Upstream::ok(), Upstream::ok());
        let other = format!("preserve_host: false\n  australia:\n    url: {}", australia.url());
        let setup = Gateway::over(&usual).upstream(&other);
        let gateway = setup.clone().top(REGIONS).start();
        Self { usual, australia, setup, gateway }
    }

    /// Puts the practice into a region.
    fn settle(&self, region: &Value) {
        let admin = Client::bearer(self.gateway.admin, operator());
        let answer = admin.patch("/practices/north", &json!({ "region": region }));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn get(&self, host: &str, target: &str) -> Answer {
        let bytes = String::from_utf8(request("GET", target, "key-all")).unwrap();
        self.gateway.send(bytes.replace("gw.test", host).as_bytes())
    }

    fn assert_untouched(&self) {
        self.usual.assert_untouched("refused");
        self.australia.assert_untouched("refused");
    }
}

#[test]
fn a_practice_of_a_region_is_served_at_its_hosts_by_its_upstream() {
    let world = World::open();
    world.settle(&json!("au"));
    for host in ["api.au.test", "au.test", "API.AU.test:8443", "api.au.test.", "au.test.:80"] {
        assert_eq!(world.get(host, "/v1/appointments").status, 200, "{host}");
        assert_eq!(world.australia.only().line(), "GET /v1/appointments HTTP/1.1");
        world.usual.assert_untouched(host);
    }
    world.settle(&json!("eu"));
    assert_eq!(world.get("api.eu.test", "/v1/appointments").status, 200);
    world.usual.only();
}

#[test]
fn another_door_names_the_right_one_and_passes_nothing() {
    let world = World::open();
    world.settle(&json!("au"));
    for host in ["api.eu.test", "gw.test", "127.0.0.1", "api.au.test.evil"] {
        let answer = world.get(host, "/v1/appointments");
        assert_eq!((answer.status, answer.code().as_str()), (421, "wrong_region"), "{host}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("api.au.test"), "{detail}");
    }
    let whoami = world.get("api.eu.test", "/.well-known/postern/whoami");
    assert_eq!((whoami.status, whoami.code().as_str()), (421, "wrong_region"));
    // Told to callers with keys alone, and once the route is known.
    assert_eq!(world.get("api.eu.test", "/v1/unmapped").code(), "route_unmapped");
    let stranger = b"GET /v1/appointments HTTP/1.1\r\nHost: api.eu.test\r\n\r\n";
    assert_eq!(world.gateway.send(stranger).code(), "subscriber_key_missing");
    world.assert_untouched();
}

#[test]
fn without_a_region_any_host_is_right() {
    let world = World::open();
    for host in ["api.au.test", "api.eu.test", "gw.test"] {
        assert_eq!(world.get(host, "/v1/appointments").status, 200, "{host}");
        world.usual.only();
    }
    world.settle(&json!("au"));
    let public = b"GET /v1/status HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    assert_eq!(world.gateway.send(public).status, 200, "a public route is nobody's");
    world.usual.only();
}

#[test]
fn a_region_that_the_configuration_no_longer_has_serves_nobody() {
    let world = World::open();
    world.settle(&json!("au"));
    assert_eq!(world.get("api.au.test", "/v1/appointments").status, 200);
    world.australia.only();
    let fewer = REGIONS.lines().filter(|line| !line.contains(" au: ")).collect::<Vec<_>>();
    world.gateway.rewrite(&world.setup.clone().top(&fewer.join("\n")));
    eventually("the region to be gone", || {
        world.get("api.au.test", "/v1/appointments").code() == "wrong_region"
    });
    world.australia.take();
    assert_eq!(world.get("api.eu.test", "/v1/appointments").code(), "wrong_region");
    world.assert_untouched();
}
