//! Every secret that a gateway makes, looked for everywhere it must not be: the store's files, Redis' files, the log at its
//! most talkative, answers, the audit, metrics, exports.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::support::admin::{Client, Office};
use super::support::redis::Redis;
use super::support::wire::Wire;

/// Everything that may be recorded is.
const SCHEMES: &str = "credentials: { schemes: [headers, oauth2] }\nkeys: { reveal: always }\n\
                       log: { path: full, query: true, max_disk: 8MiB }\n";

/// Uses keys as they should be and as they should not, and gives back what the gateway answered.
fn used(office: &Office, subscriber: &str, vendor: &str) -> String {
    let both = format!("X-Subscriber-Key: {subscriber}\r\nX-Vendor-Key: {vendor}\r\n");
    let requests = [
        format!("GET /v1/patients/7 HTTP/1.1\r\nHost: a\r\n{both}\r\n"),
        format!("GET /.well-known/postern/whoami HTTP/1.1\r\nHost: a\r\n{both}\r\n"),
        format!("GET /v1/patients/{subscriber} HTTP/1.1\r\nHost: a\r\n{both}\r\n"),
        format!(
            "GET /v1/patients?id={subscriber} HTTP/1.1\r\nHost: a\r\nUser-Agent: {vendor}\r\n{both}\r\n"
        ),
        format!("GET /v1/patients?api_key={subscriber} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET /v1/patients HTTP/1.1\r\nHost: a\r\nX_Subscriber_Key: {subscriber}\r\n\r\n"),
        format!("GET /v1/patients HTTP/1.1\r\nHost: {subscriber}\r\n{both}{both}\r\n"),
        format!("{subscriber} /v1/patients HTTP/1.1\r\nHost: a\r\n\r\n"),
    ];
    let answer = |request: &String| {
        let mut wire = Wire::to(office.gateway);
        wire.send(request.as_bytes());
        wire.answer_to("GET").map(|answer| answer.head.text() + &answer.text()).unwrap_or_default()
    };
    requests.iter().map(answer).collect()
}

/// An access token of a key, which is a secret, too.
fn token(office: &Office, id: &str, key: &str) -> String {
    let body = format!("grant_type=client_credentials&client_id={id}&client_secret={key}");
    let form =
        "Content-Type: application/x-www-form-urlencoded\r\nHost: a\r\nConnection: close\r\n";
    let mut wire = Wire::to(office.gateway);
    let length = body.len();
    let head = format!("POST /oauth2/token HTTP/1.1\r\n{form}Content-Length: {length}\r\n\r\n");
    wire.send(format!("{head}{body}").as_bytes());
    let answer = wire.answer();
    assert_eq!(answer.status, 200, "{}", answer.text());
    office.keep(&answer.json()["access_token"])
}

/// Makes, uses and ends everything that is secret; gives back all that was said and should hold none.
fn make_every_secret(office: &Office) -> String {
    let operator = &office.operator;
    let vendor = office.keep(&operator.make("/vendors/acme/keys", &json!({}))["key"]);
    let made = office.key("north");
    let id = made["id"].as_str().unwrap();
    let key = made["key"].as_str().unwrap();
    office.hired("ann", "practice-admin", Some("north"));
    let mut said = used(office, key, &vendor);
    token(office, id, key);
    let rotated = operator.make(&format!("/keys/{id}/rotate"), &json!({ "overlap": "1h" }));
    let next = office.keep(&rotated["key"]);
    said += &used(office, &next, &vendor);
    // Pasted where they do not belong: refused or not, they are not said again.
    for pasted in [&next, &vendor] {
        let wanted = json!({ "username": pasted, "name": pasted });
        said += &operator.post("/practices/south/users", &wanted).text();
        said += &operator.get(&format!("/keys/{pasted}")).text();
        said += &Client::bearer(office.address, pasted).get("/practices").text();
    }
    said += &operator.delete(&format!("/keys/{id}")).text();
    for path in
        ["/audit", "/export", "/practices/north/keys", "/admins", "/vendors/acme/keys", "/activity"]
    {
        said += &operator.get(path).text();
    }
    said + &Client::stranger(office.address).raw("GET", "/metrics", "", b"").text()
}

#[track_caller]
fn assert_none(secrets: &[String], place: &str, text: &[u8]) {
    for secret in secrets {
        let found = memchr::memmem::find(text, secret.as_bytes()).is_some();
        let start = secret.get(..12).unwrap_or_default();
        assert!(!found, "a secret that begins with {start} is in {place}");
    }
}

/// Looks through every file below.
fn assert_no_file_holds(secrets: &[String], directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                return assert_no_file_holds(secrets, &path);
            }
            assert_none(secrets, &path.display().to_string(), &fs::read(&path).unwrap());
            1
        })
        .sum()
}

#[test]
fn no_secret_is_on_disk_in_an_answer_or_in_the_log() {
    let office = Office::furnished_with(SCHEMES);
    let said = make_every_secret(&office);
    let secrets = office.secrets();
    assert!(secrets.len() >= 8, "{} secrets", secrets.len());
    assert_none(&secrets, "an answer", said.as_bytes());
    // The configuration, two route maps, the two secret files, the store and its lock.
    assert!(assert_no_file_holds(&secrets, office.directory()) >= 7);
    // The log is looked through when the office closes.
}

#[test]
fn no_secret_is_in_redis() {
    let redis = Redis::start(&[]);
    let office = Office::furnished_with(&format!("{SCHEMES}store: {}\n", redis.url()));
    let said = make_every_secret(&office);
    let secrets = office.secrets();
    assert_none(&secrets, "an answer", said.as_bytes());
    redis.command(&["SAVE"]);
    assert!(assert_no_file_holds(&secrets, redis.directory()) >= 2, "a dump and a log of writes");
    assert_no_file_holds(&secrets, office.directory());
}
