//! What the upstream may see, decided from the fixture's route list and keys in as few lines as possible.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bodies::{self, Sent};
use crate::support::fixture::key_name;
use crate::support::message::Head;

/// Pattern and needs, the more specific first: the first that matches decides. R: what GET and HEAD need, W: the rest.
/// `-` is refused.
const ROUTES: &[(&str, &str, &str)] = &[
    ("/v1/appointments/#", "appointment:read", "appointment:write"),
    ("/v1/appointments/**", "appointment:read", "appointment:write"),
    ("/v1/patients", "patient:read", "patient:write"),
    ("/v1/patients/search", "patient:read", "patient:write"),
    ("/v1/patients/*", "patient:read", "patient:write"),
    ("/v1/patients/*/notes", "clinical:read", "clinical:write"),
    ("/v1/patients/*/summary", "patient:read clinical:read", "-"),
    ("/v1/patients/*/transfer", "-", "patient:read clinical:write"),
    ("/v1/status", "", ""),
    ("/v1/internal/open", "system:read", "system:write"),
    ("/v1/internal/**", "-", "-"),
    ("/v1/live", "appointment:read", "appointment:write"),
    ("/v1/invoices", "billing.invoices:read", "billing.invoices:write"),
    ("/v1/claims", "billing.claims:read", "billing.claims:write"),
    ("/v1/billing/**", "billing:read", "billing:write"),
    ("/v1/files/@", "contact:read", "contact:write"),
    ("/v1/files/**", "files:read", "files:write"),
    ("/v1/export", "files:read", "files:write"),
    ("/other/**", "patient:read", "patient:write"),
];

/// `#` digits, `@` a UUID, `*` one segment, `**` any rest.
fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        let Some(segment) = segments.next() else { return false };
        let fits = match wanted {
            "#" => !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()),
            "@" => uuid(segment),
            "*" => !segment.is_empty(),
            literal => segment == literal,
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

fn uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Whether any parser known to us would find `notes` in `include`: `;` as `&`, case and signs alike, `name[]`, spaces,
/// controls around or after the text.
fn asks_for_notes(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name).to_lowercase(), decode(value).to_lowercase());
        let trimmed = |text: &str| -> String {
            text.trim_matches(|c: char| c.is_whitespace() || c.is_control()).to_owned()
        };
        let bare = trimmed(trimmed(&name).split(['[', '\0']).next().unwrap_or_default());
        bare == "include" && value.split([',', '\0']).any(|item| trimmed(item) == "notes")
    })
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let value = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if let (b'%', Some(value)) = (byte, value) {
            out.push(value);
            at += 3;
        } else {
            out.push(if *byte == b'+' { b' ' } else { *byte });
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn may(id: &str, need: &str) -> bool {
    let (scope, access) = need.split_once(':').unwrap_or((need, ""));
    match (id, scope) {
        ("key-all" | "key-bound" | "key-other", _)
        | ("key-mixed", "patient")
        | ("key-scope", "billing.invoices") => true,
        ("key-read", _) | ("key-mixed", "appointment") => access == "read",
        ("key-wo", _) | ("key-mixed", "files") => access == "write",
        _ => false,
    }
}

/// Why this head should never have been sent. Ok: everything about it is as it must be.
fn fault(head: &Head) -> Result<(), String> {
    let words: Vec<&str> = head.start.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else {
        return Err("not a canonical request line".into());
    };
    if !["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&method) {
        return Err(format!("method {method}"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    canonical(path)?;
    let route = ROUTES.iter().find(|route| matches(route.0, path)).ok_or("no route")?;
    let reads = method == "GET" || method == "HEAD";
    let reads_here = reads || (route.0 == "/v1/patients/search" && method == "POST");
    let mut needs = if reads_here { route.1 } else { route.2 }.to_owned();
    let taken = match route.0 {
        "/v1/appointments/#" => method == "GET" || method == "PUT",
        "/v1/patients/*/transfer" => method == "POST",
        _ => true,
    };
    if needs == "-" || !taken {
        return Err(format!("{} takes no {method}", route.0));
    }
    if route.0 == "/v1/patients" && asks_for_notes(query) {
        needs += " clinical:read";
    }
    if route.0 == "/v1/patients" && head.has("x-on-behalf-of") {
        needs += " system:write";
    }
    identity(head, &needs, path)?;
    framing(head)
}

fn canonical(path: &str) -> Result<(), String> {
    let odd =
        path.contains("//") || path.split('/').any(|segment| segment == "." || segment == "..");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/%".contains(&byte);
    if odd || !path.starts_with('/') || !path.bytes().all(allowed) {
        return Err(format!("path {path}"));
    }
    let decoded = decode(path);
    let triplets = path.split('%').skip(1).map(|rest| rest.get(..2).unwrap_or_default());
    for pair in triplets {
        let byte = u8::from_str_radix(pair, 16).map_err(|_| format!("triplet %{pair}"))?;
        let plain = byte.is_ascii_alphanumeric()
            || b"-._~/\\;%?#".contains(&byte)
            || byte.is_ascii_control();
        if plain || pair != pair.to_uppercase() {
            return Err(format!("triplet %{pair}"));
        }
    }
    if decoded.contains('\u{fffd}') { Err("not UTF-8".into()) } else { Ok(()) }
}

fn identity(head: &Head, needs: &str, path: &str) -> Result<(), String> {
    let one = |name: &str| match head.all(name)[..] {
        [value] => Ok(value.to_owned()),
        ref values => Err(format!("{name} stands {} times", values.len())),
    };
    let ours = ["practice", "key-id", "key-owner", "vendor", "scopes"];
    if needs.is_empty() {
        // Public: nobody was asked, or somebody was and may be named; but never by a caller.
        let forged =
            ours.iter().any(|name| head.all(&format!("x-postern-{name}")).contains(&"forged"));
        return if forged { Err("a forged identity".into()) } else { Ok(()) };
    }
    let id = one("x-postern-key-id")?;
    let id = key_name(&id).ok_or_else(|| format!("no key has the id {id}"))?;
    let scopes = one("x-postern-scopes")?;
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    if sorted(&scopes) != sorted(needs) {
        return Err(format!("scopes `{scopes}`, needed `{needs}`"));
    }
    if let Some(need) = needs.split(' ').find(|need| !may(id, need)) {
        return Err(format!("{id} may not {need}"));
    }
    let other = path == "/other" || path.starts_with("/other/");
    if (id == "key-other") != other {
        return Err(format!("{id} is for another API"));
    }
    let vendor = one("x-postern-vendor")?;
    let expected_vendor = if id == "key-bound" { "beta" } else { vendor.as_str() };
    let known = vendor == expected_vendor && (vendor == "acme" || vendor == "beta");
    if one("x-postern-practice")? != "north" || one("x-postern-key-owner")? != "dr-lee" || !known {
        return Err("a wrong identity".into());
    }
    Ok(())
}

fn framing(head: &Head) -> Result<(), String> {
    for name in [
        "host",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "traceparent",
    ] {
        if head.all(name).len() != 1 {
            return Err(format!("{name} stands {} times", head.all(name).len()));
        }
    }
    let (lengths, codings) = (head.all("content-length"), head.all("transfer-encoding"));
    let proper =
        lengths.iter().all(|n| n.parse::<u64>().is_ok_and(|value| value.to_string() == *n));
    if lengths.len() + codings.len() > 1
        || !proper
        || codings.iter().any(|coding| *coding != "chunked")
    {
        return Err("framing".into());
    }
    let banned = [
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "proxy",
        "proxy-connection",
        "proxy-authorization",
        "http2-settings",
        "x-original-url",
        "x-rewrite-url",
        "forwarded",
        "x-subscriber-key",
        "x-vendor-key",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
    ];
    for (name, _) in &head.fields {
        let name = name.to_lowercase();
        if banned.contains(&name.as_str()) {
            return Err(format!("{name} was passed on"));
        }
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(format!("the name {name}"));
        }
        let known = ["practice", "key-id", "key-owner", "vendor", "scopes"];
        if name.strip_prefix("x-postern-").is_some_and(|rest| !known.contains(&rest)) {
            return Err(format!("{name} is not ours"));
        }
    }
    let spoofed = ["x-request-id", "x-forwarded-for", "x-forwarded-proto"];
    if spoofed.iter().any(|name| head.all(name).contains(&"forged")) {
        return Err("what a caller forged".into());
    }
    Ok(())
}

/// What was seen so far, and the first fault.
#[derive(Default)]
pub(crate) struct Verdict {
    allowed: AtomicU64,
    faults: Mutex<Vec<String>>,
    recent: Mutex<Vec<(u64, Vec<u8>)>>,
    sent: Mutex<Sent>,
    same_bodies: AtomicU64,
}

impl Verdict {
    pub(crate) fn consider(&self, head: &Head) {
        match fault(head) {
            Ok(()) => {
                self.allowed.fetch_add(1, Ordering::Relaxed);
            }
            Err(why) => self.faults.lock().unwrap().push(format!("{why}:\n{}", head.text())),
        }
    }

    /// A body that came to its end must be the one that was sent; one that holds something counts.
    pub(crate) fn compare(&self, head: &Head, body: &[u8]) {
        match bodies::same(&self.sent, head, body) {
            Ok(compared) => {
                self.same_bodies
                    .fetch_add(u64::from(compared && !body.is_empty()), Ordering::Relaxed);
            }
            Err(why) => self.faults.lock().unwrap().push(format!("{why}:\n{}", head.text())),
        }
    }

    pub(crate) fn same_bodies(&self) -> u64 {
        self.same_bodies.load(Ordering::Relaxed)
    }

    pub(crate) fn allowed(&self) -> u64 {
        self.allowed.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> bool {
        !self.faults.lock().unwrap().is_empty()
    }

    /// Keeps the last inputs of each thread, so that a fault can be shown with what caused it.
    pub(crate) fn remember(&self, thread: u64, bytes: &[u8]) {
        self.sent.lock().unwrap().remember(bytes);
        let mut recent = self.recent.lock().unwrap();
        recent.push((thread, bytes.to_vec()));
        let excess = recent.len().saturating_sub(64);
        recent.drain(..excess);
    }

    /// Panics with the first fault; the inputs before it are in a file.
    pub(crate) fn report(&self, seed: u64) {
        let faults = self.faults.lock().unwrap();
        let Some(first) = faults.first() else { return };
        let file = std::env::temp_dir().join(format!("postern-oracle-{seed}.txt"));
        let mut text = String::new();
        for (thread, bytes) in self.recent.lock().unwrap().iter() {
            text += &format!("--- thread {thread}\n{}\n", bytes.escape_ascii());
        }
        fs::write(&file, text).unwrap();
        panic!(
            "seed {seed}: {} faults, inputs in {}. The first: {first}",
            faults.len(),
            file.display()
        );
    }
}
