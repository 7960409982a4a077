//! Usage, totals, refusals: read from sums, never from records.
//!
//! Sums stand by time, then by whose they are: a look for one key goes from one moment that has any sums to the next, and
//! takes its own at each. A month of days is thirty such steps.

use rusqlite::{Connection, OptionalExtension};

use crate::model::{Tally, Timestamp};
use crate::store::access::{Acknowledged, RefusalCount, Span, Step, Whose};
use crate::store::embedded::access::tables::{DAY, number_of, number_of_whose};
use crate::store::embedded::access::{damaged, tally};
use crate::store::embedded::fault::Fault;

pub(super) fn usage(
    connection: &mut Connection,
    whose: &Whose,
    from: Timestamp,
    to: Timestamp,
    step: Step,
) -> Result<Vec<Span>, Fault> {
    let transaction = connection.transaction()?;
    let Some(number) = number_of_whose(&transaction, whose)? else { return Ok(Vec::new()) };
    let mut spans = Vec::new();
    for start in starts(&transaction, step, from, to)? {
        if let Some(tally) = sum(&transaction, step, start, number)? {
            spans.push(Span { start: Timestamp::from_micros(start), tally });
        }
    }
    Ok(spans)
}

pub(super) fn totals(
    connection: &mut Connection,
    whose: &[Whose],
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Tally>, Fault> {
    let transaction = connection.transaction()?;
    let mut asked = Vec::with_capacity(whose.len());
    for whose in whose {
        asked.push((number_of_whose(&transaction, whose)?, Tally::default()));
    }
    for start in starts(&transaction, Step::Day, from, to)? {
        for (number, total) in &mut asked {
            let Some(number) = *number else { continue };
            if let Some(tally) = sum(&transaction, Step::Day, start, number)? {
                total.merge(&tally);
            }
        }
    }
    Ok(asked.into_iter().map(|(_, total)| total).collect())
}

/// The beginnings of spans that have any sums.
fn starts(
    connection: &Connection,
    step: Step,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<i64>, Fault> {
    let sql = "SELECT min(start) FROM sums WHERE step = ?1 AND start >= ?2 AND start < ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut starts = Vec::new();
    let mut from = from.as_micros();
    loop {
        let bounds = (number_of(step), from, to.as_micros());
        let Some(start) = statement.query_row(bounds, |row| row.get::<_, Option<i64>>(0))? else {
            return Ok(starts);
        };
        starts.push(start);
        from = start + 1;
    }
}

fn sum(
    connection: &Connection,
    step: Step,
    start: i64,
    whose: i64,
) -> Result<Option<Tally>, Fault> {
    let sql = "SELECT tally FROM sums WHERE step = ?1 AND start = ?2 AND whose = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let kept: Option<Vec<u8>> =
        statement.query_row((number_of(step), start, whose), |row| row.get(0)).optional()?;
    let tally = kept.map(|kept| tally::decode(&kept)).transpose();
    tally.map_err(|error| damaged("a sum", start, &error))
}

pub(super) fn refusals(
    connection: &mut Connection,
    whose: &Whose,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<RefusalCount>, Fault> {
    let Some(number) = number_of_whose(connection, whose)? else { return Ok(Vec::new()) };
    let by = match whose {
        Whose::Everybody => "?3 = 0",
        Whose::Practice(_) => "practice = ?3",
        Whose::Key(_) => "key = ?3",
    };
    let sql = format!(
        "SELECT day, code, category, access, sum(count) FROM refusals WHERE day >= ?1 AND day < ?2 AND {by} \
         GROUP BY day, code, category, access ORDER BY day, code, category, access"
    );
    // Days that begin at a moment or later are those from the next midnight on.
    let days = [from, to].map(|moment| {
        moment.as_micros().div_euclid(DAY) + i64::from(moment.as_micros().rem_euclid(DAY) > 0)
    });
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((days[0], days[1], number), |row| {
        let day: i64 = row.get(0)?;
        let text = |column| row.get::<_, Box<str>>(column);
        Ok(RefusalCount {
            day: Timestamp::from_micros(day.saturating_mul(DAY)),
            code: text(1)?,
            category: text(2)?,
            access: text(3)?,
            count: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn acknowledge(connection: &Connection, note: &Acknowledged) -> Result<(), Fault> {
    let sql = "INSERT INTO acknowledged (alert, by, at) VALUES (?1, ?2, ?3) ON CONFLICT (alert) DO NOTHING";
    connection.prepare_cached(sql)?.execute((&note.alert, &note.by, note.at.as_micros()))?;
    Ok(())
}

pub(super) fn acknowledged(
    connection: &mut Connection,
    alerts: &[Box<str>],
) -> Result<Vec<Acknowledged>, Fault> {
    let transaction = connection.transaction()?;
    let mut statement =
        transaction.prepare_cached("SELECT by, at FROM acknowledged WHERE alert = ?1")?;
    let mut notes = Vec::new();
    for alert in alerts {
        let note = statement.query_row([alert], |row| {
            let at = Timestamp::from_micros(row.get(1)?);
            Ok(Acknowledged { alert: alert.clone(), by: row.get(0)?, at })
        });
        notes.extend(note.optional()?);
    }
    Ok(notes)
}
