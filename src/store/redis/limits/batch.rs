//! Questions of several requests in one call, as `take.lua` wants them, and its answers.
//!
//! A call costs Redis as much as the decision itself, so what a worker's requests want to know at the same time is asked at
//! once: what several of them are held to is told, read and written once, and yet each is decided by itself and in its turn.

use std::collections::HashMap;

use redis::Cmd;
use serde::Serialize;

use crate::model::Timestamp;
use crate::store::limits::{Answer, Day, Question, Rate, Running, Used};
use crate::store::redis::fault::{Kind, Trouble};
use crate::store::redis::limits::call::{self, day_of, fill, micros, rate_of, running_of, taken};
use crate::store::redis::script;

/// In one batch: a millisecond or two of Redis's time at most.
const AT_ONCE: usize = 100;
/// A bucket that holds more (PLAIN in `take.lua`) is told in text.
const PLAIN: u64 = 999_999_999_999_999;

/// Nanoseconds of a bucket.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Nanos {
    Plain(u64),
    Long(String),
}

impl Nanos {
    fn of(time: u64, fill: u64) -> Self {
        if fill <= PLAIN { Self::Plain(time) } else { Self::Long(time.to_string()) }
    }
}

/// What is counted under one name, by its number from one.
#[derive(Debug)]
struct Named<'q, T> {
    numbers: HashMap<&'q str, usize>,
    held: Vec<(&'q str, T)>,
}

impl<T> Default for Named<'_, T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), held: Vec::new() }
    }
}

impl<'q, T> Named<'q, T> {
    fn get(&self, name: &str) -> Option<&T> {
        let number = self.numbers.get(name)?;
        self.held.get(number - 1).map(|(_, held)| held)
    }

    /// The number of what has this name; it is `held` if it is new, or what `both` makes of the two.
    fn number(&mut self, name: &'q str, held: T, both: impl FnOnce(&mut T, T)) -> usize {
        let next = self.held.len() + 1;
        let number = *self.numbers.entry(name).or_insert(next);
        match self.held.get_mut(number - 1) {
            Some((_, known)) => both(known, held),
            None => self.held.push((name, held)),
        }
        number
    }

    fn names(&self) -> impl Iterator<Item = &'q str> {
        self.held.iter().map(|(name, _)| *name)
    }
}

#[derive(Debug)]
struct Bucket {
    interval: u64,
    fill: u64,
    debt: u64,
}

/// What one request wants to know.
#[derive(Debug, Serialize)]
struct Wanted<'q> {
    /// A number, what is taken from it, and so on.
    rates: Vec<Nanos>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<(usize, Most, Most)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<(usize, u32, u32, &'q str, u64)>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    looks: bool,
}

/// False where there is no most.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Most {
    Of(u64),
    Any(bool),
}

impl From<Option<u64>> for Most {
    fn from(most: Option<u64>) -> Self {
        most.map_or(Self::Any(false), Self::Of)
    }
}

#[derive(Debug, Serialize)]
struct Told<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    rates: Vec<(String, String, Nanos)>,
    days: Vec<(u32, u64, u64)>,
    questions: &'b [Wanted<'b>],
}

#[derive(Debug, Default)]
pub(super) struct Batch<'q> {
    /// Of the first question: what the others believe is a little older by it, and so a little less.
    asked_at: Option<Timestamp>,
    rates: Named<'q, Bucket>,
    days: Named<'q, Used>,
    running: Named<'q, ()>,
    questions: Vec<Wanted<'q>>,
}

impl<'q> Batch<'q> {
    /// False where it must be asked in another one. The first question always fits.
    pub(super) fn take(&mut self, question: &'q Question) -> bool {
        if self.questions.is_empty() {
            self.asked_at = question.asked_at;
        }
        let agrees = |rate: &Rate| {
            let known = self.rates.get(&rate.name);
            known.is_none_or(|known| (known.interval, known.fill) == (rate.interval, fill(rate)))
        };
        let fits = self.questions.len() < AT_ONCE
            && self.asked_at.is_some() == question.asked_at.is_some()
            && question.rates.iter().all(agrees);
        if fits {
            let wanted = self.wanted(question);
            self.questions.push(wanted);
        }
        fits
    }

    fn wanted(&mut self, question: &'q Question) -> Wanted<'q> {
        let mut rates = Vec::with_capacity(2 * question.rates.len());
        for rate in &question.rates {
            let Rate { name, interval, debt, .. } = rate;
            let fill = fill(rate);
            let bucket = Bucket { interval: *interval, fill, debt: *debt };
            let number = self.rates.number(name, bucket, |known, bucket| {
                known.debt = known.debt.max(bucket.debt);
            });
            rates.extend([Nanos::Plain(number as u64), Nanos::of(taken(rate), fill)]);
        }
        let day = question.day.as_ref().map(|Day { name, requests, bytes, believed }| {
            let number =
                self.days.number(name, *believed, |known, other| *known = most(*known, other));
            (number, Most::from(*requests), Most::from(*bytes))
        });
        let running = question.running.as_ref().map(|running| {
            let Running { name, most, own, request, lease } = running;
            let number = self.running.number(name, (), |(), ()| ());
            (number, *most, *own, request.as_str(), micros(*lease))
        });
        Wanted { rates, day, running, looks: question.only_look }
    }

    pub(super) fn command(&self) -> Result<Cmd, Trouble> {
        let count = self.rates.held.len() + self.days.held.len() + self.running.held.len();
        let mut command = call::call(&script::TAKE_UNITS, count);
        for name in self.rates.names() {
            command.arg(rate_of(name));
        }
        for name in self.days.names() {
            command.arg(day_of(name));
        }
        for name in self.running.names() {
            command.arg(running_of(name));
        }
        let bucket = |(_, bucket): &(&str, Bucket)| {
            let Bucket { interval, fill, debt } = *bucket;
            (interval.to_string(), fill.to_string(), Nanos::of(debt, fill))
        };
        let day = |(_, used): &(&str, Used)| (used.day, used.requests, used.bytes);
        let told = Told {
            at: self.asked_at.map(Timestamp::as_micros),
            rates: self.rates.held.iter().map(bucket).collect(),
            days: self.days.held.iter().map(day).collect(),
            questions: &self.questions,
        };
        let text = serde_json::to_vec(&told);
        command.arg(text.map_err(|error| Trouble::new(Kind::Nonsense, error.to_string()))?);
        Ok(command)
    }

    /// How many rates each question has.
    pub(super) fn shape(&self) -> Vec<usize> {
        self.questions.iter().map(|question| question.rates.len() / 2).collect()
    }
}

/// In the order of the questions; None where it is no answer to them.
pub(super) fn read(told: &[u64], shape: &[usize]) -> Option<Vec<Answer>> {
    let (now, mut told) = told.split_first()?;
    let now = Timestamp::from_micros(i64::try_from(*now).ok()?);
    let mut answers = Vec::with_capacity(shape.len());
    for rates in shape {
        let (head, rest) = told.split_first_chunk::<5>()?;
        let (debts, rest) = rest.split_at_checked(*rates)?;
        let [is_admitted, day, requests, bytes, running] = *head;
        answers.push(Answer {
            is_admitted: is_admitted == 1,
            debts: debts.to_vec(),
            used: Used { day: u32::try_from(day).ok()?, requests, bytes },
            running: u32::try_from(running).ok()?,
            now,
        });
        told = rest;
    }
    told.is_empty().then_some(answers)
}

/// Of two beliefs about the days of a key.
fn most(one: Used, other: Used) -> Used {
    if one.day != other.day {
        return if one.day > other.day { one } else { other };
    }
    let (requests, bytes) = (one.requests.max(other.requests), one.bytes.max(other.bytes));
    Used { day: one.day, requests, bytes }
}
