//! Alerts that follow from what a key asked, and when.

use crate::history::alerts::habit::Habit;
use crate::history::alerts::{
    Alert, DAYS_BACK, Episode, Figures, HABIT_WEEKS, HOURS_BACK, Kind, Severity, Watched,
    first_of_runs,
};
use crate::history::calendar::{self, DAY, HOUR, WEEK};
use crate::model::{Tally, Timestamp};
use crate::store::access::Step;

/// Three times the usual is more than a busy day, and less than what a loop in a program does.
const SPIKE_TIMES: u64 = 3;
/// Six median distances are about four standard deviations: once in some ten thousand hours by chance.
const SPIKE_SPREADS: u64 = 6;
/// Fewer requests in an hour burden nobody, whatever is usual: a person clicking through a list makes as many.
const SPIKE_LEAST_AN_HOUR: u64 = 100;
/// The same for a day.
const SPIKE_LEAST_A_DAY: u64 = 200;
/// A nightly export that comes some hours late is no spike: half as much again as the busiest hour of other weeks is.
const SPIKE_OF_PEAK: (u128, u128) = (3, 2);
/// Two weeks of an hour and its neighbours; fewer samples say nothing of what is usual.
const LEAST_HOURS_OF_HABIT: usize = 6;
/// Every weekday was there once.
const LEAST_DAYS_OF_HABIT: usize = 7;

/// Fewer failures are a person's mistakes.
const BURST_LEAST: u64 = 20;
/// How much of all, beyond what is usual, has to go wrong: a quarter is felt by everybody who works with it.
const BURST_SHARE: f64 = 0.25;
/// Hardly anything gets through any more.
const BURST_CRITICAL: f64 = 0.9;

/// One day may be a holiday.
const SILENT_DAYS: usize = 2;
/// Longer than a maintenance at night, and still the same working day. Only for what speaks round the clock: a key that
/// people speak through is silent on holidays, and nobody wants to hear of every key of a clinic on each of them.
const SILENT_HOURS: usize = 6;
/// More hours of the day than these are round the clock.
const CLOCK_HOURS: usize = 20;
/// Of the four weeks before: one may have been odd.
const SPOKEN_WEEKS: usize = 3;

pub(super) fn alerts(watched: &Watched<'_>) -> Vec<Alert> {
    let traffic = Traffic::of(watched);
    let mut alerts: Vec<Alert> = Vec::new();
    // A spike of some hours of today says more than that of the day.
    match traffic.spike_of_hours() {
        Some((last, spike)) if last >= traffic.today => alerts.push(spike),
        earlier => {
            alerts.extend(earlier.map(|(_, spike)| spike));
            alerts.extend(traffic.spike_of_today());
        }
    }
    alerts.extend(traffic.burst_of_hours().or_else(|| traffic.burst_of_today()));
    alerts.extend(traffic.silence());
    alerts
}

struct Traffic<'a> {
    watched: &'a Watched<'a>,
    /// The beginning of this hour.
    hour: Timestamp,
    today: Timestamp,
    /// From here on, no requests means that there were none: before, there was no key, or nobody counted.
    known_since: Option<Timestamp>,
}

/// A run of hours that are all odd in the same way.
struct Run {
    first: Timestamp,
    last: Timestamp,
    /// The oddest of them.
    peak: Timestamp,
}

fn wrong(tally: &Tally) -> u64 {
    tally.errors.saturating_add(tally.client_errors).saturating_add(tally.denied)
}

fn rate(tally: &Tally) -> f64 {
    tally.error_rate().unwrap_or(0.0)
}

impl<'a> Traffic<'a> {
    fn of(watched: &'a Watched<'a>) -> Self {
        let first = watched.evidence.days.first();
        Self {
            watched,
            hour: calendar::start(watched.now, Step::Hour),
            today: watched.today(),
            known_since: first.map(|first| first.max(watched.key.created_at)),
        }
    }

    fn is_known(&self, start: Timestamp) -> bool {
        self.known_since.is_some_and(|since| start >= since)
    }

    /// The hours that are looked at, the current one last.
    fn hours(&self) -> impl DoubleEndedIterator<Item = Timestamp> {
        let hour = self.hour;
        (-HOURS_BACK..=0).map(move |back| calendar::moved(hour, back * HOUR))
    }

    /// The same moment in the weeks of the habit.
    fn weeks_before(start: Timestamp) -> impl Iterator<Item = Timestamp> {
        (1..=HABIT_WEEKS).map(move |weeks| calendar::moved(start, -weeks * WEEK))
    }

    /// The last run of odd hours that was not over a day ago, from its beginning on; `how_odd` is None for an hour that is
    /// not, and by days it is followed beyond what is known by the hour.
    fn last_run(
        &self,
        how_odd: impl Fn(Timestamp) -> Option<u64>,
        is_odd_day: impl Fn(Timestamp) -> bool,
    ) -> Option<Run> {
        let last = self.hours().rev().find(|hour| how_odd(*hour).is_some())?;
        let (mut run, mut most) = (Run { first: last, last, peak: last }, 0);
        let edge = first_of_runs(self.watched.now);
        let known = (0..=i64::try_from(calendar::count(edge, last, Step::Hour)).unwrap_or(0))
            .map(|back| calendar::moved(last, -back * HOUR));
        for hour in known {
            let Some(odd) = how_odd(hour) else { return Some(run) };
            run.first = hour;
            if odd > most {
                (run.peak, most) = (hour, odd);
            }
        }
        let before = (1..=DAYS_BACK).map(|back| calendar::moved(edge, -back * DAY));
        run.first = before.take_while(|day| is_odd_day(*day)).last().unwrap_or(run.first);
        Some(run)
    }
}

impl Traffic<'_> {
    /// What is usual in an hour: this one and its neighbours in other weeks, as nothing comes to the minute.
    fn habit_of_hour(&self, hour: Timestamp) -> Option<Habit> {
        let around = Self::weeks_before(hour)
            .flat_map(|hour| [-HOUR, 0, HOUR].map(|by| calendar::moved(hour, by)));
        let known = around.filter(|hour| self.is_known(*hour));
        let counts: Vec<u64> =
            known.map(|hour| self.watched.evidence.hours.requests(hour)).collect();
        if counts.len() < LEAST_HOURS_OF_HABIT { None } else { Habit::of(&counts) }
    }

    /// The busiest hour of that day in each of the other weeks, as far as they are known.
    fn usual_peak(&self, hour: Timestamp) -> u64 {
        let peak = |weeks: i64| {
            let there = calendar::moved(hour, -weeks * WEEK);
            let day = (-HOURS_BACK..=0).map(|back| calendar::moved(there, back * HOUR));
            let known = day.filter(|hour| self.is_known(*hour));
            known.map(|hour| self.watched.evidence.hours.requests(hour)).max()
        };
        let peaks: Vec<u64> = (1..=HABIT_WEEKS).filter_map(peak).collect();
        Habit::of(&peaks).map_or(0, |habit| habit.usual)
    }

    /// How much was asked in an hour, if it is far more than usual.
    fn spike_in(&self, hour: Timestamp) -> Option<u64> {
        let count = self.watched.evidence.hours.requests(hour);
        if count < SPIKE_LEAST_AN_HOUR {
            return None;
        }
        let (times, of) = SPIKE_OF_PEAK;
        let is_odd = |habit: Habit| habit.is_far_below(count, SPIKE_TIMES, SPIKE_SPREADS);
        let is_peak = || u128::from(count) > u128::from(self.usual_peak(hour)) * times / of;
        (self.habit_of_hour(hour).is_some_and(is_odd) && is_peak()).then_some(count)
    }

    /// With the last of the hours.
    fn spike_of_hours(&self) -> Option<(Timestamp, Alert)> {
        let hours = &self.watched.evidence.hours;
        let run = self.last_run(|hour| self.spike_in(hour), |day| self.spike_on(day).is_some())?;
        let requests = hours.requests(run.peak);
        let usual = self.habit_of_hour(run.peak)?.usual;
        let sentence = format!(
            "This key made {requests} requests between {} and {} UTC on {}; at that time of the week it usually makes \
             about {usual} an hour.",
            calendar::time(run.peak),
            calendar::time(calendar::moved(run.peak, HOUR)),
            calendar::date(run.peak)
        );
        let spike = self.spike(run.first, sentence, requests, usual);
        Some((run.last, spike.of_episode(Episode::Hour(run.first))))
    }

    fn spike(&self, since: Timestamp, sentence: String, requests: u64, usual: u64) -> Alert {
        let figures =
            Figures { requests: Some(requests), usual_requests: Some(usual), ..Figures::default() };
        self.watched.alert(Kind::Spike, since, Severity::Warning, sentence).with(figures)
    }

    /// How much was asked on a day, if it is far more than usual, and what is usual: on the same weekday, and on any day.
    fn spike_on(&self, day: Timestamp) -> Option<(u64, u64)> {
        let days = &self.watched.evidence.days;
        let requests = days.requests(day);
        let all = (1..=HABIT_WEEKS * 7).map(|back| calendar::moved(day, -back * DAY));
        let counts = |starts: &mut dyn Iterator<Item = Timestamp>| -> Vec<u64> {
            starts.filter(|day| self.is_known(*day)).map(|day| days.requests(day)).collect()
        };
        let any_day = counts(&mut { all });
        if requests < SPIKE_LEAST_A_DAY || any_day.len() < LEAST_DAYS_OF_HABIT {
            return None;
        }
        let habit = Habit::of(&any_day)?;
        let of_weekday = Habit::of(&counts(&mut Self::weeks_before(day))).unwrap_or(habit);
        let is_odd = |habit: Habit| habit.is_far_below(requests, SPIKE_TIMES, SPIKE_SPREADS);
        let is_spike = is_odd(habit) && is_odd(of_weekday);
        is_spike.then(|| (requests, habit.usual.max(of_weekday.usual)))
    }

    /// Today so far against whole days, which errs on the quiet side.
    fn spike_of_today(&self) -> Option<Alert> {
        let (requests, usual) = self.spike_on(self.today)?;
        let sentence = format!(
            "This key has made {requests} requests today; on a whole day it usually makes about {usual}."
        );
        Some(self.spike(self.today, sentence, requests, usual))
    }
}

impl Traffic<'_> {
    /// The share that usually goes wrong: in all until the day before, or at these hours of other weeks, whichever is more.
    fn usual_rate(&self, hours: &[Timestamp]) -> f64 {
        let first = hours.first().copied().unwrap_or(self.today);
        let there = hours.iter().copied().flat_map(Self::weeks_before);
        self.rate_before(first).max(rate(&self.watched.evidence.hours.sum(there)))
    }

    fn rate_before(&self, at: Timestamp) -> f64 {
        let day = calendar::start(at, Step::Day);
        rate(&self.watched.evidence.days.sum_before(calendar::moved(day, -DAY)))
    }

    /// Whether far more than usual went wrong on a whole day.
    fn is_bad_day(&self, day: Timestamp) -> bool {
        let days = &self.watched.evidence.days;
        let tally = days.sum([day]);
        let of_weekday = rate(&days.sum(Self::weeks_before(day)));
        let usual = self.rate_before(day).max(of_weekday);
        wrong(&tally) >= BURST_LEAST && rate(&tally) >= usual + BURST_SHARE
    }

    /// What went wrong in these hours, if it is far more than usual.
    fn burst_in(&self, hours: &[Timestamp]) -> Option<Tally> {
        let tally = self.watched.evidence.hours.sum(hours.iter().copied());
        let is_much = wrong(&tally) >= BURST_LEAST;
        (is_much && rate(&tally) >= self.usual_rate(hours) + BURST_SHARE).then_some(tally)
    }

    fn burst_of_hours(&self) -> Option<Alert> {
        let how_odd = |hour: Timestamp| self.burst_in(&[hour]).as_ref().map(wrong);
        let run = self.last_run(how_odd, |day| self.is_bad_day(day))?;
        let when = format!(
            "between {} and {} UTC on {}",
            calendar::time(run.peak),
            calendar::time(calendar::moved(run.peak, HOUR)),
            calendar::date(run.peak)
        );
        let burst = self.burst(&[run.peak], run.first, &when)?;
        Some(burst.of_episode(Episode::Hour(run.first)))
    }

    /// For a key that asks too little for a burst within an hour.
    fn burst_of_today(&self) -> Option<Alert> {
        let hours: Vec<Timestamp> = self.hours().filter(|hour| *hour >= self.today).collect();
        self.burst(&hours, self.today, "today")
    }

    fn burst(&self, hours: &[Timestamp], since: Timestamp, when: &str) -> Option<Alert> {
        let tally = self.burst_in(hours)?;
        let (rate, usual) = (rate(&tally), self.usual_rate(hours));
        let severity = if rate >= BURST_CRITICAL { Severity::Critical } else { Severity::Warning };
        let sentence = format!(
            "Of {} requests {when}, {} went wrong: {} failed in the practice system or on the way to it, {} were turned \
             down by it, {} were refused here. Usually it is {:.0} in a hundred.",
            tally.requests,
            wrong(&tally),
            tally.errors,
            tally.client_errors,
            tally.denied,
            usual * 100.0
        );
        let figures = Figures {
            requests: Some(tally.requests),
            error_rate: Some(rate),
            usual_error_rate: Some(usual),
            ..Figures::default()
        };
        Some(self.watched.alert(Kind::ErrorBurst, since, severity, sentence).with(figures))
    }
}

impl Traffic<'_> {
    fn silence(&self) -> Option<Alert> {
        let evidence = &self.watched.evidence;
        let last_day = evidence.days.last_before(calendar::moved(self.today, DAY))?;
        let last_hour = evidence.hours.last_before(calendar::moved(self.hour, HOUR));
        // A key that was rotated is silent as it should be.
        if last_hour == Some(self.hour) || self.watched.key.replaced_by.is_some() {
            return None;
        }
        let hours = self.silent_hours(last_hour);
        let days = self.silent_days(last_day);
        let missed = if days >= SILENT_DAYS {
            format!("on {days} of the days since then")
        } else if hours >= SILENT_HOURS {
            format!("in {hours} of the hours since then")
        } else {
            return None;
        };
        let of_last_day = |at: &Timestamp| calendar::start(*at, Step::Day) == last_day;
        let end_of_hour = last_hour.filter(of_last_day).map(|hour| calendar::moved(hour, HOUR));
        let last_used = self.watched.last_used.filter(of_last_day);
        let known = last_used.or(end_of_hour);
        let when = known.map_or_else(String::new, |at| format!("{} UTC on ", calendar::time(at)));
        let sentence = format!(
            "This key has not been used since {when}{}; going by the weeks before, it would have been {missed}.",
            calendar::date(last_day)
        );
        let since = known.unwrap_or_else(|| calendar::moved(last_day, DAY));
        let alert = self.watched.alert(Kind::Silence, since, Severity::Warning, sentence);
        Some(alert.of_episode(Episode::Day(last_day)))
    }

    /// Whether it spoke at nearly all hours of the day, in each of the other weeks.
    fn speaks_round_the_clock(&self) -> bool {
        let hours = &self.watched.evidence.hours;
        (1..=HABIT_WEEKS).all(|weeks| {
            let there = self.hours().map(|hour| calendar::moved(hour, -weeks * WEEK));
            there.skip(1).filter(|hour| hours.has_spoken(*hour)).count() > CLOCK_HOURS
        })
    }

    /// How many whole hours it was silent, of those in which it usually speaks; none where that is not all of them.
    fn silent_hours(&self, last: Option<Timestamp>) -> usize {
        if !self.speaks_round_the_clock() {
            return 0;
        }
        let hours = &self.watched.evidence.hours;
        let is_expected = |hour: &Timestamp| {
            Self::weeks_before(*hour).filter(|there| hours.has_spoken(*there)).count()
                >= SPOKEN_WEEKS
        };
        let since = self.hours().filter(|hour| last.is_none_or(|last| *hour > last));
        since.filter(|hour| *hour < self.hour).filter(is_expected).count()
    }

    /// The same by days. What is usual is what was usual before the silence.
    fn silent_days(&self, last: Timestamp) -> usize {
        let days = &self.watched.evidence.days;
        let is_expected = |day: &Timestamp| {
            let weeks = (1..=DAYS_BACK / 7).map(|weeks| calendar::moved(*day, -weeks * WEEK));
            let before = weeks.filter(|there| *there <= last).take(4);
            before.filter(|there| days.has_spoken(*there)).count() >= SPOKEN_WEEKS
        };
        let since = (1..=DAYS_BACK).map(|by| calendar::moved(last, by * DAY));
        since.take_while(|day| *day < self.today).filter(is_expected).count()
    }
}
