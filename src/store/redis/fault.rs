//! What can go wrong between here and Redis, sorted by what to do about it.
//!
//! Nothing of a command's arguments is in what is told: they are documents, or the password.

use redis::{ErrorKind, RedisError};

use crate::store::StoreError;

/// A failed exchange with Redis.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    /// For people, with the address.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no connection: nothing was said.
    Unreached,
    /// The connection broke; what was said on it may have been done.
    Broken,
    /// No answer in time; what was said may have been done, or may yet be.
    Silent,
    /// Refused, since this is not the primary (any more). Another one is.
    Elsewhere,
    /// Refused for now.
    Later,
    /// Refused until somebody changes a setting, here or there.
    Settings,
    /// Refused, and would be again: what is kept is not what Postern writes.
    Nonsense,
}

impl Trouble {
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// What Redis or the connection to `server` said.
    pub(super) fn of(error: &RedisError, server: &str) -> Self {
        let (kind, what) = match Reply::of(error) {
            Some(reply) => sort(&reply),
            None if error.kind() == ErrorKind::AuthenticationFailed => {
                (Kind::Settings, wrong_password().to_owned())
            }
            None if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) => {
                (Kind::Broken, format!("{error}"))
            }
            None => (Kind::Nonsense, "it gave an answer of another form than expected".to_owned()),
        };
        Self { kind, text: format!("Redis at {server}: {what}") }
    }

    /// Whether the connection is of no more use.
    pub(super) fn ends_the_connection(&self) -> bool {
        !matches!(self.kind, Kind::Later | Kind::Nonsense)
    }

    /// Whether Redis may have done what it was told.
    pub(super) fn leaves_doubt(&self) -> bool {
        matches!(self.kind, Kind::Broken | Kind::Silent)
    }
}

/// Of everything but a commit, which knows more.
impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble.kind {
            Kind::Nonsense => Self::Corrupt(trouble.text),
            Kind::Unreached
            | Kind::Broken
            | Kind::Silent
            | Kind::Elsewhere
            | Kind::Later
            | Kind::Settings => Self::Unavailable(trouble.text),
        }
    }
}

/// An error that Redis answered: `MOVED` and `3999 10.0.0.7:6379`.
pub(super) struct Reply {
    pub(super) code: String,
    pub(super) detail: String,
}

impl Reply {
    /// Of a command, or of the first of a pipeline that failed.
    pub(super) fn of(error: &RedisError) -> Option<Self> {
        // A failed AUTH keeps the server's words in its detail, and is told in ours.
        if error.kind() == ErrorKind::AuthenticationFailed {
            return None;
        }
        let errors = error.clone().into_server_errors()?;
        let (_, first) = errors.first()?;
        let detail: String = first.details().unwrap_or_default().chars().take(200).collect();
        Some(Self::out_of_script(first.code(), &detail))
    }

    /// Redis 6.2 tells what a script ran into behind a code that says nothing:
    /// `ERR Error running script (call to f_…): @user_script:12: -READONLY You can't …`, or without the dash.
    fn out_of_script(code: &str, detail: &str) -> Self {
        let as_told = || Self { code: code.to_owned(), detail: detail.to_owned() };
        let is_of_script = code == "ERR" && detail.starts_with("Error running script");
        let Some((_, mut inner)) = detail.split_once("): ").filter(|_| is_of_script) else {
            return as_told();
        };
        // The line, once or twice.
        while let Some(place) = inner.strip_prefix("@user_script:") {
            let behind =
                place.trim_start().trim_start_matches(|digit: char| digit.is_ascii_digit());
            let Some(behind) = behind.strip_prefix(':') else { return as_told() };
            inner = behind.trim_start();
        }
        let inner = inner.strip_prefix('-').unwrap_or(inner);
        let (first, rest) = inner.split_once(' ').unwrap_or((inner, ""));
        if first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return as_told();
        }
        Self { code: first.to_owned(), detail: rest.to_owned() }
    }
}

fn wrong_password() -> &'static str {
    "it refuses the username and password: correct them in `store` of the configuration"
}

fn sort(reply: &Reply) -> (Kind, String) {
    let Reply { code, detail } = reply;
    let told = |what: &str| format!("{what} ({code} {detail})");
    match code.as_str() {
        "READONLY" => (Kind::Elsewhere, told("it is a replica now and takes no changes")),
        "MOVED" => (Kind::Elsewhere, told("another node of the cluster has it now")),
        // Not loaded where the command came to be run: a restart or SCRIPT FLUSH. A new connection loads them.
        "NOSCRIPT" => (Kind::Elsewhere, "it has forgotten the scripts".to_owned()),
        "UNBLOCKED" => (Kind::Elsewhere, told("it changed its role")),
        "LOADING" => (Kind::Later, told("it is still loading its data")),
        "ASK" | "TRYAGAIN" => (Kind::Later, told("the registry is being moved in the cluster")),
        "CLUSTERDOWN" => (Kind::Later, told("the cluster is down")),
        "MASTERDOWN" => (Kind::Later, told("it is a replica that has lost its primary")),
        "NOREPLICAS" => (Kind::Later, told("it has fewer replicas than its min-replicas-to-write")),
        "BUSY" => (Kind::Later, told("it is busy with a script")),
        "OOM" => (Kind::Later, told("its memory is full: raise maxmemory or give it more")),
        "MISCONF" => {
            (Kind::Later, told("it cannot write to its disk: look at its log and its disk"))
        }
        "NOAUTH" => (
            Kind::Settings,
            "it asks for a password: give it in `store` of the configuration".to_owned(),
        ),
        "WRONGPASS" => (Kind::Settings, wrong_password().to_owned()),
        "NOPERM" => {
            (Kind::Settings, told("its ACL forbids this user what Postern needs: extend the ACL"))
        }
        // What a script may not do is told with a code that says nothing.
        "ERR" if detail.starts_with("The user executing the script can't") => {
            (Kind::Settings, told("its ACL forbids this user what Postern needs: extend the ACL"))
        }
        "WRONGTYPE" => {
            (Kind::Nonsense, "a key of Postern's name (postern:access, {postern:access}:…, {postern:limits}:… or {postern}:…) is of another type than Postern \
             made it: something else writes under these names, so give Postern a database of its own".to_owned())
        }
        _ => (Kind::Nonsense, told("it refused")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_refuses_is_sorted_by_what_helps() {
        let kinds = [
            ("READONLY", Kind::Elsewhere),
            ("MOVED", Kind::Elsewhere),
            ("NOSCRIPT", Kind::Elsewhere),
            ("LOADING", Kind::Later),
            ("OOM", Kind::Later),
            ("MISCONF", Kind::Later),
            ("NOREPLICAS", Kind::Later),
            ("CLUSTERDOWN", Kind::Later),
            ("NOAUTH", Kind::Settings),
            ("WRONGPASS", Kind::Settings),
            ("NOPERM", Kind::Settings),
            ("WRONGTYPE", Kind::Nonsense),
            ("ERR", Kind::Nonsense),
        ];
        for (code, expected) in kinds {
            let reply = Reply { code: code.to_owned(), detail: "why".to_owned() };
            let (kind, text) = sort(&reply);
            assert_eq!(kind, expected, "{code}");
            assert!(text.len() > 10, "{code}: {text}");
            // What was refused was not done.
            assert!(!Trouble::new(kind, text).leaves_doubt(), "{code}");
        }
    }

    #[test]
    fn what_a_script_ran_into_is_sorted_by_its_own_code() {
        let script = "Error running script (call to f_6b1bf486c81ceb7edf3c093f4c48582e38c0e791): ";
        let read_only = "READONLY You can't write against a read only replica.";
        for place in [
            "@user_script:12: -",
            "@user_script:12: ",
            "@user_script: 12: -",
            "@user_script:12: @user_script: 12: -",
        ] {
            for (told, code) in [
                (read_only, "READONLY"),
                ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
                ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS"),
            ] {
                let reply = Reply::out_of_script("ERR", &format!("{script}{place}{told}"));
                assert_eq!(reply.code, code, "{place}{told}");
                assert!(told.ends_with(&reply.detail), "{}", reply.detail);
            }
        }
        // As the client hands it over.
        let of = |detail: &str| {
            let error = format!("-ERR {script}@user_script:12: -{detail}\r\n");
            let value = redis::parse_redis_value(error.as_bytes()).unwrap();
            Trouble::of(&value.extract_error().unwrap_err(), "127.0.0.1:1")
        };
        assert_eq!(of(read_only).kind, Kind::Elsewhere);
        assert_eq!(of("OOM command not allowed").kind, Kind::Later);
        // A mistake in a script has no code.
        for detail in [
            "Error running script",
            &format!("{script}@user_script:12: attempt to index a nil value"),
            "wrong number of arguments",
        ] {
            let reply = Reply::out_of_script("ERR", detail);
            assert_eq!((&*reply.code, &*reply.detail), ("ERR", detail));
        }
    }

    #[test]
    fn a_broken_connection_leaves_doubt() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        let trouble = Trouble::of(&broken, "127.0.0.1:1");
        assert!(trouble.leaves_doubt() && trouble.ends_the_connection());
    }
}
