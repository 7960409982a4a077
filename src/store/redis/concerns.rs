//! What about a Redis is not safe for a registry, in sentences for people that say what to do.

use redis::Pipeline;

use crate::store::StoreError;
use crate::store::redis::fault::{Kind, Trouble};
use crate::store::redis::{RedisStore, door};

/// What Postern needs: exclusive ranges and `HELLO`, among others.
const OLDEST: (u32, u32) = (6, 2);

/// What Redis tells of its settings; None where it does not tell.
#[derive(Debug, Default)]
struct Settings {
    version: String,
    appendonly: Option<String>,
    appendfsync: Option<String>,
    save: Option<String>,
    maxmemory_policy: Option<String>,
}

pub(super) async fn concerns(store: &RedisStore) -> Result<Vec<String>, StoreError> {
    let connected = store.talk.far_end().await?;
    let at = door::name(&connected.server);
    let settings = Settings {
        version: connected.version,
        appendonly: setting(store, "appendonly").await?,
        appendfsync: setting(store, "appendfsync").await?,
        save: setting(store, "save").await?,
        maxmemory_policy: setting(store, "maxmemory-policy").await?,
    };
    Ok(judge(&settings).into_iter().map(|concern| format!("Redis at {at}: {concern}")).collect())
}

async fn setting(store: &RedisStore, name: &str) -> Result<Option<String>, Trouble> {
    let mut question: Pipeline = redis::pipe();
    question.cmd("CONFIG").arg("GET").arg(name);
    match store.talk.ask::<(Vec<String>,)>(&question).await {
        Ok((answer,)) => Ok(answer.into_iter().nth(1)),
        // Forbidden by an ACL, or taken away by a provider.
        Err(trouble) if matches!(trouble.kind, Kind::Settings | Kind::Nonsense) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

fn judge(settings: &Settings) -> Vec<String> {
    let mut concerns = Vec::new();
    if older_than_needed(&settings.version) {
        concerns.push(format!(
            "its version is {}; Postern is made for 6.2 and later: upgrade it.",
            settings.version
        ));
    }
    let mut unknown = Vec::new();
    match (settings.appendonly.as_deref(), settings.appendfsync.as_deref()) {
        (None, _) => unknown.push("appendonly"),
        (Some("no"), _) => concerns.push(lost_at_its_death(settings.save.as_deref())),
        (Some(_), None) => unknown.push("appendfsync"),
        (Some(_), Some("no")) => concerns.push(
            "appendfsync is no, so a power cut can take back half a minute of answered changes, revocations too: \
             set appendfsync to everysec or always."
                .to_owned(),
        ),
        (Some(_), Some(_)) => {}
    }
    match settings.maxmemory_policy.as_deref() {
        None => unknown.push("maxmemory-policy"),
        // volatile-* drops only what has a time to live, and nothing of Postern's has one.
        Some(policy) if policy.starts_with("allkeys-") => concerns.push(format!(
            "maxmemory-policy is {policy}, so it drops keys and vendors without a word when its memory is full: \
             set maxmemory-policy to noeviction."
        )),
        Some(_) => {}
    }
    if !unknown.is_empty() {
        concerns.push(format!(
            "{} could not be checked, for it does not answer CONFIG GET: see to it that appendonly is yes, appendfsync is \
             everysec or always, and maxmemory-policy is noeviction.",
            unknown.join(", ")
        ));
    }
    concerns
}

fn lost_at_its_death(save: Option<&str>) -> String {
    let loses = match save {
        Some("") => "it keeps nothing on its disk, and loses the whole registry when it ends",
        _ => {
            "it keeps snapshots alone, and loses answered changes, revocations too, when it ends without warning"
        }
    };
    format!("appendonly is no: {loses}. Set appendonly to yes.")
}

fn older_than_needed(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(
        appendonly: &str,
        appendfsync: &str,
        save: &str,
        maxmemory_policy: &str,
    ) -> Settings {
        let told = |text: &str| Some(text.to_owned());
        Settings {
            version: "7.0.15".to_owned(),
            appendonly: told(appendonly),
            appendfsync: told(appendfsync),
            save: told(save),
            maxmemory_policy: told(maxmemory_policy),
        }
    }

    #[test]
    fn safe_settings_are_no_concern() {
        for fsync in ["everysec", "always"] {
            for policy in ["noeviction", "volatile-lru", "volatile-ttl"] {
                assert_eq!(judge(&settings("yes", fsync, "3600 1", policy)), [""; 0]);
            }
        }
    }

    #[test]
    fn unsafe_settings_are_named_with_what_to_do() {
        let cases = [
            (settings("no", "everysec", "", "noeviction"), "whole registry"),
            (settings("no", "everysec", "3600 1", "noeviction"), "Set appendonly to yes"),
            (settings("yes", "no", "", "noeviction"), "set appendfsync to everysec"),
            (settings("yes", "always", "", "allkeys-lru"), "set maxmemory-policy to noeviction"),
            (settings("yes", "always", "", "allkeys-random"), "drops keys"),
            (
                Settings { version: "6.0.16".to_owned(), ..settings("yes", "always", "", "x") },
                "6.2",
            ),
        ];
        for (settings, expected) in cases {
            let concerns = judge(&settings);
            assert_eq!(concerns.len(), 1, "{concerns:?}");
            assert!(concerns[0].contains(expected), "{concerns:?}");
        }
    }

    #[test]
    fn what_cannot_be_checked_is_said() {
        let silent = Settings { version: "7.2.0".to_owned(), ..Settings::default() };
        let concerns = judge(&silent);
        assert_eq!(concerns.len(), 1);
        assert!(concerns[0].contains("could not be checked"), "{concerns:?}");
        assert!(concerns[0].contains("appendonly, maxmemory-policy"), "{concerns:?}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(["6.0.16", "5.9", "", "odd"].into_iter().all(older_than_needed));
        assert!(["6.2.0", "7.0.15", "10.1"].into_iter().all(|version| !older_than_needed(version)));
    }
}
