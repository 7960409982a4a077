//! Questions about limits as the scripts want them, and what they answer. The order of everything is told at their heads.

use std::time::Duration;

use redis::{Cmd, Script};

use crate::model::Timestamp;
use crate::store::limits::{Answer, Day, Question, Rate, Running, Settlement, Used};
use crate::store::redis::{names, script};

/// The most bytes of names and numbers in most questions.
const LONG: usize = 1024;

fn call(script: &Script, keys: usize) -> Cmd {
    let mut command = Cmd::with_capacity(32, LONG);
    command.arg("EVALSHA").arg(script.get_hash()).arg(keys);
    command
}

fn name(kind: &str, name: &str) -> String {
    [names::LIMITS, kind, name].concat()
}

fn day_of(key: &str) -> String {
    name("day:", key)
}

fn running_of(key: &str) -> String {
    name("running:", key)
}

fn micros(lease: Duration) -> u64 {
    u64::try_from(lease.as_micros()).unwrap_or(u64::MAX)
}

fn fill(rate: &Rate) -> u64 {
    rate.interval.saturating_mul(rate.burst.into())
}

fn taken(rate: &Rate) -> u64 {
    rate.interval.saturating_mul(rate.cost.into())
}

/// A number, or nothing at all.
fn optional(command: &mut Cmd, number: Option<impl itoa::Integer>) {
    match number {
        Some(number) => command.arg(itoa::Buffer::new().format(number)),
        None => command.arg(""),
    };
}

pub(super) fn take(question: &Question) -> Cmd {
    let Question { rates, day, running, only_look, asked_at } = question;
    let keys = rates.len() + usize::from(day.is_some()) + usize::from(running.is_some());
    let mut command = call(&script::TAKE_UNITS, keys);
    for rate in rates {
        command.arg(name("", &rate.name));
    }
    if let Some(Day { name, .. }) = day {
        command.arg(day_of(name));
    }
    if let Some(Running { name, .. }) = running {
        command.arg(running_of(name));
    }
    command.arg(u8::from(*only_look));
    optional(&mut command, asked_at.map(Timestamp::as_micros));
    command.arg(rates.len()).arg(u8::from(day.is_some())).arg(u8::from(running.is_some()));
    for rate in rates {
        command.arg(rate.interval).arg(fill(rate)).arg(taken(rate)).arg(rate.debt);
    }
    if let Some(Day { requests, bytes, believed, .. }) = day {
        optional(&mut command, *requests);
        optional(&mut command, *bytes);
        command.arg(believed.day).arg(believed.requests).arg(believed.bytes);
    }
    if let Some(Running { most, own, request, lease, .. }) = running {
        command.arg(*most).arg(*own).arg(request).arg(micros(*lease));
    }
    command
}

/// None where it is no answer to a question about so many rates.
pub(super) fn read(told: &[u64], rates: usize) -> Option<Answer> {
    let [is_admitted, now, day, requests, bytes, running, debts @ ..] = told else { return None };
    if debts.len() != rates {
        return None;
    }
    Some(Answer {
        is_admitted: *is_admitted == 1,
        debts: debts.to_vec(),
        used: Used { day: u32::try_from(*day).ok()?, requests: *requests, bytes: *bytes },
        running: u32::try_from(*running).ok()?,
        now: Timestamp::from_micros(i64::try_from(*now).ok()?),
    })
}

pub(super) fn settle(settlements: &[Settlement]) -> Cmd {
    let returned = || settlements.iter().flat_map(|settlement| &settlement.returned);
    let days = || settlements.iter().filter_map(|settlement| settlement.day.as_ref());
    let ended = || settlements.iter().filter_map(|settlement| settlement.ended.as_ref());
    let counts = [returned().count(), days().count(), ended().count()];
    let mut command = call(&script::SETTLE_UNITS, counts.iter().sum());
    for rate in returned() {
        command.arg(name("", &rate.name));
    }
    for (key, _) in days() {
        command.arg(day_of(key));
    }
    for (key, _) in ended() {
        command.arg(running_of(key));
    }
    command.arg(&counts);
    for rate in returned() {
        command.arg(rate.interval).arg(fill(rate)).arg(taken(rate));
    }
    for (_, used) in days() {
        command.arg(used.day).arg(used.requests).arg(used.bytes);
    }
    for (_, request) in ended() {
        command.arg(request);
    }
    command
}

pub(super) fn renew(running: &[(String, String)], lease: Duration) -> Cmd {
    let mut command = call(&script::RENEW_LEASES, running.len());
    for (key, _) in running {
        command.arg(running_of(key));
    }
    command.arg(micros(lease));
    for (_, request) in running {
        command.arg(request);
    }
    command
}
