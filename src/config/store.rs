//! `store`: where keys, practices and vendors are kept, as one address.
//!
//! ```text
//! embedded:DIR
//! redis://[user:password@]host:port/database        rediss:// with TLS
//! redis+sentinel://[…@]s1:26379,s2:26379/NAME       rediss+sentinel://
//! redis+cluster://[…@]a:7000,b:7000                 rediss+cluster://
//! ```
//!
//! User and password are percent-decoded. They end at the last `@`, so that one that was put in by `${env:…}` may hold a
//! `/` or an `@` as it is. No fault repeats any part of an address: a password may be where nobody expects one.

use std::path::{Path, PathBuf};

use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::Reader;
use crate::config::shape::{Format, nearest};
use crate::config::value::Wrong;
use crate::config::yaml::Node;
use crate::config::{RedisAddress, RedisLayout, StoreAddress};
use crate::model::PlainKey;

/// What it is exactly is found by [`read`], whose faults do not show it.
pub(super) static STORE: Format = Format {
    expected: EXPECTED,
    check: |text| if text.is_empty() { Err(Wrong::default()) } else { Ok(()) },
    pattern: Some("^(embedded:|rediss?(\\+(sentinel|cluster))?://)."),
};

pub(super) const DEFAULT: &str = "embedded:./data";

const EXPECTED: &str = "a store such as embedded:./data or redis://host:6379/0";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Single,
    Sentinel,
    Cluster,
}

const SCHEMES: [(&str, Layout, bool); 6] = [
    ("redis://", Layout::Single, false),
    ("rediss://", Layout::Single, true),
    ("redis+sentinel://", Layout::Sentinel, false),
    ("rediss+sentinel://", Layout::Sentinel, true),
    ("redis+cluster://", Layout::Cluster, false),
    ("rediss+cluster://", Layout::Cluster, true),
];

const EMBEDDED: &str = "embedded:";

pub(super) fn read(reader: &mut Reader<'_>, node: Option<&Node>) -> StoreAddress {
    let written =
        node.and_then(|node| Some((node, node.scalar().filter(|scalar| !scalar.is_lost())?)));
    let Some((node, scalar)) = written.filter(|(_, scalar)| !scalar.text.is_empty()) else {
        return embedded(reader, "./data");
    };
    match address(&scalar.text) {
        Ok(Address::Embedded(directory)) => embedded(reader, directory),
        Ok(Address::Redis(address)) => StoreAddress::Redis(address),
        Err(wrong) => {
            let why = wrong.why.map(|why| format!(": {why}")).unwrap_or_default();
            let fault =
                Fault::new(node.place.clone(), format!("`store`: expected {EXPECTED}{why}"));
            reader.fault(if let Some(hint) = wrong.hint { fault.hint(hint) } else { fault });
            embedded(reader, "./data")
        }
    }
}

fn embedded(reader: &Reader<'_>, directory: &str) -> StoreAddress {
    StoreAddress::Embedded(tidy(&reader.resolve(directory)))
}

/// `etc/./data` is `etc/data`, as people would write it.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Address<'a> {
    Embedded(&'a str),
    Redis(RedisAddress),
}

fn address(text: &str) -> Result<Address<'_>, Wrong> {
    if let Some(directory) = text.strip_prefix(EMBEDDED) {
        return match directory {
            "" => Err(Wrong::because("it names no directory").hint("write embedded:./data")),
            directory => Ok(Address::Embedded(directory)),
        };
    }
    let known = SCHEMES
        .iter()
        .find_map(|(scheme, layout, tls)| Some((text.strip_prefix(scheme)?, *layout, *tls)));
    let Some((rest, layout, tls)) = known else {
        return Err(unknown_scheme(text));
    };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let (username, password) = user.map(user_information).transpose()?.unwrap_or_default();
    if rest.contains(['?', '#']) {
        return Err(Wrong::because("it has a query or a fragment")
            .hint("what it holds is not known here: leave it out"));
    }
    let (servers, path) = rest.split_once('/').map_or((rest, None), |(a, b)| (a, Some(b)));
    let servers = servers_of(servers, layout)?;
    let (layout, database) = layout_of(layout, path)?;
    Ok(Address::Redis(RedisAddress { layout, servers, tls, username, password, database }))
}

fn unknown_scheme(text: &str) -> Wrong {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    let names = SCHEMES.iter().map(|(name, ..)| name.trim_end_matches("://"));
    let near = nearest(scheme, names).filter(|_| !scheme.is_empty());
    let is_path = text.starts_with(['.', '/']);
    Wrong::because("its scheme is unknown").hint(near.unwrap_or_else(|| {
        if is_path {
            "a directory is written embedded:DIR".to_owned()
        } else {
            "take embedded:, redis://, redis+sentinel:// or redis+cluster://, or with TLS rediss://, \
             rediss+sentinel:// or rediss+cluster://"
                .to_owned()
        }
    }))
}

type User = (Option<String>, Option<PlainKey>);

/// `user:password` or `:password`.
fn user_information(text: &str) -> Result<User, Wrong> {
    let Some((user, password)) = text.split_once(':') else {
        return Err(Wrong::because("before the `@` stands no password")
            .hint("write user:password@ or :password@"));
    };
    let username = Some(decoded(user)?).filter(|user| !user.is_empty());
    let password = Some(decoded(password)?).filter(|password| !password.is_empty());
    if password.is_none() {
        return Err(
            Wrong::because("its password is empty").hint("put one in, or leave the user out")
        );
    }
    Ok((username, password.map(PlainKey::new)))
}

fn decoded(text: &str) -> Result<String, Wrong> {
    let broken = || {
        Wrong::because("a `%` before its `@` begins no percent-encoded character")
            .hint("write a `%` as %25")
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = digit().zip(digit()).ok_or_else(broken)?;
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| broken())?);
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

fn servers_of(text: &str, layout: Layout) -> Result<Vec<(String, u16)>, Wrong> {
    let usual = if layout == Layout::Sentinel { 26_379 } else { 6_379 };
    let mut servers: Vec<(String, u16)> = Vec::new();
    for server in text.split(',') {
        let server = server_of(server, usual)?;
        if servers.contains(&server) {
            return Err(
                Wrong::because("it names the same server twice").hint("remove one of the two")
            );
        }
        servers.push(server);
    }
    if layout == Layout::Single && servers.len() > 1 {
        return Err(Wrong::because("it names several servers")
            .hint("take redis+sentinel:// or redis+cluster://, or name one"));
    }
    Ok(servers)
}

fn server_of(text: &str, usual: u16) -> Result<(String, u16), Wrong> {
    let (host, port) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, rest)) => {
            let address = inner
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| Wrong::because("what stands in the brackets is no IPv6 address"))?;
            let port =
                if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) };
            (address.to_string(), port)
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(Wrong::because("an IPv6 address stands in brackets"));
            }
            Some((host, port)) => (host_of(host)?, Some(port)),
            None => (host_of(text)?, None),
        },
    };
    let Some(port) = port else { return Ok((host, usual)) };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok((host, port)),
        _ => Err(Wrong::because("a port is not a number from 1 to 65535")),
    }
}

fn host_of(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::because("it names no server"));
    }
    format::host(text)
}

fn layout_of(layout: Layout, path: Option<&str>) -> Result<(RedisLayout, i64), Wrong> {
    let path = path.unwrap_or_default();
    match layout {
        Layout::Single => Ok((RedisLayout::Single, database(path)?)),
        Layout::Cluster if path.is_empty() || path == "0" => Ok((RedisLayout::Cluster, 0)),
        Layout::Cluster => Err(Wrong::because("a cluster has one database, without a number")
            .hint("end it after the servers")),
        Layout::Sentinel => {
            let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if path.is_empty() || !path.bytes().all(word) {
                return Err(Wrong::because("it does not end in the name of the primary")
                    .hint("write /NAME behind the sentinels, as `sentinel monitor` has it"));
            }
            Ok((RedisLayout::Sentinel(path.to_owned()), 0))
        }
    }
}

fn database(path: &str) -> Result<i64, Wrong> {
    let plain = path.len() <= 5
        && path.bytes().all(|byte| byte.is_ascii_digit())
        && (path == "0" || !path.starts_with('0'));
    match path {
        "" => Ok(0),
        path if plain => path.parse().map_err(|_| Wrong::default()),
        _ => Err(Wrong::because("its database is not a number").hint("write /0 behind the server")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(text: &str) -> RedisAddress {
        match address(text) {
            Ok(Address::Redis(address)) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn servers(of: &RedisAddress) -> Vec<String> {
        of.servers.iter().map(|(host, port)| format!("{host} {port}")).collect()
    }

    #[test]
    fn every_layout_is_read() {
        let single = redis("redis://Redis.internal:7777/3");
        assert_eq!((single.layout.clone(), single.database), (RedisLayout::Single, 3));
        assert_eq!((servers(&single), single.tls), (vec!["redis.internal 7777".to_owned()], false));
        assert_eq!(servers(&redis("redis://[::1]")), ["::1 6379"]);
        assert_eq!(servers(&redis("rediss://[::1]:1/")), ["::1 1"]);
        let sentinel = redis("redis+sentinel://s1:26379,s2/my-primary");
        assert_eq!(sentinel.layout, RedisLayout::Sentinel("my-primary".into()));
        assert_eq!(servers(&sentinel), ["s1 26379", "s2 26379"]);
        let cluster = redis("rediss+cluster://a:7000,b:7001");
        assert_eq!((cluster.layout.clone(), cluster.tls), (RedisLayout::Cluster, true));
        assert_eq!(servers(&cluster), ["a 7000", "b 7001"]);
        assert_eq!(address("embedded:./data"), Ok(Address::Embedded("./data")));
    }

    #[test]
    fn user_and_password_end_at_the_last_at_sign_and_are_decoded() {
        let secret = |text: &str| {
            let address = redis(text);
            let password = address.password.map(|password| password.reveal().to_owned());
            (address.username, password.unwrap_or_default(), address.servers)
        };
        let here = vec![("h".to_owned(), 6379)];
        let expected = |user: Option<&str>, password: &str| {
            (user.map(str::to_owned), password.to_owned(), here.clone())
        };
        assert_eq!(secret("redis://:pw@h"), expected(None, "pw"));
        assert_eq!(secret("redis://ann:p%40w%3a@h"), expected(Some("ann"), "p@w:"));
        assert_eq!(secret("redis://ann:p/w@x:?#y@h/0"), expected(Some("ann"), "p/w@x:?#y"));
    }

    #[test]
    fn debug_shows_no_password() {
        assert!(!format!("{:?}", redis("redis://ann:hunter2@h")).contains("hunter2"));
    }

    #[test]
    fn what_is_no_address_comes_with_a_reason_that_does_not_repeat_it() {
        for (text, reason) in [
            ("hunter2", "scheme"),
            ("./hunter2", "scheme"),
            ("hunter2", "rediss+sentinel:// or rediss+cluster://"),
            ("postgres://u:hunter2@h", "scheme"),
            ("embedded:", "no directory"),
            ("redis://", "no server"),
            ("redis://hunter2@h", "no password"),
            ("redis://u:@h", "password is empty"),
            ("redis://u:hunter2%@h", "`%`"),
            ("redis://u:hunter2%zz@h", "`%`"),
            ("redis://u:hunter2%ff@h", "`%`"),
            ("redis://h:hunter2", "a port"),
            ("redis://h:0", "a port"),
            ("redis://h:", "a port"),
            ("redis://h:+1", "a port"),
            ("redis://[::1]hunter2", "a port"),
            ("redis://[hunter2]:1", "IPv6"),
            ("redis://::1", "brackets"),
            ("redis://hunter 2", "letters, digits"),
            ("redis://h/hunter2", "database"),
            ("redis://h/-1", "database"),
            ("redis://h/01", "database"),
            ("redis://h/0?hunter2=1", "query"),
            ("redis://h,i/0", "several servers"),
            ("redis+sentinel://h", "name of the primary"),
            ("redis+sentinel://h/a/hunter2", "name of the primary"),
            ("redis+sentinel://h,h/a", "twice"),
            ("redis+cluster://h/1", "one database"),
            ("redis+cluster://h,", "no server"),
        ] {
            let Wrong { why, hint } = address(text).unwrap_err();
            let said = why.unwrap_or_default() + &hint.unwrap_or_default();
            assert!(said.contains(reason), "{text}: {said}");
            assert!(!said.contains("hunter2"), "{text}: {said}");
        }
    }

    #[test]
    fn a_scheme_that_is_nearly_one_is_told() {
        let hint = |text: &str| address(text).unwrap_err().hint.unwrap();
        assert_eq!(hint("redis-sentinel://a/b"), "did you mean `redis+sentinel`?");
        assert_eq!(hint("redes://a"), "did you mean `redis`?");
        assert_eq!(hint("./data"), "a directory is written embedded:DIR");
    }
}
