//! Alerts that follow from what the key is, and from what it was refused.

use std::collections::BTreeMap;

use crate::history::alerts::{
    Alert, Episode, Figures, Kind, Severity, Watched, refusals_from, yesterday,
};
use crate::history::calendar::{self, DAY};
use crate::model::{Access, Permissions, Timestamp};
use crate::store::access::Step;

/// A key that nobody has used for two weeks after it was made was forgotten, or its integration was never finished.
const NEVER_USED_AFTER: i64 = 14 * DAY;
/// A week leaves time to bring a new key to every place that has the old one.
const EXPIRY_NEAR: i64 = 7 * DAY;
/// From here on there is hardly a working day left.
const EXPIRY_VERY_NEAR: i64 = DAY;
/// Fewer refusals in a day are somebody trying something out.
const LEAST_REFUSALS: u64 = 5;
/// Days without that many refusals between two with them, and still the same episode: a weekend.
const QUIET_DAYS: i64 = 2;

pub(super) fn alerts(watched: &Watched<'_>) -> Vec<Alert> {
    let of_the_key = [never_used, rotation_due, expiry_near];
    // A key that was rotated is on its way out, as it should be.
    let is_replaced = watched.key.replaced_by.is_some();
    let mut alerts: Vec<Alert> =
        of_the_key.into_iter().filter(|_| !is_replaced).filter_map(|look| look(watched)).collect();
    alerts.extend(missing_permission(watched));
    alerts
}

fn never_used(watched: &Watched<'_>) -> Option<Alert> {
    let Watched { key, last_used, evidence, now, .. } = *watched;
    let due = calendar::moved(key.created_at, NEVER_USED_AFTER);
    if last_used.is_some() || evidence.days.first().is_some() || now < due {
        return None;
    }
    let sentence = format!(
        "This key was made on {} and has never been used. If nobody needs it, revoke it.",
        calendar::date(key.created_at)
    );
    Some(watched.alert(Kind::NeverUsed, due, Severity::Info, sentence))
}

fn rotation_due(watched: &Watched<'_>) -> Option<Alert> {
    let Watched { key, lifetimes, now, .. } = *watched;
    let due = key.rotate_due(lifetimes).filter(|due| *due <= now)?;
    let sentence = format!(
        "This key has had the same secret since {}; it was to be rotated by {}.",
        calendar::date(key.created_at),
        calendar::date(due)
    );
    let figures = Figures { due_at: Some(due), ..Figures::default() };
    Some(watched.alert(Kind::RotationDue, due, Severity::Info, sentence).with(figures))
}

fn expiry_near(watched: &Watched<'_>) -> Option<Alert> {
    let Watched { key, lifetimes, now, .. } = *watched;
    let end = key.ends_at(lifetimes)?;
    let near = calendar::moved(end, -EXPIRY_NEAR).max(key.created_at);
    if now < near {
        return None;
    }
    let is_very_near = now >= calendar::moved(end, -EXPIRY_VERY_NEAR);
    let severity = if is_very_near { Severity::Critical } else { Severity::Warning };
    let sentence = format!(
        "This key stops working on {} at {} UTC. If it is still needed, rotate it before.",
        calendar::date(end),
        calendar::time(end)
    );
    let alert = watched.alert(Kind::ExpiryNear, near, severity, sentence);
    // The episode is the end that it is about: another end is another alert.
    let episode = Episode::Before(calendar::start(end, Step::Day), severity);
    let figures = Figures { due_at: Some(end), ..Figures::default() };
    Some(alert.of_episode(episode).with(figures))
}

/// What was refused, of the latest day on which it was refused often enough.
fn missing_permission(watched: &Watched<'_>) -> Option<Alert> {
    let (yesterday, today) = (yesterday(watched.now), watched.today());
    [(today, "today"), (yesterday, "yesterday")]
        .into_iter()
        .find_map(|(day, called)| refused_often_on(watched, day, called))
}

/// One thing that was refused: how often, for what access, and which of its scopes the key lacks.
struct Refused<'a> {
    count: u64,
    access: &'a str,
    lacks: Vec<Lack<'a>>,
}

struct Lack<'a> {
    scope: &'a str,
    /// The bits that were needed and are not granted.
    needed: Access,
    /// With what is granted already: the permission that it would have to be.
    permission: Access,
}

/// What was refused on a day and still would be; nothing if that is too little to tell anybody.
fn refused_on<'a>(watched: &Watched<'a>, day: Timestamp) -> Vec<Refused<'a>> {
    let Watched { key, evidence, .. } = *watched;
    let mut refused: Vec<Refused<'a>> = Vec::new();
    for row in &evidence.refusals {
        if row.day != day || &*row.code != "permission_denied" {
            continue;
        }
        // What it has been granted since is no concern any more.
        let lacks = lacking(&key.permissions, &row.category, &row.access);
        if !lacks.is_empty() {
            refused.push(Refused { count: row.count, access: &row.access, lacks });
        }
    }
    if counted(&refused) < LEAST_REFUSALS {
        refused.clear();
    }
    refused
}

fn counted(refused: &[Refused<'_>]) -> u64 {
    refused.iter().fold(0, |sum, one| sum.saturating_add(one.count))
}

/// The first of the days up to this one on which something was refused often, as far as they follow one another.
fn first_refused(watched: &Watched<'_>, day: Timestamp) -> Timestamp {
    let edge = refusals_from(watched.now);
    let mut first = day;
    loop {
        let before = (1..=QUIET_DAYS + 1).map(|by| calendar::moved(first, -by * DAY));
        let mut before = before.filter(|day| *day >= edge && *day < first);
        match before.find(|day| !refused_on(watched, *day).is_empty()) {
            Some(earlier) => first = earlier,
            None => return first,
        }
    }
}

fn refused_often_on(watched: &Watched<'_>, day: Timestamp, called: &str) -> Option<Alert> {
    let refused = refused_on(watched, day);
    let total = counted(&refused);
    let most = refused.iter().max_by_key(|one| one.count)?;
    let mut missing: BTreeMap<&str, (Access, Access)> = BTreeMap::new();
    for lack in refused.iter().flat_map(|one| &one.lacks) {
        let (needed, permission) = missing.entry(lack.scope).or_default();
        *needed = needed.union(lack.needed);
        *permission = permission.union(lack.permission);
    }
    let names: Vec<String> = most.lacks.iter().map(|lack| format!("`{}`", lack.scope)).collect();
    let mostly = if refused.len() > 1 { ", mostly" } else { "" };
    // In the words of who grants it: most people know reading and writing, and no more.
    let grants: Vec<String> = missing
        .iter()
        .map(|(scope, (needed, _))| format!("`{scope}: {}`", needed.need()))
        .collect();
    let sentence = format!(
        "This key was refused {total} times {called}{mostly} for `{}` on {}, which its permissions do not give. \
         If it should have that, grant {}.",
        most.access.replace(' ', "` and `"),
        names.join(" and "),
        grants.join(", ")
    );
    let missing = missing.into_iter();
    let missing = missing.map(|(scope, (_, permission))| (Box::<str>::from(scope), permission));
    let figures =
        Figures { refused: Some(total), missing: missing.collect(), ..Figures::default() };
    let since = first_refused(watched, day);
    Some(watched.alert(Kind::MissingPermission, since, Severity::Warning, sentence).with(figures))
}

/// Of the scopes that were needed (with spaces), those that are not granted, with what would have to be granted.
fn lacking<'a>(permissions: &Permissions, scopes: &'a str, access: &str) -> Vec<Lack<'a>> {
    let words = access.split(' ').filter_map(Access::from_need);
    let needed = words.fold(Access::NONE, Access::union);
    let lacked = scopes.split(' ').filter(|scope| !scope.is_empty()).filter_map(|scope| {
        let granted = granted(permissions, scope);
        let lacked = [Access::READ, Access::WRITE_ONLY]
            .into_iter()
            .filter(|bit| needed.covers(*bit) && !granted.covers(*bit))
            .fold(Access::NONE, Access::union);
        let permission = granted.union(needed);
        (lacked != Access::NONE).then_some(Lack { scope, needed: lacked, permission })
    });
    lacked.collect()
}

/// A grant of a category covers its scopes.
fn granted(permissions: &Permissions, scope: &str) -> Access {
    let of = |name: &str| permissions.0.get(name).copied().unwrap_or_default();
    let category = scope.split_once('.').map_or(Access::NONE, |(category, _)| of(category));
    of(scope).union(category)
}
