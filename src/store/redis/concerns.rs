//! What about a Redis is not safe for a registry, or for access records, in sentences for people that say what to do.

use redis::Pipeline;

use crate::store::StoreError;
use crate::store::redis::fault::{Kind, Trouble};
use crate::store::redis::line::Line;
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
    let settings = Settings { version: connected.version, ..settings(&store.talk).await? };
    Ok(judge(&settings).into_iter().map(|concern| format!("Redis at {at}: {concern}")).collect())
}

async fn settings(line: &Line) -> Result<Settings, Trouble> {
    Ok(Settings {
        version: String::new(),
        appendonly: setting(line, "appendonly").await?,
        appendfsync: setting(line, "appendfsync").await?,
        save: setting(line, "save").await?,
        maxmemory_policy: setting(line, "maxmemory-policy").await?,
    })
}

/// Of the Redis that has the access records, which in a cluster may be another one. What is said of the registry's is not
/// said again in other words: this is about records alone.
pub(super) async fn of_records(line: &Line) -> Result<Vec<String>, StoreError> {
    let at = door::name(&line.far_end().await?.server);
    let settings = settings(line).await?;
    let memory = Memory::read(&info(line, "memory").await?);
    let concerns = judge_for_records(&settings, &memory);
    Ok(concerns.into_iter().map(|concern| format!("Redis at {at}: {concern}")).collect())
}

/// In bytes; None where Redis does not tell, or has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Memory {
    used: Option<u64>,
    most: Option<u64>,
}

impl Memory {
    fn read(info: &str) -> Self {
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.trim().parse().ok())
        };
        Self { used: number("used_memory"), most: number("maxmemory").filter(|most| *most > 0) }
    }

    /// Its share in percent.
    fn share(self) -> Option<u64> {
        let share = u128::from(self.used?) * 100 / u128::from(self.most?.max(1));
        u64::try_from(share).ok()
    }
}

/// Nothing where an ACL forbids it.
async fn info(line: &Line, section: &str) -> Result<String, Trouble> {
    let mut question: Pipeline = redis::pipe();
    question.cmd("INFO").arg(section);
    match line.ask::<(String,)>(&question).await {
        Ok((answer,)) => Ok(answer),
        Err(trouble) if matches!(trouble.kind, Kind::Settings | Kind::Nonsense) => {
            Ok(String::new())
        }
        Err(trouble) => Err(trouble),
    }
}

/// From here on its memory is said to be nearly full, in percent.
const NEARLY_FULL: u64 = 80;

fn judge_for_records(settings: &Settings, memory: &Memory) -> Vec<String> {
    let mut concerns = Vec::new();
    let policy = settings.maxmemory_policy.as_deref().unwrap_or_default();
    let evicts = policy.starts_with("allkeys-");
    if evicts {
        concerns.push(format!(
            "access records WILL be lost: maxmemory-policy is {policy}, so when its memory is full it drops whole keys without \
             an error, and the records of the whole retention are one key, `postern:access`. Only what the journals still \
             have comes back. Set maxmemory-policy to noeviction."
        ));
    }
    if settings.appendonly.as_deref() == Some("no") {
        concerns.push(
            "appendonly is no, so access records are lost when it ends without warning, but for those that the journals \
             still have. Set appendonly to yes."
                .to_owned(),
        );
    }
    if let Some(share) = memory.share().filter(|share| *share >= NEARLY_FULL) {
        let then = if evicts {
            "then it drops access records, and whatever else it has"
        } else {
            "then it takes no more access records, and they wait in the journals until `log.max_disk`"
        };
        concerns.push(format!(
            "its memory is nearly full ({share} % of maxmemory): {then}. Raise maxmemory, give it more, or shorten \
             `log.retention`."
        ));
    }
    concerns
}

async fn setting(line: &Line, name: &str) -> Result<Option<String>, Trouble> {
    let mut question: Pipeline = redis::pipe();
    question.cmd("CONFIG").arg("GET").arg(name);
    match line.ask::<(Vec<String>,)>(&question).await {
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
    fn what_endangers_records_is_said_at_its_weight() {
        let safe = settings("yes", "everysec", "", "noeviction");
        let half = Memory::read("used_memory:50\r\nused_memory_rss:99\r\nmaxmemory:100\r\n");
        assert_eq!(half, Memory { used: Some(50), most: Some(100) });
        assert_eq!(judge_for_records(&safe, &half), [""; 0]);
        let unlimited = Memory::read("used_memory:50\r\nmaxmemory:0\r\n");
        assert_eq!(judge_for_records(&safe, &unlimited), [""; 0]);
        assert_eq!(judge_for_records(&Settings::default(), &Memory::default()), [""; 0]);

        let full = Memory { used: Some(80), most: Some(100) };
        let told = judge_for_records(&safe, &full);
        assert!(told.len() == 1 && told[0].contains("80 % of maxmemory"), "{told:?}");
        assert!(told[0].contains("wait in the journals"), "{told:?}");
        let evicting = settings("yes", "everysec", "", "allkeys-lru");
        let told = judge_for_records(&evicting, &full);
        assert!(told[0].contains("WILL be lost") && told[0].contains("noeviction"), "{told:?}");
        assert!(told[1].contains("drops access records"), "{told:?}");
        let volatile = judge_for_records(&settings("no", "everysec", "", "noeviction"), &half);
        assert!(volatile.len() == 1 && volatile[0].contains("appendonly"), "{volatile:?}");
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
