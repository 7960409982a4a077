//! What the scripts are told, each in the order that its head says; questions are in `batch`.

use std::time::Duration;

use redis::{Cmd, Script};

use crate::store::limits::{Rate, Settlement};
use crate::store::redis::{names, script};

/// The most bytes of names and numbers in most questions.
const LONG: usize = 1024;

pub(super) fn call(script: &Script, keys: usize) -> Cmd {
    let mut command = Cmd::with_capacity(32, LONG);
    command.arg("EVALSHA").arg(script.get_hash()).arg(keys);
    command
}

fn name(kind: &str, name: &str) -> String {
    [names::LIMITS, kind, name].concat()
}

pub(super) fn rate_of(key: &str) -> String {
    name("", key)
}

pub(super) fn day_of(key: &str) -> String {
    name("day:", key)
}

pub(super) fn running_of(key: &str) -> String {
    name("running:", key)
}

pub(super) fn micros(lease: Duration) -> u64 {
    u64::try_from(lease.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn fill(rate: &Rate) -> u64 {
    rate.interval.saturating_mul(rate.burst.into())
}

pub(super) fn taken(rate: &Rate) -> u64 {
    rate.interval.saturating_mul(rate.cost.into())
}

pub(super) fn settle(settlements: &[Settlement]) -> Cmd {
    let returned = || settlements.iter().flat_map(|settlement| &settlement.returned);
    let days = || settlements.iter().filter_map(|settlement| settlement.day.as_ref());
    let ended = || settlements.iter().filter_map(|settlement| settlement.ended.as_ref());
    let counts = [returned().count(), days().count(), ended().count()];
    let mut command = call(&script::SETTLE_UNITS, counts.iter().sum());
    for rate in returned() {
        command.arg(rate_of(&rate.name));
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
