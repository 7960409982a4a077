//! Addresses of admin listeners as people write them.

use std::fmt;

use crate::model::hex;

/// An http or https address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) https: bool,
    /// `host:port`.
    pub(super) authority: String,
    pub(super) path: String,
}

impl Endpoint {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (https, rest) = match url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err("must begin with http:// or https://".into()),
        };
        // What is refused here is not said again: it may be a password.
        if rest.contains('@') {
            return Err(
                "must hold no user, no password and no `@`; write http://HOST:PORT/PATH or \
                        https://HOST:PORT/PATH"
                    .into(),
            );
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if authority.is_empty() || !is_plain(authority) || !is_plain(path) {
            return Err(
                "must be of the form http://HOST:PORT/PATH or https://HOST:PORT/PATH".into()
            );
        }
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let port = if https { 443 } else { 80 };
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        Ok(Self { https, authority, path: format!("/{path}") })
    }

    /// Without port and brackets.
    pub(super) fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// A piece of a path, in which nothing of a person's text means anything to a server.
pub(super) fn segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
    // A dot alone would be a step in the tree, and so is never written plainly.
    let dots = matches!(text, "." | "..");
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) && !dots {
            written.push(char::from(byte));
        } else {
            written.extend(hex::percent_encoded(byte).map(char::from));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_path() {
        let cases = [
            ("http://127.0.0.1:8081/healthz", Some((false, "127.0.0.1:8081", "/healthz"))),
            ("http://[::1]:8081/readyz", Some((false, "[::1]:8081", "/readyz"))),
            ("http://gateway", Some((false, "gateway:80", "/"))),
            ("https://gateway/healthz", Some((true, "gateway:443", "/healthz"))),
            ("ftp://gateway/healthz", None),
            ("http:///healthz", None),
            ("http://gateway/a b", None),
            ("gateway:80", None),
            ("http://ann:secret@gateway:80", None),
            ("https://ann:sec/ret@gateway", None),
        ];
        for (url, expected) in cases {
            let expected = expected.map(|(https, authority, path): (bool, &str, &str)| Endpoint {
                https,
                authority: authority.into(),
                path: path.into(),
            });
            assert_eq!(Endpoint::parse(url).ok(), expected, "{url}");
        }
    }

    #[test]
    fn a_segment_is_one_segment_whatever_stands_in_it() {
        for (text, written) in [
            ("dr-lee", "dr-lee"),
            ("o'hara?x#y", "o%27hara%3Fx%23y"),
            ("a/b", "a%2Fb"),
            ("..", "%2E%2E"),
            ("a..b", "a..b"),
            ("50%", "50%25"),
        ] {
            assert_eq!(segment(text), written);
        }
    }
}
