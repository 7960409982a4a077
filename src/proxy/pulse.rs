//! What one connection is doing and since when: written by its wire and its requests, read by its watchdog.
//!
//! Everything is atomic only because a connection that turns into a tunnel must be `Send` for hyper; one thread alone
//! touches it. Times are milliseconds since the connection was opened, never zero, so that zero can mean "not now".

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Proxy;
use crate::proxy::guard::Flaw;

/// The timers of a connection, as they were configured when it was opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
}

impl Timers {
    pub(crate) fn of(proxy: &Proxy) -> Self {
        Self { header: proxy.header_timeout, idle: proxy.idle_timeout, write: proxy.write_timeout }
    }

    /// No timer can begin and run out between two looks this far apart.
    pub(crate) fn shortest(&self) -> Duration {
        self.header.min(self.idle).min(self.write)
    }
}

/// Whether a head that is still arriving counts while other requests are being answered: under HTTP/1 hyper does not
/// read on then, so the wait is ours and not the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http1,
    Http2,
}

/// Which time of a connection has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// A head began and did not end in time.
    HeadTooSlow,
    /// Nothing was asked for too long, or nothing at all.
    Idle,
    /// The caller does not read what was written.
    Stalled,
}

/// How a connection could make room for another one; the first loses least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spare {
    /// It was of use, and waits for its next request since then.
    Waits(Instant),
    /// Its caller has read nothing since then.
    Stalls(Instant),
}

/// Whoever reads nothing for so long may lose the seat to another; a slow line brings something in that time.
const UNREAD: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Pulse {
    opened: Instant,
    head_since: AtomicU64,
    quiet_since: AtomicU64,
    stalled_since: AtomicU64,
    /// Streams of HTTP/2 that have a part of their answer and no window for it: since when, and for which request. The
    /// socket says nothing of these: it is ready to be written, and the stream may not.
    held: Mutex<BTreeSet<(u64, u64)>>,
    in_flight: AtomicU32,
    requests: AtomicU64,
    progress: AtomicU64,
    /// The first head that is not strict, by its position among the heads of the connection.
    flaw: OnceLock<(u64, Flaw)>,
    tunnel: AtomicBool,
    linger: AtomicBool,
    between_requests: AtomicBool,
    cut: AtomicBool,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self {
            opened: Instant::now(),
            head_since: AtomicU64::new(0),
            quiet_since: AtomicU64::new(1),
            stalled_since: AtomicU64::new(0),
            held: Mutex::default(),
            in_flight: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            flaw: OnceLock::new(),
            tunnel: AtomicBool::new(false),
            linger: AtomicBool::new(false),
            between_requests: AtomicBool::new(true),
            cut: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn instant(&self, mark: u64, after: Duration) -> Instant {
        self.opened + Duration::from_millis(mark) + after
    }

    /// The wire says whether it stands within a head; of one with a flaw it cannot say when its request has begun.
    pub(crate) fn head(&self, arriving: bool) {
        let begun = self.requests.load(Ordering::Relaxed);
        if !arriving || self.flaw.get().is_some_and(|(at, _)| *at < begun) {
            self.head_since.store(0, Ordering::Relaxed);
        } else if self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The wire says whether a write is waiting for the caller. An answer that was handed over is not out before that.
    pub(crate) fn writing(&self, stalled: bool) {
        if stalled == (self.stalled_since.load(Ordering::Relaxed) != 0) {
            return;
        }
        let now = self.now();
        if stalled {
            self.stalled_since.store(now, Ordering::Relaxed);
        } else {
            self.stalled_since.store(0, Ordering::Relaxed);
            self.quiet_since.store(now, Ordering::Relaxed);
        }
    }

    /// The wire says whether all that came belongs to messages that have ended.
    pub(crate) fn between_requests(&self, is_between: bool) {
        self.between_requests.store(is_between, Ordering::Relaxed);
    }

    /// Whether it has waited for its next request for so long, and could go on with another reader: in the midst of a message,
    /// what comes would be taken for a request.
    pub(crate) fn may_doze(&self, after: Duration, now: Instant) -> bool {
        self.between_requests.load(Ordering::Relaxed)
            && matches!(self.spare(), Some(Spare::Waits(since)) if now >= since + after)
    }

    /// A request begins; its position among the requests of the connection.
    pub(crate) fn begin(&self) -> u64 {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let position = self.requests.fetch_add(1, Ordering::Relaxed);
        if self.flaw(position).is_some() {
            self.head(false);
        }
        position
    }

    /// The answer to a request has ended.
    pub(crate) fn end(&self) {
        if self.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.quiet_since.store(self.now(), Ordering::Relaxed);
        }
        self.advance();
    }

    /// A stream has been given a part of its answer; since when it holds it.
    pub(crate) fn hold(&self, request: u64) -> u64 {
        let now = self.now();
        self.holding().insert((now, request));
        now
    }

    /// The stream has come back for more, or ended.
    pub(crate) fn let_go(&self, request: u64, since: u64) {
        self.holding().remove(&(since, request));
    }

    fn holding(&self) -> MutexGuard<'_, BTreeSet<(u64, u64)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the caller takes nothing, of the connection or of one stream.
    fn unread_since(&self) -> Option<u64> {
        let written = Some(self.stalled_since.load(Ordering::Relaxed)).filter(|mark| *mark != 0);
        let held = self.holding().first().map(|(since, _)| *since);
        written.into_iter().chain(held).min()
    }

    /// A part of an answer was handed over.
    pub(crate) fn advance(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    pub(crate) fn set_flaw(&self, request: u64, flaw: Flaw) {
        self.flaw.get_or_init(|| (request, flaw));
    }

    /// What the wire had to say against the head of this request.
    pub(crate) fn flaw(&self, request: u64) -> Option<Flaw> {
        self.flaw.get().filter(|(at, _)| *at == request).map(|(_, flaw)| *flaw)
    }

    /// The connection carries another protocol from here on.
    pub(crate) fn set_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Relaxed)
    }

    /// Bytes of a refused body may still come: read them away before closing, or the answer is lost to a reset.
    pub(crate) fn set_linger(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }

    pub(crate) fn lingers(&self) -> bool {
        self.linger.load(Ordering::Relaxed)
    }

    /// What it carries may not go on.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Whether it could make room for another connection; None while it works.
    pub(crate) fn spare(&self) -> Option<Spare> {
        if self.is_tunnel() {
            return None;
        }
        if let Some(mark) = self.unread_since() {
            let since = self.instant(mark, Duration::ZERO);
            return (since.elapsed() >= UNREAD).then_some(Spare::Stalls(since));
        }
        let waits = self.in_flight.load(Ordering::Relaxed) == 0
            && self.requests.load(Ordering::Relaxed) > 0
            && self.head_since.load(Ordering::Relaxed) == 0;
        let quiet = self.quiet_since.load(Ordering::Relaxed);
        waits.then(|| Spare::Waits(self.instant(quiet, Duration::ZERO)))
    }

    /// When to look again, unless something has run out at `now`.
    pub(crate) fn due(
        &self,
        timers: &Timers,
        wire: Wire,
        now: Instant,
    ) -> Result<Instant, Overdue> {
        let mut next = now + timers.shortest();
        let mut out = |at: Instant| {
            next = next.min(at);
            at <= now
        };
        if let Some(unread) = self.unread_since()
            && out(self.instant(unread, timers.write))
        {
            return Err(Overdue::Stalled);
        }
        let stalled = self.stalled_since.load(Ordering::Relaxed);
        // Bytes of ours that still wait to be taken are work, too: closing would cut an answer short.
        let busy = stalled != 0 || self.in_flight.load(Ordering::Relaxed) > 0;
        let quiet = self.quiet_since.load(Ordering::Relaxed);
        let head = self.head_since.load(Ordering::Relaxed);
        if head != 0 && (!busy || wire == Wire::Http2) {
            let since = if wire == Wire::Http1 { head.max(quiet) } else { head };
            if out(self.instant(since, timers.header)) {
                return Err(Overdue::HeadTooSlow);
            }
        } else if !busy {
            let unused = self.requests.load(Ordering::Relaxed) == 0;
            let limit = if unused { timers.header } else { timers.idle };
            if out(self.instant(quiet, limit)) {
                return Err(Overdue::Idle);
            }
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMERS: Timers = Timers {
        header: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(30),
    };

    fn after(pulse: &Pulse, seconds: u64) -> Instant {
        pulse.opened + Duration::from_secs(seconds) + Duration::from_millis(2)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_has_the_time_of_a_head() {
        let pulse = Pulse::new();
        assert!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 9)).is_ok());
        assert_eq!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 10)), Err(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_timed_as_a_whole() {
        let pulse = Pulse::new();
        pulse.head(true);
        tokio::time::advance(Duration::from_secs(9)).await;
        pulse.head(true);
        assert_eq!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 10)), Err(Overdue::HeadTooSlow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_behind_a_running_answer_is_timed_from_its_end_under_http1() {
        let pulse = Pulse::new();
        pulse.begin();
        pulse.head(true);
        assert!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 50)).is_ok());
        assert_eq!(pulse.due(&TIMERS, Wire::Http2, after(&pulse, 50)), Err(Overdue::HeadTooSlow));
        tokio::time::advance(Duration::from_secs(50)).await;
        pulse.end();
        assert!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 59)).is_ok());
        assert_eq!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 60)), Err(Overdue::HeadTooSlow));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_counts_from_the_end_of_the_last_answer() {
        let pulse = Pulse::new();
        pulse.begin();
        tokio::time::advance(Duration::from_secs(100)).await;
        pulse.end();
        assert!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 159)).is_ok());
        assert_eq!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 160)), Err(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_moves_is_not_stalled() {
        let pulse = Pulse::new();
        pulse.begin();
        pulse.writing(true);
        assert_eq!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 30)), Err(Overdue::Stalled));
        pulse.writing(false);
        assert!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 300)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_holds_a_part_of_its_answer_is_stalled() {
        let pulse = Pulse::new();
        let (first, second) = (pulse.begin(), pulse.begin());
        let since = pulse.hold(first);
        tokio::time::advance(Duration::from_secs(9)).await;
        pulse.hold(second);
        assert_eq!(pulse.due(&TIMERS, Wire::Http2, after(&pulse, 30)), Err(Overdue::Stalled));
        pulse.let_go(first, since);
        assert!(pulse.due(&TIMERS, Wire::Http2, after(&pulse, 38)).is_ok());
        assert_eq!(pulse.due(&TIMERS, Wire::Http2, after(&pulse, 39)), Err(Overdue::Stalled));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_idle_or_late_before_its_answer_is_out() {
        let pulse = Pulse::new();
        pulse.begin();
        pulse.writing(true);
        pulse.head(true);
        pulse.end();
        assert!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 29)).is_ok());
        assert_eq!(pulse.spare(), None);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(matches!(pulse.spare(), Some(Spare::Stalls(_))));
        pulse.writing(false);
        assert!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 38)).is_ok());
        assert_eq!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 39)), Err(Overdue::HeadTooSlow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_with_a_flaw_ends_when_its_request_begins() {
        let pulse = Pulse::new();
        pulse.set_flaw(0, Flaw::Fragment);
        pulse.head(true);
        assert_eq!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 10)), Err(Overdue::HeadTooSlow));
        pulse.begin();
        pulse.head(true);
        pulse.end();
        assert_eq!(pulse.due(&TIMERS, Wire::Http1, after(&pulse, 60)), Err(Overdue::Idle));
    }

    #[tokio::test]
    async fn a_tunnel_makes_room_for_nobody() {
        let pulse = Pulse::new();
        pulse.begin();
        pulse.end();
        assert!(matches!(pulse.spare(), Some(Spare::Waits(_))));
        pulse.set_tunnel();
        assert_eq!(pulse.spare(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_look_is_never_later_than_any_timer_can_run_out() {
        let pulse = Pulse::new();
        pulse.begin();
        let now = Instant::now();
        assert_eq!(pulse.due(&TIMERS, Wire::Http1, now), Ok(now + TIMERS.header));
    }
}
