//! What changes beside the route maps: listeners, upstreams, APIs, credentials and limits of the proxy.
//!
//! Settings are compared as the gateway understands them, so `60s` and `1m` are the same. Values that may be secret
//! (the headers that the gateway presents to an upstream) are said to change, and not shown.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::local;
use crate::config::{
    Config, Credentials, ErrorShape, HealthProbe, Identity, KeyRules, LimitMode, Limits, LogRules,
    OnFailure, Proxy, Region, Schemes, StoreDown, Upstream, UpstreamTls, VendorKeyRule,
};
use crate::model::{Lifetimes, RateLimit};

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    name: String,
    /// None where the setting is not there.
    before: Option<Setting>,
    after: Option<Setting>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Setting {
    Shown(String),
    Secret(Vec<u8>),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown(text) => f.write_str(text),
            Self::Secret(_) => f.write_str("(not shown)"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{}: {after} (was {before})", self.name),
            (None, Some(after)) => write!(f, "{}: {after} (new)", self.name),
            (Some(before), None) => write!(f, "{}: gone (was {before})", self.name),
            (None, None) => f.write_str(&self.name),
        }
    }
}

impl Change {
    pub(super) fn json(&self) -> Value {
        let value = |setting: &Option<Setting>| setting.as_ref().map(Setting::to_string);
        json!({ "name": self.name, "before": value(&self.before), "after": value(&self.after) })
    }
}

/// All settings that differ, in the order of the newer configuration.
pub(super) fn changes(before: &Config, after: &Config) -> Vec<Change> {
    differing(&settings(before), &settings(after))
}

fn differing(before: &Settings, after: &Settings) -> Vec<Change> {
    let find = |settings: &Settings, name: &str| {
        settings.iter().find(|(known, _)| known == name).map(|(_, setting)| setting.clone())
    };
    let gone = before.iter().filter(|(name, _)| find(after, name).is_none());
    let names = after.iter().chain(gone).map(|(name, _)| name);
    names
        .map(|name| Change {
            name: name.clone(),
            before: find(before, name),
            after: find(after, name),
        })
        .filter(|change| change.before != change.after)
        .collect()
}

type Settings = Vec<(String, Setting)>;

fn settings(config: &Config) -> Settings {
    let mut all = Vec::new();
    let mut say = |name: &str, value: String| all.push((name.to_owned(), Setting::Shown(value)));
    for listener in &config.listen.gateway {
        let tls = if listener.tls.is_some() { "TLS" } else { "no TLS" };
        say(&format!("listen.gateway {}", listener.address), tls.into());
    }
    let admin_tls = if config.listen.admin_tls.is_some() { "TLS" } else { "no TLS" };
    say("listen.admin", format!("{}, {admin_tls}", config.listen.admin));
    for api in &config.apis {
        let upstream = config.upstreams.get(api.upstream.0).map_or("", |upstream| &upstream.name);
        let strip = if api.strip_mount { ", mount stripped" } else { "" };
        let value = format!("mount {}, upstream {upstream}{strip}", api.mount);
        say(&format!("apis.{}", api.name), value);
    }
    say_credentials(&config.credentials, &mut say);
    say("store", local::named(config));
    say_keys(&config.keys, &mut say);
    say_limits(&config.limits, &mut say);
    say_log(&config.log, &mut say);
    for Region { name, hosts, upstream } in &config.regions {
        let upstream = config.upstreams.get(upstream.0).map_or("", |upstream| &upstream.name);
        say(&format!("regions.{name}"), format!("{}, upstream {upstream}", hosts.join(" ")));
    }
    match &config.errors {
        ErrorShape::Problem => say("errors", "problem".into()),
        ErrorShape::Template(template) => say("errors", format!("{template:?}")),
    }
    say_proxy(&config.proxy, &mut say);
    for upstream in &config.upstreams {
        upstream_settings(upstream, &mut all);
    }
    all
}

/// Taken apart field by field, as the others here, so that a new one cannot be forgotten.
fn say_credentials(credentials: &Credentials, say: &mut impl FnMut(&str, String)) {
    let Credentials {
        schemes: Schemes { headers, bearer, basic, username_header: by_username, oauth2 },
        subscriber_header,
        vendor_header,
        username_header,
        vendor_key,
        token_path,
        token_ttl,
        spelling: _,
    } = credentials;
    let schemes = [
        ("headers", headers),
        ("bearer", bearer),
        ("basic", basic),
        ("username_header", by_username),
        ("oauth2", oauth2),
    ];
    let schemes = schemes.iter().filter(|(_, is_on)| **is_on).map(|(name, _)| *name);
    say("credentials.schemes", format!("[{}]", schemes.collect::<Vec<_>>().join(", ")));
    say("credentials.subscriber_header", subscriber_header.to_string());
    say("credentials.vendor_header", vendor_header.to_string());
    say("credentials.username_header", username_header.to_string());
    let rule = match vendor_key {
        VendorKeyRule::Required => "required",
        VendorKeyRule::Optional => "optional",
        VendorKeyRule::Off => "off",
    };
    say("credentials.vendor_key", rule.to_owned());
    say("credentials.token_path", token_path.clone());
    say("credentials.token_ttl", format!("{token_ttl:?}"));
}

fn say_keys(keys: &KeyRules, say: &mut impl FnMut(&str, String)) {
    let KeyRules {
        read_by_default,
        reveal,
        lifetimes: Lifetimes { idle_expiry, max_age, rotate_after },
        secrets,
        hash_memory_kib,
        hash_passes,
    } = keys;
    let span = |span: &Option<Duration>| span.map_or("off".to_owned(), |span| format!("{span:?}"));
    say("keys.default_access", if *read_by_default { "read" } else { "none" }.to_owned());
    say("keys.reveal", if *reveal { "always" } else { "once" }.to_owned());
    say("keys.idle_expiry", span(idle_expiry));
    say("keys.max_age", span(max_age));
    say("keys.rotate_after", span(rotate_after));
    say("keys.secrets", secrets.display().to_string());
    say("keys.hashing", format!("{hash_memory_kib} KiB, {hash_passes} passes"));
}

/// A limit that is absent is not said, so that one that is set is new and one that is taken away is gone.
fn say_limits(limits: &Limits, say: &mut impl FnMut(&str, String)) {
    let Limits {
        mode,
        key,
        vendor,
        practice,
        categories,
        daily_requests,
        daily_bytes,
        failed_auth_per_ip,
        max_concurrent_per_key,
        store_down,
    } = limits;
    let mode = match mode {
        LimitMode::Enforce => "enforce",
        LimitMode::Observe => "observe",
    };
    let store_down = match store_down {
        StoreDown::Local => "local",
        StoreDown::Deny => "deny",
    };
    let rate = |limit: &RateLimit| format!("{limit}, burst {}", limit.burst());
    say("limits.mode", mode.to_owned());
    let rates = [
        ("key", key),
        ("vendor", vendor),
        ("practice", practice),
        ("failed_auth_per_ip", failed_auth_per_ip),
    ];
    for (name, limit) in rates {
        limit.iter().for_each(|limit| say(&format!("limits.{name}"), rate(limit)));
    }
    for (name, limit) in categories {
        say(&format!("limits.category.{name}"), rate(limit));
    }
    let counts = [
        ("daily_quota.requests", *daily_requests),
        ("daily_quota.bytes", *daily_bytes),
        ("max_concurrent_per_key", max_concurrent_per_key.map(u64::from)),
    ];
    for (name, count) in counts {
        count.iter().for_each(|count| say(&format!("limits.{name}"), count.to_string()));
    }
    say("limits.store_down", store_down.to_owned());
}

fn say_log(log: &LogRules, say: &mut impl FnMut(&str, String)) {
    let LogRules { dir, sync, max_disk, retention, full_path, query, on_failure } = log;
    let on_failure = match on_failure {
        OnFailure::Deny => "deny",
        OnFailure::Serve => "serve",
    };
    say("log.dir", dir.display().to_string());
    say("log.sync", format!("{sync:?}"));
    say("log.max_disk", max_disk.to_string());
    say("log.retention", format!("{retention:?}"));
    say("log.path", if *full_path { "full" } else { "template" }.to_owned());
    say("log.query", query.to_string());
    say("log.on_failure", on_failure.to_owned());
}

/// Taken apart field by field, so that a new one cannot be forgotten here.
fn say_proxy(proxy: &Proxy, say: &mut impl FnMut(&str, String)) {
    let Proxy {
        workers,
        max_connections,
        max_body,
        max_header_bytes,
        max_headers,
        max_target,
        handshake_timeout,
        header_timeout,
        body_timeout,
        min_body_rate,
        write_timeout,
        idle_timeout,
        max_streams,
        drain,
        trusted_proxies,
        cors_origins,
        max_staleness,
    } = proxy;
    say("proxy.workers", workers.map_or("auto".to_owned(), |workers| workers.to_string()));
    say("proxy.max_connections", max_connections.to_string());
    say("proxy.max_body", max_body.to_string());
    say("proxy.max_header_bytes", max_header_bytes.to_string());
    say("proxy.max_headers", max_headers.to_string());
    say("proxy.max_target", max_target.to_string());
    say("proxy.handshake_timeout", format!("{handshake_timeout:?}"));
    say("proxy.header_timeout", format!("{header_timeout:?}"));
    say("proxy.body_timeout", format!("{body_timeout:?}"));
    say("proxy.min_body_rate", format!("{min_body_rate}/s"));
    say("proxy.write_timeout", format!("{write_timeout:?}"));
    say("proxy.idle_timeout", format!("{idle_timeout:?}"));
    say("proxy.http2.max_streams", max_streams.to_string());
    say("proxy.max_staleness", format!("{max_staleness:?}"));
    say("proxy.drain", format!("{drain:?}"));
    let trusted = trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>();
    say("proxy.trusted_proxies", format!("[{}]", trusted.join(", ")));
    say("proxy.cors.origins", format!("[{}]", cors_origins.join(", ")));
}

fn upstream_settings(upstream: &Upstream, all: &mut Settings) {
    let Upstream {
        name: upstream_name,
        place: _,
        endpoints,
        connect_timeout,
        response_timeout,
        health,
        headers,
        tls: UpstreamTls { ca, identity, server_name },
        preserve_host,
    } = upstream;
    let name = |field: &str| format!("upstreams.{upstream_name}.{field}");
    let mut say = |field: &str, value: String| all.push((name(field), Setting::Shown(value)));
    let scheme = |https| if https { "https" } else { "http" };
    let urls = endpoints
        .iter()
        .map(|endpoint| format!("{}://{}", scheme(endpoint.https), endpoint.authority()));
    say("url", urls.collect::<Vec<_>>().join(", "));
    say("connect_timeout", format!("{connect_timeout:?}"));
    say("response_timeout", format!("{response_timeout:?}"));
    if let Some(HealthProbe { path, interval }) = health {
        say("health", format!("{path} every {interval:?}"));
    }
    say("preserve_host", preserve_host.to_string());
    if let Some(server_name) = server_name {
        say("tls.server_name", server_name.clone());
    }
    if let Some(ca) = ca {
        all.push((name("tls.ca"), Setting::Secret(ca.bytes.clone())));
    }
    if let Some(Identity { certificate, private_key }) = identity {
        let both = [certificate.bytes.as_slice(), private_key.bytes.as_slice()].concat();
        all.push((name("tls.certificate"), Setting::Secret(both)));
    }
    for (header, value) in headers {
        let secret = Setting::Secret(value.as_bytes().to_vec());
        all.push((name(&format!("headers.{header}")), secret));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, value: &str) -> (String, Setting) {
        (name.to_owned(), Setting::Shown(value.to_owned()))
    }

    #[test]
    fn what_is_new_gone_or_other_is_told() {
        let before = vec![shown("a", "1"), shown("b", "2"), shown("c", "3")];
        let after = vec![shown("a", "1"), shown("b", "4"), shown("d", "5")];
        let told: Vec<_> = differing(&before, &after).iter().map(Change::to_string).collect();
        assert_eq!(told, ["b: 4 (was 2)", "d: 5 (new)", "c: gone (was 3)"]);
    }

    #[test]
    fn every_field_of_limits_is_told() {
        let told = |limits: &Limits| {
            let mut all = Settings::new();
            say_limits(limits, &mut |name, value| {
                all.push((name.to_owned(), Setting::Shown(value)))
            });
            all
        };
        let rate = |count| RateLimit::new(count, Duration::from_secs(60), None).ok();
        let full = Limits {
            mode: LimitMode::Observe,
            key: RateLimit::new(600, Duration::from_secs(60), Some(100)).ok(),
            vendor: rate(1),
            practice: rate(2),
            categories: vec![("files".into(), rate(3).unwrap())],
            daily_requests: Some(4),
            daily_bytes: Some(5),
            failed_auth_per_ip: rate(6),
            max_concurrent_per_key: Some(7),
            store_down: StoreDown::Deny,
        };
        let changes = differing(&told(&Limits::default()), &told(&full));
        let lines: Vec<_> = changes.iter().map(Change::to_string).collect();
        assert_eq!(
            lines,
            [
                "limits.mode: observe (was enforce)",
                "limits.key: 600/min, burst 100 (new)",
                "limits.vendor: 1/min, burst 1 (new)",
                "limits.practice: 2/min, burst 2 (new)",
                "limits.failed_auth_per_ip: 6/min, burst 6 (new)",
                "limits.category.files: 3/min, burst 3 (new)",
                "limits.daily_quota.requests: 4 (new)",
                "limits.daily_quota.bytes: 5 (new)",
                "limits.max_concurrent_per_key: 7 (new)",
                "limits.store_down: deny (was local)",
            ]
        );
    }

    #[test]
    fn a_secret_is_said_to_change_and_not_shown() {
        let secret = |value: &str| vec![("h".to_owned(), Setting::Secret(value.into()))];
        let changes = differing(&secret("hunter2"), &secret("hunter3"));
        assert_eq!(changes[0].to_string(), "h: (not shown) (was (not shown))");
        assert!(!changes[0].json().to_string().contains("hunter"));
    }
}
