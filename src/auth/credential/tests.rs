//! One credential of each kind, from one place, under every scheme.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::HeaderName;

use super::*;

const HEADERS: Schemes =
    Schemes { headers: true, bearer: false, basic: false, username_header: false, oauth2: false };
const NONE: Schemes = Schemes { headers: false, ..HEADERS };
const BEARER: Schemes = Schemes { bearer: true, ..NONE };
const BASIC: Schemes = Schemes { basic: true, ..NONE };
const NAMED: Schemes = Schemes { username_header: true, ..NONE };
const OAUTH2: Schemes = Schemes { oauth2: true, ..NONE };
const ALL: Schemes =
    Schemes { headers: true, bearer: true, basic: true, username_header: true, oauth2: true };

fn configured(schemes: Schemes) -> Credentials {
    Credentials { schemes, ..Credentials::default() }
}

/// A subscriber credential in words: `key K`, `key K of U`, `token T`; with the vendor key, or the code of the refusal.
fn read_by(
    scheme: &Credentials,
    lines: &[(&'static str, &[u8])],
    raw: &str,
) -> Result<(String, Option<String>), &'static str> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    let target = Target::parse(raw).unwrap();
    let presented = Presented::read(scheme, &headers, &target).map_err(|refusal| refusal.code())?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let told = presented.subscriber.as_ref().map_or_else(String::new, |credential| {
        let secret = text(credential.secret());
        match (credential, credential.claim()) {
            (Credential::Token(_), _) => format!("token {secret}"),
            (_, Claim::Owner(owner)) => format!("key {secret} of {}", text(owner)),
            _ => format!("key {secret}"),
        }
    });
    Ok((told, presented.vendor.map(text)))
}

fn told(schemes: Schemes, lines: &[(&'static str, &[u8])]) -> Result<String, &'static str> {
    read_by(&configured(schemes), lines, "/").map(|(subscriber, _)| subscriber)
}

fn key(value: &'static str) -> (&'static str, &'static [u8]) {
    ("x-subscriber-key", value.as_bytes())
}

fn username(value: &'static str) -> (&'static str, &'static [u8]) {
    ("x-username", value.as_bytes())
}

#[track_caller]
fn authorized(schemes: Schemes, value: &str, expected: Result<&str, &'static str>) {
    let found = told(schemes, &[("authorization", value.as_bytes())]);
    assert_eq!(found, expected.map(str::to_owned), "{value:?}");
}

fn basic_of(text: &str) -> String {
    format!("Basic {}", BASE64.encode(text))
}

#[test]
fn one_value_of_each_header_is_taken() {
    let both = [key("s1"), ("x-vendor-key", b"v1".as_slice())];
    let scheme = configured(HEADERS);
    assert_eq!(read_by(&scheme, &both, "/"), Ok(("key s1".to_owned(), Some("v1".to_owned()))));
    assert_eq!(read_by(&scheme, &both[..1], "/"), Ok(("key s1".to_owned(), None)));
    assert_eq!(read_by(&scheme, &[], "/?a=b"), Ok((String::new(), None)));
}

#[test]
fn a_second_credential_in_any_place_is_a_refusal() {
    for second in [
        key("s1"),
        key("other"),
        ("x_subscriber_key", b"s1"),
        ("x-subscriber.key", b""),
        ("authorization", b"Bearer pst_sub_abc"),
        ("authorization", b"bearer  pst_ven_abc"),
        ("authorization", b"pst_tok_abc"),
    ] {
        for schemes in [HEADERS, ALL] {
            // Without a scheme before it, it is no `Authorization` that anybody takes: a key out of place.
            let lines = [key("s1"), second];
            assert_eq!(told(schemes, &lines), Err("duplicate_credentials"), "{second:?}");
            let lines = [second, key("s1")];
            assert_eq!(told(schemes, &lines), Err("duplicate_credentials"), "{second:?}");
        }
    }
    let vendor = ("x-vendor-key", b"v1".as_slice());
    assert_eq!(told(HEADERS, &[key("s"), vendor, vendor]), Err("duplicate_credentials"));
    assert_eq!(told(HEADERS, &[vendor, ("x_vendor_key", b"v1")]), Err("duplicate_credentials"));
}

#[test]
fn two_schemes_at_once_are_a_refusal_whatever_they_carry() {
    let basic = basic_of("amy:s2");
    let lines: [&[(&'static str, &[u8])]; 6] = [
        &[key("s1"), ("authorization", b"Bearer s1")],
        &[key("s1"), ("authorization", b"Bearer")],
        &[key("s1"), ("authorization", basic.as_bytes())],
        &[username("amy"), ("authorization", b"Bearer s1")],
        &[("authorization", b"Bearer s1"), ("authorization", b"Bearer s1")],
        &[("authorization", b"Bearer s1"), ("authorization", b"Digest x")],
    ];
    for lines in lines {
        assert_eq!(told(ALL, lines), Err("duplicate_credentials"), "{lines:?}");
    }
    let other_way = [key("pst_sub_x"), ("authorization", b"Bearer s1".as_slice())];
    assert_eq!(told(BEARER, &other_way), Err("duplicate_credentials"));
}

#[test]
fn headers_that_are_no_credential_do_no_harm() {
    for other in [
        ("authorization", b"Bearer eyJhbGciOi".as_slice()),
        ("x-subscriber-keys", b"1"),
        ("x-subscriberkey", b"1"),
        ("x-username", b"amy"),
    ] {
        assert_eq!(told(HEADERS, &[key("s1"), other]), Ok("key s1".to_owned()), "{other:?}");
    }
    let aliased = [("x_subscriber_key", b"s1".as_slice())];
    assert_eq!(told(HEADERS, &aliased), Ok(String::new()));
    let foreign = [key("something"), ("authorization", b"Bearer s1".as_slice())];
    assert_eq!(told(BEARER, &foreign), Ok("key s1".to_owned()));
}

#[test]
fn a_scheme_that_is_not_configured_presents_nothing() {
    authorized(HEADERS, "Bearer pst_sub_abc", Ok(""));
    authorized(BASIC, "Bearer pst_sub_abc", Ok(""));
    authorized(BEARER, &basic_of("amy:s1"), Ok(""));
    authorized(ALL, "Digest username=amy", Ok(""));
    assert_eq!(told(BEARER, &[key("pst_sub_abc")]), Ok(String::new()));
}

#[test]
fn a_bearer_key_has_one_form() {
    for good in ["Bearer s1", "bearer s1", "BEARER s1"] {
        authorized(BEARER, good, Ok("key s1"));
    }
    for wrong in [
        "Bearer",
        "Bearer ",
        "Bearer  s1",
        "Bearer\ts1",
        "Bearer s1 ",
        "Bearer s1, Bearer s1",
        "Bearer s1,s2",
        "Bearer \"s 1\"",
        "Bearer=s1",
        "Bearer:s1",
        "Bearer caf\u{e9}",
    ] {
        authorized(BEARER, wrong, Ok("key "));
    }
}

#[test]
fn tokens_are_for_oauth2_and_keys_for_bearer() {
    authorized(OAUTH2, "Bearer pst_tok_x", Ok("token pst_tok_x"));
    authorized(OAUTH2, "Bearer pst_sub_x", Ok("token pst_sub_x"));
    authorized(OAUTH2, "Bearer  pst_tok_x", Ok("token "));
    authorized(ALL, "Bearer pst_tok_x", Ok("token pst_tok_x"));
    authorized(ALL, "Bearer pst_sub_x", Ok("key pst_sub_x"));
    authorized(BEARER, "Bearer pst_tok_x", Ok("key pst_tok_x"));
}

#[test]
fn basic_is_a_username_and_a_key() {
    authorized(BASIC, &basic_of("amy:s1"), Ok("key s1 of amy"));
    authorized(BASIC, &basic_of("amy:s:1"), Ok("key s:1 of amy"));
    authorized(BASIC, &basic_of(":s1"), Ok("key s1 of "));
    authorized(BASIC, &basic_of("amy:s 1"), Ok("key  of amy"));
    for wrong in [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YW15",
        "Basic  YW15OnMx",
        "Basic YW15OnMx,YW15OnMx",
        "Basic YW15OnM",
        "Basic YW15OnMxMg",
        "basic\tYW15OnMx",
    ] {
        authorized(BASIC, wrong, Ok("key  of "));
    }
    authorized(BASIC, "bAsIc YW15OnMx", Ok("key s1 of amy"));
}

#[test]
fn the_username_header_belongs_to_its_key() {
    assert_eq!(told(NAMED, &[key("s1"), username("amy")]), Ok("key s1 of amy".to_owned()));
    assert_eq!(told(NAMED, &[key("s1"), username("a,b")]), Ok("key s1 of a,b".to_owned()));
    assert_eq!(told(NAMED, &[key("s1")]), Ok("key s1 of ".to_owned()));
    assert_eq!(told(NAMED, &[username("amy")]), Ok(String::new()));
    let twice = [key("s1"), username("amy"), username("amy")];
    assert_eq!(told(NAMED, &twice), Err("duplicate_credentials"));
    let aliased = [key("s1"), username("amy"), ("x_username", b"bob".as_slice())];
    assert_eq!(told(NAMED, &aliased), Err("duplicate_credentials"));
    // Where keys may also come without it.
    assert_eq!(told(ALL, &[key("s1")]), Ok("key s1".to_owned()));
    assert_eq!(told(ALL, &[key("s1"), username("amy")]), Ok("key s1 of amy".to_owned()));
}

#[test]
fn without_vendor_keys_their_header_means_nothing() {
    let scheme = Credentials { vendor_key: VendorKeyRule::Off, ..configured(HEADERS) };
    let vendor = ("x-vendor-key", b"v1".as_slice());
    assert_eq!(read_by(&scheme, &[vendor, vendor], "/"), Ok((String::new(), None)));
    let scheme = Credentials { vendor_key: VendorKeyRule::Optional, ..configured(HEADERS) };
    assert_eq!(read_by(&scheme, &[vendor], "/"), Ok((String::new(), Some("v1".to_owned()))));
}

#[test]
fn a_value_that_no_key_can_have_is_a_wrong_key_and_not_a_missing_one() {
    for value in [b"".as_slice(), b"a b", b"a,b", b"a\tb", b"caf\xc3\xa9", b"\xff"] {
        let lines = [("x-vendor-key", value), ("x-subscriber-key", value)];
        let expected = Ok(("key ".to_owned(), Some(String::new())));
        assert_eq!(read_by(&configured(HEADERS), &lines, "/"), expected, "{value:?}");
    }
}

#[test]
fn a_key_in_the_query_is_a_refusal() {
    for raw in [
        "/?api_key=x",
        "/?API-KEY=x",
        "/?a=1&apikey=x",
        "/?a=1;access_token=x",
        "/?access%5Ftoken",
        "/?X-Subscriber-Key=x",
        "/?x_vendor_key=x",
        "/?api_key[]=x",
        "/?%u0061pi_key=x",
        "/?q=%u0070st_sub_abc",
        "/?a=pst_sub_abc",
        "/?a=%70st_ven_abc",
        "/?a=Bearer+pst_sub_abc",
        "/?a=pst_tok_abc",
        "/?a=pst_adm_abc",
        "/?pst_sub_abc",
    ] {
        assert_eq!(read_by(&configured(HEADERS), &[], raw), Err("credentials_in_query"), "{raw}");
    }
    for raw in [
        "/?key=x",
        "/?a=pst_subject",
        "/?token=x",
        "/pst_sub_abc",
        "/?q=api_key",
        "/?client_secret=x",
    ] {
        assert_eq!(read_by(&configured(HEADERS), &[], raw), Ok((String::new(), None)), "{raw}");
    }
    let oauth2 = configured(OAUTH2);
    assert_eq!(read_by(&oauth2, &[], "/?client-secret=x"), Err("credentials_in_query"));
}

#[test]
fn nothing_of_a_credential_is_shown() {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&basic_of("amy:hunter2")).unwrap();
    headers.insert(AUTHORIZATION, value);
    let target = Target::parse("/").unwrap();
    let presented = Presented::read(&configured(BASIC), &headers, &target).unwrap();
    let credential = presented.subscriber.as_ref().unwrap();
    assert_eq!(format!("{presented:?} {credential:?}"), "Presented(…) Credential(…)");
}
