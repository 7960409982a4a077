//! What the command line makes of an admin listener's answers, good and bad.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use serde_json::json;

use crate::support::fixture::{has_secret, operator};
use crate::support::program::{Said, run};
use crate::support::tls::Authority;
use crate::support::{Gateway, Upstream};

const TOKEN: &str = "pst_adm_aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb_cccccc";

/// Answers one connection after the other; gives back the heads that it was sent.
fn listener(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let answer = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut asked, mut byte) = (Vec::new(), [0]);
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                asked.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        };
        answers.into_iter().map(answer).collect()
    });
    (url, serving)
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn ask(url: &str, args: &[&str]) -> Said {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), &[("POSTERN_ADMIN_URL", url), ("POSTERN_ADMIN_TOKEN", TOKEN)], args)
}

#[test]
fn a_list_follows_the_cursor_to_its_end_or_its_limit() {
    let page = |id: &str, next: Option<&str>| {
        answer("200 OK", &json!({ "items": [{ "id": id }], "next": next }).to_string())
    };
    let pages = vec![page("a", Some("c/1&x")), page("b", Some("c2")), page("c", None)];
    let (url, serving) = listener(pages);
    let said = ask(&url, &["vendors", "list", "--json"]).done();
    assert_eq!(
        said.json(),
        json!({ "items": [{ "id": "a" }, { "id": "b" }, { "id": "c" }], "next": null })
    );
    let asked = serving.join().unwrap();
    assert!(asked[0].starts_with("GET /api/v1/vendors?limit=200 HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(
        asked[1].starts_with("GET /api/v1/vendors?limit=200&cursor=c%2F1%26x HTTP"),
        "{}",
        asked[1]
    );
    assert!(asked[0].contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{}", asked[0]);

    let (url, serving) = listener(vec![page("a", Some("c1"))]);
    let said = ask(&url, &["vendors", "list", "--limit", "1"]).done();
    assert!(said.out.ends_with("there are more: --cursor c1\n"), "{}", said.out);
    assert!(serving.join().unwrap()[0].contains("?limit=1 HTTP"));
}

#[test]
fn faults_are_told_by_their_flags() {
    let problem = json!({ "title": "Unprocessable", "status": 422, "code": "invalid", "detail": "2 fields are wrong",
        "errors": [{ "field": "expires_at", "message": "is over" }, { "field": "permissions.x", "message": "unknown" }] });
    let (url, serving) = listener(vec![answer("422 Unprocessable Entity", &problem.to_string())]);
    let create = ["keys", "create", "--practice", "a", "--name", "b", "--owner", "c"];
    let said = ask(&url, &create);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    let expected = "postern: 2 fields are wrong (422 invalid)\n  --expires-at: is over\n  --permission x: unknown\n";
    assert_eq!(said.err, expected);
    serving.join().unwrap();
}

#[test]
fn the_token_goes_nowhere_else() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (url, serving) = listener(vec![moved.to_owned()]);
    let said = ask(&url, &["vendors", "list"]);
    assert!(said.code == 1 && said.err.contains("points elsewhere"), "{}", said.err);
    serving.join().unwrap();
    let (url, serving) = listener(vec![answer("401 Unauthorized", "{}")]);
    let said = ask(&url, &["vendors", "list"]);
    assert!(said.code == 1 && said.err.contains("does not take the token"), "{}", said.err);
    assert!(!has_secret(&said.err), "{}", said.err);
    serving.join().unwrap();
}

#[test]
fn where_nobody_can_be_asked_the_way_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    type Case<'c> = (&'c [(&'c str, &'c str)], i32, &'c str);
    let cases: [Case<'_>; 4] = [
        (&[], 2, "POSTERN_ADMIN_URL is not set"),
        (&[("POSTERN_ADMIN_URL", &url)], 2, "POSTERN_ADMIN_TOKEN is not set"),
        (&[("POSTERN_ADMIN_URL", "gateway:1"), ("POSTERN_ADMIN_TOKEN", "t")], 2, "must begin with"),
        (
            &[("POSTERN_ADMIN_URL", &url), ("POSTERN_ADMIN_TOKEN", TOKEN)],
            1,
            "is the gateway running",
        ),
    ];
    for (variables, code, says) in cases {
        let said = run(directory.path(), variables, &["keys", "list"]);
        assert_eq!((said.code, said.out.as_str()), (code, ""), "{}", said.err);
        assert!(said.err.contains(says) && !has_secret(&said.err), "{says}: {}", said.err);
    }
}

#[test]
fn a_listener_with_a_certificate_of_its_own_is_believed_by_its_ca_alone() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let identity = authority.issue("localhost");
    let gateway = Gateway::over(&upstream)
        .listen("gateway: 127.0.0.1:0\nadmin: 127.0.0.1:0\nadmin_tls: { certificate: a.crt, private_key: a.key }")
        .file("a.crt", identity.certificate.as_bytes())
        .file("a.key", identity.key.as_bytes())
        .start();
    let directory = gateway.directory.path();
    fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    let url = format!("https://localhost:{}", gateway.admin.port());
    let known = [
        ("POSTERN_ADMIN_URL", &*url),
        ("POSTERN_ADMIN_TOKEN", operator()),
        ("POSTERN_ADMIN_CA", "ca.pem"),
    ];
    run(directory, &known, &["practices", "list"]).done();
    let said = run(directory, &known[..2], &["practices", "list"]);
    assert!(said.code == 1 && said.err.contains("cannot reach"), "{}", said.err);
}
