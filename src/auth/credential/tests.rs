//! One credential of each kind, from one place.

use http::header::HeaderName;

use crate::config::Spelling;

use super::*;

fn scheme() -> Credentials {
    Credentials {
        subscriber_header: HeaderName::from_static("x-subscriber-key"),
        vendor_header: HeaderName::from_static("x-vendor-key"),
        spelling: Spelling::default(),
    }
}

/// The two values, or the code of the refusal.
fn read(lines: &[(&'static str, &[u8])], raw: &str) -> Result<[Option<Vec<u8>>; 2], &'static str> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    let target = Target::parse(raw).unwrap();
    let presented =
        Presented::read(&scheme(), &headers, &target).map_err(|refusal| refusal.code())?;
    Ok([presented.subscriber, presented.vendor].map(|key| key.map(<[u8]>::to_vec)))
}

#[test]
fn one_value_of_each_header_is_taken() {
    let both = [("x-subscriber-key", b"s1".as_slice()), ("x-vendor-key", b"v1")];
    assert_eq!(read(&both, "/"), Ok([Some(b"s1".to_vec()), Some(b"v1".to_vec())]));
    assert_eq!(read(&both[..1], "/"), Ok([Some(b"s1".to_vec()), None]));
    assert_eq!(read(&[], "/?a=b"), Ok([None, None]));
}

#[test]
fn a_second_credential_in_any_place_is_a_refusal() {
    let key = ("x-subscriber-key", b"s1".as_slice());
    for second in [
        key,
        ("x-subscriber-key", b"other"),
        ("x_subscriber_key", b"s1"),
        ("x-subscriber.key", b""),
        ("authorization", b"Bearer pst_sub_abc"),
        ("authorization", b"bearer  pst_ven_abc"),
    ] {
        assert_eq!(read(&[key, second], "/"), Err("duplicate_credentials"), "{second:?}");
        assert_eq!(read(&[second, key], "/"), Err("duplicate_credentials"), "{second:?}");
    }
    let vendor = ("x-vendor-key", b"v1".as_slice());
    assert_eq!(read(&[key, vendor, vendor], "/"), Err("duplicate_credentials"));
}

#[test]
fn headers_that_are_no_credential_do_no_harm() {
    let key = ("x-subscriber-key", b"s1".as_slice());
    for other in [
        ("authorization", b"Bearer eyJhbGciOi".as_slice()),
        ("x-subscriber-keys", b"1"),
        ("x-subscriberkey", b"1"),
    ] {
        assert_eq!(read(&[key, other], "/"), Ok([Some(b"s1".to_vec()), None]), "{other:?}");
    }
    assert_eq!(read(&[("x_subscriber_key", b"s1")], "/"), Ok([None, None]));
}

#[test]
fn a_value_that_no_key_can_have_is_a_wrong_key_and_not_a_missing_one() {
    for value in [b"".as_slice(), b"a b", b"a,b", b"a\tb", b"caf\xc3\xa9", b"\xff"] {
        assert_eq!(read(&[("x-vendor-key", value)], "/"), Ok([None, Some(vec![])]), "{value:?}");
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
        "/?pst_sub_abc",
    ] {
        assert_eq!(read(&[], raw), Err("credentials_in_query"), "{raw}");
    }
    for raw in ["/?key=x", "/?a=pst_subject", "/?token=x", "/pst_sub_abc", "/?q=api_key"] {
        assert_eq!(read(&[], raw), Ok([None, None]), "{raw}");
    }
}
