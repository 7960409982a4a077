//! URLs in an answer's head, turned from the upstream's address to the public one. Pure text in, text out.
//!
//! Only references that point at an endpoint of the upstream are touched, and, where the mount is stripped on the way in,
//! absolute paths, which get it back. Any other host, and anything that is no plain reference, stays as it is.

use std::borrow::Cow;

use crate::config::Endpoint;

/// Where the caller finds what the upstream calls its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Public<'a> {
    pub(crate) https: bool,
    pub(crate) host: &'a str,
    /// The mount, where it was stripped from the request.
    pub(crate) stripped: Option<&'a str>,
    pub(crate) endpoints: &'a [Endpoint],
    /// The upstream is called by the public name, and takes it for its own, with a scheme of its own.
    pub(crate) preserve_host: bool,
}

impl Public<'_> {
    /// The value of `Location` or `Content-Location`.
    pub(crate) fn reference<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if let Some((https, rest)) = split_scheme(text) {
            let (authority, path) = split_authority(rest);
            if !self.is_upstream(authority, Some(https)) {
                return Cow::Borrowed(text);
            }
            let scheme = if self.https { "https" } else { "http" };
            return Cow::Owned(format!("{scheme}://{}{}", self.host, self.path(path)));
        }
        if let Some(rest) = text.strip_prefix("//") {
            let (authority, path) = split_authority(rest);
            if !self.is_upstream(authority, None) {
                return Cow::Borrowed(text);
            }
            return Cow::Owned(format!("//{}{}", self.host, self.path(path)));
        }
        if text.starts_with('/') { self.path(text) } else { Cow::Borrowed(text) }
    }

    /// The value of `Link`: references stand between `<` and `>`, outside of quoted strings.
    pub(crate) fn link<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut turned = String::new();
        let (mut rest, mut changed, mut quoted) = (text, false, false);
        while let Some((before, mark, after)) = split_at_mark(rest, quoted) {
            turned.push_str(before);
            turned.push(mark);
            rest = after;
            match mark {
                '"' => quoted = !quoted,
                '<' => {
                    let Some((inside, after)) = rest.split_once('>') else { break };
                    let reference = self.reference(inside);
                    changed |= reference != inside;
                    turned.push_str(&reference);
                    turned.push('>');
                    rest = after;
                }
                _ => {
                    let mut characters = rest.chars();
                    turned.extend(characters.next());
                    rest = characters.as_str();
                }
            }
        }
        if !changed {
            return Cow::Borrowed(text);
        }
        turned.push_str(rest);
        Cow::Owned(turned)
    }

    /// `path` is empty, or begins with `/`, `?` or `#`.
    fn path<'t>(&self, path: &'t str) -> Cow<'t, str> {
        match self.stripped {
            Some(mount) if mount != "/" => Cow::Owned(format!("{mount}{path}")),
            _ => Cow::Borrowed(path),
        }
    }

    fn is_upstream(&self, authority: &str, https: Option<bool>) -> bool {
        let by_our_name = self.preserve_host && authority.eq_ignore_ascii_case(self.host);
        by_our_name
            || self.endpoints.iter().any(|endpoint| {
                https.is_none_or(|https| https == endpoint.https)
                    && same_authority(endpoint, authority)
            })
    }
}

fn split_scheme(text: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    if scheme.eq_ignore_ascii_case("http") {
        Some((false, rest))
    } else if scheme.eq_ignore_ascii_case("https") {
        Some((true, rest))
    } else {
        None
    }
}

fn split_authority(rest: &str) -> (&str, &str) {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.split_at_checked(end).unwrap_or((rest, ""))
}

/// User-info is never the upstream's own way to write itself, and so makes another authority.
fn same_authority(endpoint: &Endpoint, authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let usual = if endpoint.https { 443 } else { 80 };
    let port = if port.is_empty() { Some(usual) } else { port.parse().ok() };
    host.eq_ignore_ascii_case(&endpoint.host) && port == Some(endpoint.port)
}

/// The next character that has a meaning in a `Link` value; a backslash has one only within quotes.
fn split_at_mark(text: &str, quoted: bool) -> Option<(&str, char, &str)> {
    let marks: &[char] = if quoted { &['"', '\\'] } else { &['"', '<'] };
    let at = text.find(marks)?;
    let (before, rest) = text.split_at_checked(at)?;
    let mut characters = rest.chars();
    let mark = characters.next()?;
    Some((before, mark, characters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(https: bool, host: &str, port: u16) -> Endpoint {
        Endpoint { https, host: host.into(), port }
    }

    fn check(turn: impl Fn(&Public<'_>) -> String, stripped: Option<&str>, expected: &str) {
        let endpoints = [
            endpoint(false, "10.0.0.7", 9000),
            endpoint(true, "pms.internal", 443),
            endpoint(false, "::1", 80),
        ];
        let (host, endpoints) = ("api.example.com", &endpoints[..]);
        let public = Public { https: true, host, stripped, endpoints, preserve_host: false };
        assert_eq!(turn(&public), expected);
    }

    #[test]
    fn an_upstream_that_goes_by_the_public_name_is_known_by_it() {
        let endpoints = [endpoint(false, "10.0.0.7", 9000)];
        let host = "api.example.com:8443";
        for (preserve_host, given, expected) in [
            (true, "http://api.example.com:8443/a", "https://api.example.com:8443/v1/a"),
            (true, "//API.example.com:8443/a", "//api.example.com:8443/v1/a"),
            (true, "http://10.0.0.7:9000/a", "https://api.example.com:8443/v1/a"),
            (true, "http://api.example.com/a", "http://api.example.com/a"),
            (false, "http://api.example.com:8443/a", "http://api.example.com:8443/a"),
        ] {
            let (https, stripped) = (true, Some("/v1"));
            let public = Public { https, host, stripped, endpoints: &endpoints, preserve_host };
            assert_eq!(public.reference(given), expected);
        }
    }

    #[test]
    fn references_to_the_upstream_become_public() {
        let table = [
            ("http://10.0.0.7:9000/v1/a?b#c", "https://api.example.com/v1/a?b#c"),
            ("HTTP://10.0.0.7:9000", "https://api.example.com"),
            ("https://pms.internal/a", "https://api.example.com/a"),
            ("https://PMS.internal:443?x", "https://api.example.com?x"),
            ("//pms.internal/a", "//api.example.com/a"),
            ("http://[::1]/a", "https://api.example.com/a"),
            ("http://[::1]:80/a", "https://api.example.com/a"),
            // Nothing of these is the upstream's.
            ("http://10.0.0.7/a", "http://10.0.0.7/a"),
            ("http://pms.internal/a", "http://pms.internal/a"),
            ("https://pms.internal.evil.test/a", "https://pms.internal.evil.test/a"),
            ("https://u@pms.internal/a", "https://u@pms.internal/a"),
            ("https://pms.internal:99999/a", "https://pms.internal:99999/a"),
            ("//other/a", "//other/a"),
            ("ftp://pms.internal/a", "ftp://pms.internal/a"),
            ("/v1/a", "/v1/a"),
            ("a/b", "a/b"),
            ("?x", "?x"),
            ("", ""),
            ("http://", "http://"),
        ];
        for (given, expected) in table {
            check(|public| public.reference(given).into_owned(), None, expected);
        }
    }

    #[test]
    fn a_stripped_mount_comes_back() {
        let table = [
            ("http://10.0.0.7:9000/a", "https://api.example.com/v1/a"),
            ("http://10.0.0.7:9000", "https://api.example.com/v1"),
            ("/a?b", "/v1/a?b"),
            ("/", "/v1/"),
            ("a", "a"),
            ("//pms.internal/a", "//api.example.com/v1/a"),
            ("https://other/a", "https://other/a"),
        ];
        for (given, expected) in table {
            check(|public| public.reference(given).into_owned(), Some("/v1"), expected);
        }
        check(|public| public.reference("/a").into_owned(), Some("/"), "/a");
    }

    #[test]
    fn links_are_turned_one_by_one() {
        let table = [
            (
                "<http://10.0.0.7:9000/a?page=2>; rel=\"next\", <https://other/b>; rel=prev",
                "<https://api.example.com/v1/a?page=2>; rel=\"next\", <https://other/b>; rel=prev",
            ),
            (
                "</a>; title=\"x \\\" </b>, <c\"; rel=up, </d>",
                "</v1/a>; title=\"x \\\" </b>, <c\"; rel=up, </v1/d>",
            ),
            ("</a", "</a"),
            ("<>", "<>"),
            ("plain", "plain"),
        ];
        for (given, expected) in table {
            check(|public| public.link(given).into_owned(), Some("/v1"), expected);
        }
    }
}
