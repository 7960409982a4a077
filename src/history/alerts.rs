//! What a practice admin should look at, of one key: computed from what is counted, and nothing else.
//!
//! An alert is a pure function of the key, its usage, its refusals and the time. Nothing is stored of it but that somebody
//! took note: so an alert is there as long as its reason is, and goes with it. Its id is the kind, the key and the episode,
//! the same for as long as the episode lasts: what was acknowledged stays so, and the next episode is a new alert, on the
//! same day, too. An episode is named by its beginning:
//!
//! - `silence:4fJ2aB9xQ7Lm:2026-11-18`: by a day, what is about days; a missing permission by the first of the days on which
//!   it was missing
//! - `error_burst:4fJ2aB9xQ7Lm:2026-11-20T15`: by an hour, a run of odd hours. One that began more than two days ago is
//!   followed back day by day, and bears the first hour of its first day from then on
//! - `expiry_near:4fJ2aB9xQ7Lm:2026-11-27:critical`: by the day on which the key ends, and by how near that is, because who
//!   took note a week before wants to hear of it on the last day
//!
//! Every threshold is a constant with its reason.
//!
//! A key is measured against its own habit: the same hours of the same weekdays in the last four weeks. A clinic that is
//! shut on Sundays has keys that are silent on Sundays, and a nightly export is no spike. What repeats itself every
//! week exactly is never an alert.
//!
//! - `standing`: what the record of the key says: never used, to be rotated, near its end, permissions that it lacks
//! - `traffic`: what its usage says: a spike, a burst of errors, silence
//! - `habit`, `series`: what is usual; what was counted when

use std::fmt;

use crate::history::calendar::{self, DAY, HOUR, WEEK};
use crate::model::{Access, KeyId, KeyStatus, Lifetimes, Misnamed, SubscriberKey, Timestamp};
use crate::store::access::{RefusalCount, Step};

mod habit;
mod series;
mod standing;
#[cfg(test)]
mod tests;
mod traffic;

pub use series::Series;

/// The worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Refusals that a permission would have prevented.
    MissingPermission,
    /// Far more went wrong than usual.
    ErrorBurst,
    /// Far more was asked than usual.
    Spike,
    /// Used to be used, and is no more.
    Silence,
    ExpiryNear,
    RotationDue,
    NeverUsed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Critical,
    Warning,
    Info,
}

/// Which alert it is, for as long as its episode lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlertId {
    pub kind: Kind,
    pub key: KeyId,
    pub episode: Episode,
}

/// Which of the episodes of its kind; always the beginning of a day or an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Episode {
    Day(Timestamp),
    Hour(Timestamp),
    /// The day that it leads to, and how near that is.
    Before(Timestamp, Severity),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub id: AlertId,
    pub since: Timestamp,
    pub severity: Severity,
    /// For people.
    pub sentence: String,
    pub figures: Figures,
}

/// The numbers behind the sentence, as far as they apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub requests: Option<u64>,
    pub usual_requests: Option<u64>,
    /// 0 to 1.
    pub error_rate: Option<f64>,
    pub usual_error_rate: Option<f64>,
    pub refused: Option<u64>,
    /// What would have to be granted: scopes, and the whole permission on each.
    pub missing: Vec<(Box<str>, Access)>,
    /// When it ends, or was to be rotated.
    pub due_at: Option<Timestamp>,
}

/// What an alert is computed from.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    pub key: &'a SubscriberKey,
    pub last_used: Option<Timestamp>,
    pub lifetimes: &'a Lifetimes,
    pub evidence: &'a Evidence,
    pub now: Timestamp,
}

/// What the store has of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// By day, within [`days`].
    pub days: Series,
    /// By hour, within [`hours`].
    pub hours: Series,
    /// Of the days since [`refusals_from`], if there are any since [`yesterday`].
    pub refusals: Vec<RefusalCount>,
}

/// How far back habits go. People work by the week, so four samples of each weekday; fewer are not a habit, and more would
/// take a new habit for an alert for too long.
const HABIT_WEEKS: i64 = 4;
/// How far back days are looked at: to see four weeks of habit behind four weeks of silence.
const DAYS_BACK: i64 = 2 * HABIT_WEEKS * 7;
/// How far back hours are looked at: who comes in the morning sees what happened since the morning before.
const HOURS_BACK: i64 = 24;
/// How far back a run of odd hours is followed, from the beginning of today. Midnight, so that the end of what is looked at
/// does not move with every hour.
const RUN_BACK: i64 = 2 * DAY;
/// How far back refusals are looked at, from this week's Monday. Two weeks show for how long a permission has been missing;
/// what has been refused for longer is a new alert once a week, and not every day.
const REFUSED_BACK: i64 = 2 * WEEK;

/// The days that are wanted of a key's usage, today among them.
pub fn days(now: Timestamp) -> (Timestamp, Timestamp) {
    let today = calendar::start(now, Step::Day);
    (calendar::moved(today, -DAYS_BACK * DAY), calendar::moved(today, DAY))
}

/// The hours that are wanted: those of a run and of the day before it, the same of the four weeks before, and an hour around.
pub fn hours(now: Timestamp) -> [(Timestamp, Timestamp); 5] {
    let hour = calendar::start(now, Step::Hour);
    let first = calendar::moved(first_of_runs(now), -(HOURS_BACK + 1) * HOUR);
    [0, 1, 2, 3, HABIT_WEEKS].map(|weeks| {
        let there = |at| calendar::moved(at, -weeks * WEEK);
        (there(first), there(calendar::moved(hour, 2 * HOUR)))
    })
}

/// The first hour that a run of odd ones is followed to.
fn first_of_runs(now: Timestamp) -> Timestamp {
    calendar::moved(calendar::start(now, Step::Day), -RUN_BACK)
}

/// The beginning of yesterday. What is refused is of interest for so long, so that midnight does not hide what was refused
/// just before.
pub fn yesterday(now: Timestamp) -> Timestamp {
    calendar::moved(calendar::start(now, Step::Day), -DAY)
}

/// The day from which refusals are wanted of a key that was refused anything since yesterday.
pub fn refusals_from(now: Timestamp) -> Timestamp {
    calendar::moved(calendar::monday(now), -REFUSED_BACK)
}

/// All alerts of a key, the worst kinds first. A key that is of no use any more has none.
pub fn of(watched: &Watched<'_>) -> Vec<Alert> {
    let Watched { key, last_used, lifetimes, now, .. } = *watched;
    if key.status(now, last_used, lifetimes) != KeyStatus::Active {
        return Vec::new();
    }
    let mut alerts = standing::alerts(watched);
    alerts.extend(traffic::alerts(watched));
    alerts.sort_by_key(|alert| (alert.id.kind, alert.id.episode));
    alerts
}

impl Watched<'_> {
    fn today(&self) -> Timestamp {
        calendar::start(self.now, Step::Day)
    }

    /// Of the day on which it began.
    fn alert(&self, kind: Kind, since: Timestamp, severity: Severity, sentence: String) -> Alert {
        let episode = Episode::Day(calendar::start(since, Step::Day));
        let id = AlertId { kind, key: self.key.id, episode };
        Alert { id, since, severity, sentence, figures: Figures::default() }
    }
}

impl Alert {
    fn with(self, figures: Figures) -> Self {
        Self { figures, ..self }
    }

    fn of_episode(mut self, episode: Episode) -> Self {
        self.id.episode = episode;
        self
    }
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::MissingPermission,
        Self::ErrorBurst,
        Self::Spike,
        Self::Silence,
        Self::ExpiryNear,
        Self::RotationDue,
        Self::NeverUsed,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingPermission => "missing_permission",
            Self::ErrorBurst => "error_burst",
            Self::Spike => "spike",
            Self::Silence => "silence",
            Self::ExpiryNear => "expiry_near",
            Self::RotationDue => "rotation_due",
            Self::NeverUsed => "never_used",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::Critical, Self::Warning, Self::Info];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

impl fmt::Display for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => f.write_str(&calendar::date(*day)),
            Self::Hour(hour) => f.write_str(&calendar::date_and_hour(*hour)),
            Self::Before(day, severity) => {
                write!(f, "{}:{}", calendar::date(*day), severity.name())
            }
        }
    }
}

impl Episode {
    fn parse(text: &str) -> Option<Self> {
        if let Some((day, severity)) = text.split_once(':') {
            return Some(Self::Before(calendar::day(day)?, Severity::from_name(severity)?));
        }
        calendar::day(text).map(Self::Day).or_else(|| calendar::hour(text).map(Self::Hour))
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind.name(), self.key, self.episode)
    }
}

impl AlertId {
    pub fn parse(text: &str) -> Result<Self, Misnamed> {
        let read = || {
            let (kind, rest) = text.split_once(':')?;
            let (key, episode) = rest.split_once(':')?;
            let (key, episode) = (KeyId::parse(key).ok()?, Episode::parse(episode)?);
            Some(Self { kind: Kind::from_name(kind)?, key, episode })
        };
        read().ok_or(Misnamed("the id of an alert, such as silence:4fJ2aB9xQ7Lm:2026-11-18"))
    }
}
