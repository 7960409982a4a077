//! Signing in at `/login`: the form, the session, what ends it, and who is made to wait.

use serde_json::json;

use crate::support::admin::{Client, Office, assert_refused};
use crate::support::eventually;
use crate::support::wire::Answer;

/// The value of the hidden field.
fn token(page: &Answer) -> String {
    let text = page.text();
    let rest = text.split("name=\"csrf\" value=\"").nth(1).expect("a hidden field");
    rest.split('"').next().unwrap().to_owned()
}

/// `name=value` of a cookie that is set; its attributes are those of a cookie that scripts and other sites cannot use.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let set = answer.head.all("set-cookie");
    let line = set.iter().find(|line| line.starts_with(&format!("{name}=")))?;
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(line.contains(attribute), "{line}");
    }
    line.split(';').next().map(str::to_owned)
}

struct Browser {
    client: Client,
    form_cookie: String,
    csrf: String,
}

impl Browser {
    fn at(office: &Office) -> Self {
        let client = Client::stranger(office.address);
        let page = client.raw("GET", "/login", "", b"");
        assert_eq!(page.status, 200);
        let form_cookie = cookie(&page, "postern_login").unwrap();
        Self { csrf: token(&page), client, form_cookie }
    }

    fn enter(&self, username: &str, password: &str, cookies: &str) -> Answer {
        let body = format!("username={username}&password={password}&csrf={}", self.csrf);
        let headers = format!(
            "Content-Type: application/x-www-form-urlencoded\r\nCookie: {}{cookies}\r\n",
            self.form_cookie
        );
        self.client.raw("POST", "/login", &headers, body.as_bytes())
    }
}

/// A signed-in browser without its CSRF token.
fn session(office: &Office, username: &str, password: &str) -> Client {
    let entered = Browser::at(office).enter(username, password, "");
    assert_eq!(entered.status, 303, "{}", entered.text());
    assert_eq!(entered.head.one("location"), Some("/"));
    let cookie = cookie(&entered, "postern_session").unwrap();
    office.keep(&json!(cookie.split('=').nth(1).unwrap()));
    Client::stranger(office.address).with(&format!("Cookie: {cookie}"))
}

#[test]
fn a_browser_signs_in_reads_and_changes_with_its_token_and_signs_out() {
    let office = Office::furnished();
    let (_, password) = office.hired("ned", "operator", None);
    let ned = session(&office, "ned", &password);
    let me = ned.see("/session");
    assert_eq!((&me["username"], &me["role"]), (&json!("ned"), &json!("operator")));
    assert!(ned.raw("GET", "/", "", b"").text().contains("ned"));
    let wanted = json!({ "id": "west", "name": "West" });
    assert_refused(&ned.post("/practices", &wanted), 403, "csrf");
    assert_refused(&ned.with("X-CSRF-Token: 00").post("/practices", &wanted), 403, "csrf");
    let csrf = me["csrf"].as_str().unwrap().to_owned();
    let line = format!("X-CSRF-Token: {csrf}");
    ned.with(&line).make("/practices", &wanted);
    let other = session(&office, "ned", &password);
    assert_refused(&other.with(&line).delete("/vendors/acme/keys/000000000000"), 403, "csrf");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert_refused(&ned.raw("POST", "/logout", form, b"csrf=00"), 403, "csrf");
    let left = ned.raw("POST", "/logout", form, format!("csrf={csrf}").as_bytes());
    assert_eq!((left.status, left.head.one("location")), (303, Some("/login")));
    assert_refused(&ned.get("/me"), 401, "unauthorized");
    assert_eq!(other.see("/me")["username"], "ned", "another session goes on");
}

#[test]
fn a_session_is_new_at_every_sign_in() {
    let office = Office::open();
    let (_, password) = office.hired("ned", "operator", None);
    let planted = "; postern_session=chosen-by-somebody-else";
    let entered = Browser::at(&office).enter("ned", &password, planted);
    assert_eq!(entered.status, 303);
    let first = cookie(&entered, "postern_session").unwrap();
    assert!(!first.contains("chosen"));
    let first_client = Client::stranger(office.address).with(&format!("Cookie: {first}"));
    first_client.see("/me");
    let entered = Browser::at(&office).enter("ned", &password, &format!("; {first}"));
    let second = cookie(&entered, "postern_session").unwrap();
    assert_ne!(first, second);
    assert_refused(&first_client.get("/me"), 401, "unauthorized");
}

#[test]
fn a_session_ends_with_the_role_it_began_in() {
    let office = Office::furnished();
    for (username, change) in
        [("ned", json!({ "role": "auditor" })), ("kim", json!({ "reset_password": true }))]
    {
        let (_, password) = office.hired(username, "operator", None);
        let browser = session(&office, username, &password);
        browser.see("/me");
        let changed = office.operator.patch(&format!("/admins/{username}"), &change);
        assert_eq!(changed.status, 200, "{}", changed.text());
        assert_refused(&browser.get("/me"), 401, "unauthorized");
    }
    let (_, password) = office.hired("alex", "auditor", None);
    let browser = session(&office, "alex", &password);
    assert_eq!(office.operator.delete("/admins/alex").status, 204);
    assert_refused(&browser.get("/me"), 401, "unauthorized");
}

#[test]
fn a_form_of_somebody_else_is_not_taken() {
    let office = Office::open();
    let (_, password) = office.hired("ned", "operator", None);
    let (one, other) = (Browser::at(&office), Browser::at(&office));
    let crossed = Browser { csrf: other.csrf, ..one };
    let answer = crossed.enter("ned", &password, "");
    assert_eq!(answer.status, 403);
    assert!(cookie(&answer, "postern_session").is_none());
    let bare = Client::stranger(office.address);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let body = format!("username=ned&password={password}&csrf=");
    assert_eq!(bare.raw("POST", "/login", form, body.as_bytes()).status, 403);
    let json = "Content-Type: application/json\r\n";
    assert_eq!(bare.raw("POST", "/login", json, b"{}").status, 415);
}

#[test]
fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let office = Office::open();
    office.hired("ned", "operator", None);
    let browser = Browser::at(&office);
    let (wrong, unknown) =
        (browser.enter("ned", "wrong", ""), browser.enter("nobody", "wrong", ""));
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert_eq!(wrong.text(), unknown.text());
    assert!(cookie(&wrong, "postern_session").is_none());
}

#[test]
fn guessing_is_made_to_wait_and_the_right_password_with_it() {
    let office = Office::open();
    let (_, password) = office.hired("ned", "operator", None);
    let (_, other) = office.hired("kim", "auditor", None);
    let browser = Browser::at(&office);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(browser.enter("ned", "wrong", "").status);
    }
    assert_eq!(statuses[..4], [401; 4], "some mistakes are free");
    // Each wait is longer than the one before; one of more than two seconds leaves time to try the right one in it.
    let wait = |answer: &Answer| -> u64 {
        answer.head.one("retry-after").map_or(0, |text| text.parse().unwrap())
    };
    eventually("a wait of three seconds", || {
        let waited = browser.enter("ned", "wrong", "");
        waited.status == 429 && wait(&waited) >= 3
    });
    let entered = browser.enter("ned", &password, "");
    assert_eq!(entered.status, 429, "the right one, too");
    assert!(entered.text().contains("right password"), "told honestly: {}", entered.text());
    assert_eq!(browser.enter("kim", &other, "").status, 303, "others are not held up");
}
