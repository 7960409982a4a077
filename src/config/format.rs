//! The forms of text that several parts share: names, files, hosts and headers.

use http::{HeaderName, HeaderValue};

use crate::config::shape::Format;
use crate::config::value::Wrong;

/// The name of an upstream, an API or a category.
pub(super) static NAME: Format = Format {
    expected: "a name of letters, digits, `-` and `_`",
    check: |text| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.is_empty() || text.len() > LONGEST_NAME || !text.bytes().all(word) {
            Err(Wrong::default())
        } else {
            Ok(())
        }
    },
    pattern: Some("^[A-Za-z0-9_-]{1,64}$"),
};

const LONGEST_NAME: usize = 64;

pub(super) static TITLE: Format = Format {
    expected: "a title",
    check: |text| {
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            Err(Wrong::default())
        } else {
            Ok(())
        }
    },
    pattern: None,
};

pub(super) static FILE: Format = Format {
    expected: "the path of a file",
    check: |text| if text.is_empty() { Err(Wrong::default()) } else { Ok(()) },
    pattern: None,
};

/// A category or a scope; whether it exists is found against the catalogue.
pub(super) static SCOPE: Format = Format {
    expected: "a category or a scope",
    check: |text| if text.is_empty() { Err(Wrong::default()) } else { Ok(()) },
    pattern: None,
};

pub(super) static HOST: Format = Format {
    expected: "a host name or an address",
    check: |text| host(text).map(drop),
    pattern: None,
};

/// A host name, an IPv4 address or a bare IPv6 address, in lower case.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    let label = |label: &str| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) && !last.is_empty() {
        return Err(Wrong::because("it ends in a number but is no IPv4 address"));
    }
    if text.len() > 253 || !text.split('.').all(label) {
        return Err(Wrong::because("a host name has letters, digits, `-` and dots"));
    }
    Ok(text.to_ascii_lowercase())
}

/// Letters, digits and `-`: every upstream reads such a name in one way only.
pub(super) fn header_name(text: &str) -> Result<HeaderName, Wrong> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !text.bytes().all(word) {
        let meant: String =
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        return Err(Wrong::because("the name of a header has letters, digits and `-`")
            .hint(format!("did you mean {meant}?")));
    }
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| Wrong::because("it is empty or too long"))
}

pub(super) static HEADER_NAME: Format = Format {
    expected: "the name of a header",
    check: |text| header_name(text).map(drop),
    pattern: Some("^[A-Za-z0-9-]+$"),
};

pub(super) fn header_value(text: &str) -> Result<HeaderValue, Wrong> {
    if text.is_empty() || text.trim() != text {
        return Err(Wrong::because("it is empty, or begins or ends with a space"));
    }
    HeaderValue::from_str(text)
        .map_err(|_| Wrong::because("a header holds printable ASCII in one line"))
}

pub(super) static HEADER_VALUE: Format = Format {
    expected: "the value of a header",
    check: |text| header_value(text).map(drop),
    pattern: None,
};
