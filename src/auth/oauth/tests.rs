//! Forms, clients and scopes as they come, and what is made of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;

use super::*;

const HEADER: HeaderName = HeaderName::from_static("x-subscriber-key");
const ID: &str = "0123456789aB";
const PART: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg";

fn basic(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("Basic {}", BASE64.encode(text));
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
    headers
}

/// The id and the secrets of a client, or the code of the fault.
fn client(headers: &HeaderMap, body: &str) -> Result<(String, Vec<String>), &'static str> {
    let form = Form::read(body.as_bytes()).map_err(Fault::code)?;
    let client = Client::read(headers, &form, &HEADER).map_err(Fault::code)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ok((text(client.id()), client.secrets().map(text).collect()))
}

fn one(id: &str, secrets: &[&str]) -> Result<(String, Vec<String>), &'static str> {
    Ok((id.to_owned(), secrets.iter().map(|&secret| secret.to_owned()).collect()))
}

#[test]
fn a_form_is_read_with_its_encoding_and_without_what_is_empty() {
    let form = Form::read(b"grant_type=client%5Fcredentials&scope=a%3Aread+b:read&x=&").unwrap();
    assert_eq!(form.grant_type.as_deref(), Some("client_credentials"));
    assert_eq!(form.scope.as_deref(), Some("a:read b:read"));
    assert!(Form::read(b"scope=").unwrap().scope.is_none());
    assert!(Form::read(b"").unwrap().grant_type.is_none());
    assert_eq!(Form::read(b"token=abc").unwrap().token.unwrap().reveal(), "abc");
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for body in [
        "scope=a&scope=b",
        "scope=a&scope=a",
        "scope=&scope=a",
        "scope=a&sc%6Fpe=b",
        "x=1&x=2",
        "scope",
        "scope=%",
        "scope=%4",
        "scope=%zz",
        "scope=%ff",
        "%ff=a",
        "{\"grant_type\":\"client_credentials\"}",
    ] {
        assert_eq!(Form::read(body.as_bytes()).unwrap_err().code(), "invalid_request", "{body}");
    }
}

#[test]
fn a_form_of_many_parameters_is_refused_before_they_are_compared() {
    let of = |count: usize| {
        let pairs: Vec<String> = (0..count).map(|number| format!("x{number}=")).collect();
        pairs.join("&")
    };
    assert!(Form::read(of(32).as_bytes()).is_ok());
    let told = Form::read(of(33).as_bytes()).unwrap_err();
    assert_eq!(told, TOO_MANY);
    // Empty pairs are none.
    assert!(Form::read("&".repeat(8192).as_bytes()).is_ok());
}

#[test]
fn only_a_form_is_a_form() {
    let of = |lines: &[&str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("content-type", HeaderValue::from_str(line).unwrap());
        }
        is_form(&headers)
    };
    let form = "application/x-www-form-urlencoded";
    assert!(of(&[form]) && of(&["Application/X-WWW-Form-URLEncoded; charset=UTF-8"]));
    assert!(
        !of(&[]) && !of(&["application/json"]) && !of(&[form, form]) && !of(&["text/plain;a=b"])
    );
}

#[test]
fn a_client_comes_by_the_body_or_by_basic() {
    let body = "client_id=0123456789aB&client_secret=pst_sub_x";
    assert_eq!(client(&HeaderMap::new(), body), one(ID, &["pst_sub_x"]));
    assert_eq!(client(&basic("0123456789aB:pst_sub_x"), ""), one(ID, &["pst_sub_x"]));
    let same = client(&basic("0123456789aB:pst_sub_x"), "client_id=0123456789aB");
    assert_eq!(same, one(ID, &["pst_sub_x"]));
}

#[test]
fn credentials_in_two_ways_or_none_are_refused() {
    let by_basic = basic("0123456789aB:s");
    assert_eq!(client(&by_basic, "client_secret=s"), Err("invalid_request"));
    assert_eq!(client(&by_basic, "client_id=ba9876543210"), Err("invalid_request"));
    let mut twice = basic("0123456789aB:s");
    twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    assert_eq!(client(&twice, ""), Err("invalid_request"));
    let none = HeaderMap::new();
    for body in ["", "client_id=a", "client_secret=s", "client_id=a&client_secret="] {
        assert_eq!(client(&none, body), Err("invalid_client"), "{body}");
    }
    let mut bearer = HeaderMap::new();
    bearer.insert(AUTHORIZATION, HeaderValue::from_static("Bearer pst_sub_x"));
    assert_eq!(client(&bearer, ""), Err("invalid_client"));
    let both = client(&bearer, "client_id=a&client_secret=s");
    assert_eq!(both, Err("invalid_request"));
}

#[test]
fn a_keys_own_header_is_a_second_way() {
    for name in ["x-subscriber-key", "x_subscriber_key"] {
        let name = HeaderName::from_static(name);
        let mut headers = basic("0123456789aB:s");
        headers.insert(&name, HeaderValue::from_static("x"));
        assert_eq!(client(&headers, ""), Err("invalid_request"), "{name}");
        headers.remove(AUTHORIZATION);
        assert_eq!(client(&headers, "client_id=a&client_secret=s"), Err("invalid_request"));
        assert_eq!(client(&headers, ""), Err("invalid_client"), "alone it is no way at all");
    }
}

#[test]
fn the_secret_part_of_a_key_of_ours_stands_for_the_key() {
    let id = KeyId::parse(ID).unwrap();
    let whole = key::assemble(Purpose::SubscriberKey, id, PART);
    assert_eq!(client(&basic(&format!("{ID}:{PART}")), ""), one(ID, &[whole.reveal(), PART]));
    let body = format!("client_id={ID}&client_secret={PART}");
    assert_eq!(client(&HeaderMap::new(), &body), one(ID, &[whole.reveal(), PART]));
    // Without an id of ours there is no key to put together.
    assert_eq!(client(&basic(&format!("us:{PART}")), ""), one("us", &[PART]));
}

#[test]
fn a_basic_secret_is_tried_decoded_and_as_it_was_sent() {
    assert_eq!(client(&basic("us:a%2Bb"), ""), one("us", &["a+b", "a%2Bb"]));
    assert_eq!(client(&basic("us:100%"), ""), one("us", &["", "100%"]));
}

#[test]
fn a_scope_is_taken_where_the_key_may_all_of_it() {
    let mut catalogue = Catalogue::default();
    let billing = catalogue.add_category("billing", "Billing");
    catalogue.add_scope(billing, "invoices", "Invoices");
    let permissions = [("patient", Access::READ), ("billing.invoices", Access::READ_WRITE)];
    let grants = catalogue.grants(permissions).unwrap();
    let asked = |scope| narrowed(scope, &catalogue, &grants);
    assert_eq!(asked("patient:read").unwrap(), ["patient:read"]);
    let both = ["billing.invoices:write", "patient:read"];
    assert_eq!(asked("patient:read billing.invoices:write patient:read").unwrap(), both);
    assert!(asked("billing.invoices:read").is_ok() && asked("billing.invoices:write-only").is_ok());
    for more in [
        "patient:write",
        "patient:write-only",
        "billing:read",
        "clinical:read",
        "patient:none",
        "patient",
        "patient:",
        ":read",
        "nobody:read",
        "patient:read clinical:read",
        "patient:read  patient:read",
        " patient:read",
        "patient:READ",
    ] {
        assert_eq!(asked(more), Err(Fault::InvalidScope), "{more}");
    }
}

#[test]
fn answers_are_those_of_the_rfc() {
    let text = granted(&PlainKey::new("pst_tok_x".to_owned()), 60, &["a:read".to_owned()]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = json!({ "access_token": "pst_tok_x", "token_type": "Bearer", "expires_in": 60, "scope": "a:read" });
    assert_eq!(json, expected);
    let fault: serde_json::Value = serde_json::from_str(&WRONG_CLIENT.document()).unwrap();
    assert_eq!(fault["error"], "invalid_client");
    assert!(fault["error_description"].as_str().unwrap().is_ascii());
}

#[test]
fn standing_is_told_to_who_had_the_right_secret() {
    let of = |refusal: Refusal| Fault::of_standing(&refusal).code();
    assert_eq!(of(Refusal::KeyRevoked), "invalid_client");
    assert_eq!(of(Refusal::KeyExpired), "invalid_client");
    assert_eq!(of(Refusal::ApiAccessDisabled), "unauthorized_client");
    assert_eq!(of(Refusal::InvalidCredentials), "invalid_client");
}

#[test]
fn nothing_of_a_client_is_shown() {
    let form = Form::read(b"client_id=us&client_secret=hunter2&token=hunter3").unwrap();
    let client = Client::read(&HeaderMap::new(), &form, &HEADER).unwrap();
    assert!(!format!("{form:?} {client:?}").contains("hunter"));
}
