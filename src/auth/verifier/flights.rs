//! Slow work that is done once, however many wait for it, and never too much of it at a time.
//!
//! A flight is one run of argon2 for one secret. Whoever needs its outcome while it is under way waits for that one. It
//! runs away from the workers, on a thread for blocking work, and goes on when those who waited have left, so that a
//! caller who hangs up and comes again gains nothing. So many run at a time as leaves half of the processors to the
//! workers; so many more wait in line; who comes then is told that the gateway is overloaded.

use std::sync::Arc;

use dashmap::Entry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::auth::verifier::memory::{Print, SharedPrints};
use crate::model::Refusal;

/// How many flights there are at most, under way or in line. The slowest take about 50 ms each.
const MAX_FLIGHTS: usize = 1024;

pub(super) type Work = Box<dyn FnOnce() -> bool + Send>;

/// The outcome, once there is one. Closed without one where the flight broke off.
type Outcome = watch::Receiver<Option<bool>>;

pub(super) struct Flights {
    in_the_air: SharedPrints<Outcome>,
    places: Arc<Semaphore>,
    permits: Arc<Semaphore>,
}

impl Flights {
    /// For so many processors.
    pub(super) fn new(processors: usize) -> Self {
        Self::with_room(MAX_FLIGHTS, (processors / 2).max(1))
    }

    fn with_room(flights: usize, at_a_time: usize) -> Self {
        Self {
            in_the_air: SharedPrints::default(),
            places: Arc::new(Semaphore::new(flights)),
            permits: Arc::new(Semaphore::new(at_a_time)),
        }
    }

    /// What the work said, or what it said to whoever asked first. Refuses with [`Refusal::Overloaded`].
    pub(super) async fn outcome(
        self: Arc<Self>,
        print: Print,
        work: Work,
    ) -> Result<bool, Refusal> {
        let mut outcome = match self.in_the_air.entry(print) {
            Entry::Occupied(flight) => flight.get().clone(),
            Entry::Vacant(vacant) => {
                let place = Arc::clone(&self.places).try_acquire_owned();
                let _place = place.map_err(|_| Refusal::Overloaded)?;
                let (tell, outcome) = watch::channel(None);
                vacant.insert(outcome.clone());
                let flight = Flight { flights: Arc::clone(&self), print, tell, _place };
                tokio::spawn(flight.run(work));
                outcome
            }
        };
        let landed = outcome.wait_for(Option::is_some).await;
        landed.ok().and_then(|outcome| *outcome).ok_or(Refusal::Overloaded)
    }
}

/// One under way or in line; away from the list when dropped, however it ended.
struct Flight {
    flights: Arc<Flights>,
    print: Print,
    tell: watch::Sender<Option<bool>>,
    _place: OwnedSemaphorePermit,
}

impl Flight {
    async fn run(self, work: Work) {
        let permits = Arc::clone(&self.flights.permits);
        let Ok(permit) = permits.acquire_owned().await else { return };
        let worked = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(permit);
            outcome
        });
        if let Ok(outcome) = worked.await {
            self.tell.send_replace(Some(outcome));
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.in_the_air.remove(&self.print);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::auth::verifier::memory::Printer;
    use crate::vault::Vault;

    fn prints(count: u8) -> Vec<Print> {
        let printer = Printer::new(&Vault::ephemeral().unwrap());
        (0..count).map(|number| printer.of_key(&[number])).collect()
    }

    #[tokio::test]
    async fn many_who_ask_at_once_wait_for_one_run() {
        let flights = Arc::new(Flights::with_room(1, 1));
        let runs = Arc::new(AtomicUsize::new(0));
        let (go, wait) = mpsc::channel::<()>();
        let mut wait = Some(wait);
        let print = prints(1)[0];
        let asked: Vec<_> = (0..100)
            .map(|_| {
                let (runs, wait) = (Arc::clone(&runs), wait.take());
                let work: Work = Box::new(move || {
                    wait.map(|wait| wait.recv());
                    runs.fetch_add(1, Ordering::SeqCst);
                    true
                });
                tokio::spawn(Arc::clone(&flights).outcome(print, work))
            })
            .collect();
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        for one in asked {
            assert_eq!(one.await.unwrap(), Ok(true));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(flights.in_the_air.is_empty());
    }

    #[tokio::test]
    async fn a_run_goes_on_when_nobody_waits_and_those_who_come_later_join_it() {
        let flights = Arc::new(Flights::with_room(1, 1));
        let (go, wait) = mpsc::channel::<()>();
        let print = prints(1)[0];
        let first: Work = Box::new(move || wait.recv().is_ok());
        let asked = tokio::spawn(Arc::clone(&flights).outcome(print, first));
        while flights.in_the_air.is_empty() {
            tokio::task::yield_now().await;
        }
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        let second: Work = Box::new(|| panic!("one run is enough"));
        let later = tokio::spawn(Arc::clone(&flights).outcome(print, second));
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        assert_eq!(later.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn no_more_run_at_a_time_than_there_are_permits_and_no_more_wait_than_there_are_places() {
        const PERMITS: usize = 2;
        let flights = Arc::new(Flights::with_room(4, PERMITS));
        let prints = prints(5);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (started, starts) = mpsc::channel::<mpsc::Sender<()>>();
        let mut asked = Vec::new();
        for print in &prints[..4] {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            let started = started.clone();
            let work: Work = Box::new(move || {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                let (go, wait) = mpsc::channel();
                started.send(go).unwrap();
                wait.recv().unwrap();
                running.fetch_sub(1, Ordering::SeqCst);
                false
            });
            asked.push(tokio::spawn(Arc::clone(&flights).outcome(*print, work)));
        }
        while flights.in_the_air.len() < 4 {
            tokio::task::yield_now().await;
        }
        let one_more: Work = Box::new(|| true);
        let refused = Arc::clone(&flights).outcome(prints[4], one_more).await;
        assert_eq!(refused, Err(Refusal::Overloaded));
        let release = tokio::task::spawn_blocking(move || {
            (0..4).for_each(|_| starts.recv().unwrap().send(()).unwrap());
        });
        for one in asked {
            assert_eq!(one.await.unwrap(), Ok(false));
        }
        release.await.unwrap();
        assert!((1..=PERMITS).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_run_that_breaks_off_is_no_answer_and_leaves_room_for_another() {
        let flights = Arc::new(Flights::with_room(1, 1));
        let print = prints(1)[0];
        let broken: Work = Box::new(|| panic!("on purpose"));
        assert_eq!(Arc::clone(&flights).outcome(print, broken).await, Err(Refusal::Overloaded));
        while !flights.in_the_air.is_empty() {
            tokio::task::yield_now().await;
        }
        let whole: Work = Box::new(|| true);
        assert_eq!(Arc::clone(&flights).outcome(print, whole).await, Ok(true));
    }
}
