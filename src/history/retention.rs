//! What is too old goes, a bounded piece at a time, and what endangers the rest is told while there is time.
//!
//! What is too old is told by a clock, and a clock may be wrong for a few seconds that would cost all of the past. So it is
//! believed only as far as something else agrees with it ([`Edge`]): the time that has passed since the start, and the
//! newest record.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::history::History;
use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::access::{ActivityQuery, Page, Whose};
use crate::telemetry::clock::Clock;

/// Small pieces often: no deletion is ever long, and none is late by more than this.
const OFTEN: Duration = Duration::from_secs(5);
/// Where there is more to delete, others get their turn first.
const BREATH: Duration = Duration::from_millis(20);
/// Sums are kept for thirteen months, the longest of them: a month can be held against the same one a year before.
const SUMS: Duration = Duration::from_secs(403 * 24 * 3600);
/// How often the store is asked what about it endangers records.
const CONCERNS: Duration = Duration::from_secs(60);
/// So far a clock is set by those who keep it right. Further ahead of the time that has passed, it is wrong, or was.
const AHEAD: Duration = Duration::from_secs(3600);
/// Where all of the past would go as the gateway starts, people have so long to look at the clock and the setting.
const RESPITE: Duration = Duration::from_secs(3600);

impl History {
    /// Deletes what is older than `retention` says at the time, and asks the store what endangers the rest; endless.
    pub async fn tidy(&self, retention: impl Fn() -> Duration) {
        tokio::join!(self.expire(retention), self.watch_store());
    }

    async fn expire(&self, retention: impl Fn() -> Duration) {
        let mut is_told = false;
        let began = Instant::now();
        let mut edge = Edge::at(wall());
        loop {
            let cutoffs = match self.looked_at(&mut edge).await {
                Ok(()) => edge.cutoffs(wall(), began.elapsed(), retention()),
                // Not before it is known whether all of it would go.
                Err(_) => None,
            };
            let Some((records, sums)) = cutoffs else {
                sleep(OFTEN).await;
                continue;
            };
            let expired = self.store.expire(records, sums).await;
            let has_more = expired.as_ref().is_ok_and(|expired| expired.more);
            match expired {
                Ok(expired) => {
                    self.progress.held_back(expired.held_back);
                    is_told = false;
                }
                // A store that is away is told of by the shipper.
                Err(error) if !is_told && self.progress.status().trouble.is_none() => {
                    tracing::warn!(%error, "old access records cannot be deleted");
                    is_told = true;
                }
                Err(_) => {}
            }
            sleep(if has_more { BREATH } else { OFTEN }).await;
        }
    }

    /// Has the edge know the newest record.
    async fn looked_at(&self, edge: &mut Edge) -> Result<(), StoreError> {
        let mut query = ActivityQuery::of(Whose::Everybody, 1);
        while !edge.is_looked_at {
            let page = match self.store.page(&query).await {
                // It will not be known; and to delete may well help.
                Err(StoreError::Corrupt(_)) => Page::default(),
                page => page?,
            };
            edge.newest = page.records.first().map(|record| record.opening.ts);
            query.after = page.next;
            edge.is_looked_at = edge.newest.is_some() || query.after.is_none();
        }
        Ok(())
    }

    async fn watch_store(&self) {
        let mut told: Vec<String> = Vec::new();
        loop {
            // Where it does not answer, what was told before still holds.
            if let Ok(concerns) = self.store.concerns().await {
                for concern in concerns.iter().filter(|concern| !told.contains(concern)) {
                    tracing::warn!("{concern}");
                }
                self.progress.concerned(&concerns);
                told = concerns;
            }
            sleep(CONCERNS).await;
        }
    }
}

/// As the clock of the machine has it just now, also where that went back.
fn wall() -> Timestamp {
    Clock::default().now()
}

/// From where on the past is kept.
#[derive(Debug)]
struct Edge {
    /// What the clock said at the start.
    began: Timestamp,
    /// What was the newest record at the start.
    newest: Option<Timestamp>,
    is_looked_at: bool,
    /// The last ones that were not in doubt: of records, and of sums.
    cutoffs: Option<(Timestamp, Timestamp)>,
    told: Option<Doubt>,
}

/// Why the clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Jumped,
    AllWouldGo,
}

impl Edge {
    fn at(began: Timestamp) -> Self {
        Self { began, newest: None, is_looked_at: false, cutoffs: None, told: None }
    }

    /// What may go is before these: records, and sums. In doubt nothing new may; None where nothing was to go yet.
    fn cutoffs(
        &mut self,
        now: Timestamp,
        passed: Duration,
        kept: Duration,
    ) -> Option<(Timestamp, Timestamp)> {
        let doubt = self.doubt(now, passed, kept);
        if doubt.is_none() {
            // Where records are kept for years, their sums are, too.
            self.cutoffs = Some((before(now, kept), before(now, kept.max(SUMS))));
        }
        if self.told != doubt {
            self.told = doubt;
            tell(doubt, now);
        }
        self.cutoffs
    }

    fn doubt(&self, now: Timestamp, passed: Duration, kept: Duration) -> Option<Doubt> {
        if now > self.began.after(passed).after(AHEAD) {
            return Some(Doubt::Jumped);
        }
        let all_would_go = self.newest.is_some_and(|newest| newest < before(now, kept));
        (all_would_go && passed < RESPITE).then_some(Doubt::AllWouldGo)
    }
}

fn tell(doubt: Option<Doubt>, now: Timestamp) {
    match doubt {
        Some(Doubt::Jumped) => tracing::error!(
            %now,
            "the clock has jumped ahead, so no access records are deleted: set it right, or start the gateway again if it is"
        ),
        Some(Doubt::AllWouldGo) => tracing::error!(
            %now,
            "all access records are older than log.retention, and will be deleted in an hour: if they are to stay, set the clock right or raise log.retention"
        ),
        None => tracing::info!("old access records are deleted again"),
    }
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(span))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::StoreAddress;
    use crate::journal::{Journal, Settings};
    use crate::model::NodeName;
    use crate::store::conformance::access::samples;
    use crate::store::{Mode, open_history};

    const HOUR: Duration = Duration::from_secs(3600);
    const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
    const BEGAN: Timestamp = Timestamp::from_micros(1_763_625_600_000_000);

    fn after(hours: u32) -> (Timestamp, Duration) {
        (BEGAN.after(HOUR * hours), HOUR * hours)
    }

    #[test]
    fn a_clock_that_jumps_ahead_deletes_nothing_and_is_believed_again_when_it_is_back() {
        let mut edge = Edge::at(BEGAN);
        let (now, passed) = after(5);
        let right = Some((before(now, KEPT), before(now, SUMS)));
        assert_eq!(edge.cutoffs(now, passed, KEPT), right);
        let moment = Duration::from_secs(1);
        // Whatever is asked for meanwhile.
        for kept in [KEPT, HOUR] {
            let jumped = now.after(400 * 24 * HOUR);
            assert_eq!(edge.cutoffs(jumped, passed + moment, kept), right);
            assert_eq!(edge.told, Some(Doubt::Jumped));
        }
        assert_eq!(edge.cutoffs(now.after(HOUR).after(2 * moment), passed + moment, KEPT), right);
        let (now, passed) = after(6);
        assert_eq!(edge.cutoffs(now, passed, KEPT), Some((before(now, KEPT), before(now, SUMS))));
        assert_eq!(edge.told, None);
        // Set back, or right by less than an hour.
        for now in [BEGAN, now.after(HOUR)] {
            let expected = Some((before(now, KEPT), before(now, SUMS)));
            assert_eq!(edge.cutoffs(now, passed, KEPT), expected);
        }
    }

    #[test]
    fn a_clock_that_would_delete_everything_at_the_start_has_to_wait() {
        let newest = Timestamp::from_micros(BEGAN.as_micros() - 1);
        let mut edge = Edge { newest: Some(before(newest, KEPT)), ..Edge::at(BEGAN) };
        assert_eq!(edge.cutoffs(BEGAN, Duration::ZERO, KEPT), None);
        assert_eq!(edge.told, Some(Doubt::AllWouldGo));
        // A setting that keeps some of it is believed.
        assert!(edge.cutoffs(BEGAN, Duration::ZERO, KEPT + HOUR).is_some());
        let (now, passed) = after(1);
        assert_eq!(edge.cutoffs(now, passed, KEPT), Some((before(now, KEPT), before(now, SUMS))));
        let mut young = Edge { newest: Some(before(BEGAN, KEPT)), ..Edge::at(BEGAN) };
        assert!(young.cutoffs(BEGAN, Duration::ZERO, KEPT).is_some());
    }

    #[tokio::test]
    async fn the_newest_record_is_what_the_store_says() {
        let home = tempfile::tempdir().unwrap();
        let settings =
            Settings { dir: home.path().join("journal"), sync: HOUR, max_disk: 64 << 20 };
        let (journal, _) = Journal::open(&settings, &NodeName::parse("gw-1").unwrap()).unwrap();
        let address = StoreAddress::Embedded(home.path().join("data"));
        let store = open_history(&address, Mode::Sole).await.unwrap();
        let history = History::new(journal, Arc::clone(&store));
        let mut edge = Edge::at(BEGAN);
        history.looked_at(&mut edge).await.unwrap();
        assert!(edge.is_looked_at && edge.newest.is_none());
        let parts = samples::parts(1..=40);
        store.take(samples::batch(1, 0, &parts)).await.unwrap();
        let mut edge = Edge::at(BEGAN);
        history.looked_at(&mut edge).await.unwrap();
        assert_eq!(edge.newest, parts.iter().map(|(opening, _)| opening.ts).max());
    }

    #[test]
    fn records_that_are_kept_for_years_keep_their_sums() {
        let years = KEPT * 20;
        let mut edge = Edge::at(BEGAN);
        let expected = Some((before(BEGAN, years), before(BEGAN, years)));
        assert_eq!(edge.cutoffs(BEGAN, Duration::ZERO, years), expected);
    }

    #[test]
    fn the_beginning_of_time_is_not_passed() {
        let early = before(Timestamp::from_micros(i64::MIN + 5), Duration::MAX);
        assert_eq!(early, Timestamp::from_micros(i64::MIN));
        let moment = Timestamp::from_micros(10_000_000);
        assert_eq!(before(moment, Duration::from_secs(4)), Timestamp::from_micros(6_000_000));
    }
}
