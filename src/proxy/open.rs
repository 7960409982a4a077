//! What one worker has admitted and not yet finished, so that it can be ended when its keys lose standing.
//!
//! Every request is judged once, when it comes. One that lasts (a WebSocket, a stream, a long upload) would outlive the
//! revocation of its key, so a worker looks at all that is open four times a second and ends what may not go on. An
//! ordinary request pays a slot in a list for that: no allocation, no lock, no timer of its own.
//!
//! How it ends depends on how far it has come. Before its answer begins, it is answered with the refusal that it would
//! get now. After that nothing can be said any more, and it is cut so that a part can never be taken for the whole: a
//! connection of HTTP/1 is reset, a stream of HTTP/2 is reset alone, and both sides of a tunnel are closed.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::model::{Refusal, Timestamp};
use crate::proxy::seats::Seat;
use crate::registry::View;
use crate::registry::view::Identity;

/// What is open ends within this time and what the look itself takes: well below the second that is promised.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// All that is open of one worker, each with whose it is.
#[derive(Debug)]
pub(crate) struct Openings<I = Identity> {
    places: RefCell<Vec<Option<Opening<I>>>>,
    /// Those that are empty, so that a place is found without a search.
    free: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Opening<I> {
    identity: I,
    reach: Reach,
    /// The head of the answer is on its way.
    begun: bool,
    ended: bool,
}

/// Where an exchange can be got hold of.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// HTTP/1: the connection carries nothing else.
    Connection(Rc<Seat>),
    /// HTTP/2.
    Stream(Rc<Stream>),
    Tunnel(Rc<Notify>),
}

/// An exchange that is open; it is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct Open<I = Identity> {
    openings: Rc<Openings<I>>,
    place: usize,
}

impl<I> Default for Openings<I> {
    fn default() -> Self {
        Self { places: RefCell::default(), free: RefCell::default() }
    }
}

impl<I> Openings<I> {
    pub(crate) fn enter(self: &Rc<Self>, identity: I, reach: Reach) -> Open<I> {
        let opening = Some(Opening { identity, reach, begun: false, ended: false });
        let mut places = self.places.borrow_mut();
        let free = self.free.borrow_mut().pop();
        let place = match free.and_then(|place| Some((place, places.get_mut(place)?))) {
            Some((place, slot)) => {
                *slot = opening;
                place
            }
            None => {
                places.push(opening);
                places.len() - 1
            }
        };
        Open { openings: Rc::clone(self), place }
    }

    /// A tunnel, and what its task hears when it is to end.
    pub(crate) fn tunnel(self: &Rc<Self>, identity: I) -> (Open<I>, Rc<Notify>) {
        let ends = Rc::new(Notify::new());
        (self.enter(identity, Reach::Tunnel(Rc::clone(&ends))), ends)
    }

    fn end_where(&self, lost: impl Fn(&I) -> bool) {
        for opening in self.places.borrow_mut().iter_mut().flatten() {
            if !opening.ended && lost(&opening.identity) {
                opening.ended = true;
                opening.reach.end(opening.begun);
            }
        }
    }
}

impl Openings {
    /// Ends what may not go on.
    pub(crate) fn look(&self, view: &View, now: Timestamp) {
        self.end_where(|identity| !view.may_go_on(identity, now));
    }
}

impl<I> Open<I> {
    /// From here on it cannot be answered any more, only cut.
    pub(crate) fn begin(&self) {
        self.with(|opening| opening.begun = true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.with(|opening| opening.ended).unwrap_or_default()
    }

    /// Runs `exchange` as long as it may go on; None where it may not.
    pub(crate) async fn until_ended<T>(&self, exchange: impl Future<Output = T>) -> Option<T> {
        let mut exchange = pin!(exchange);
        poll_fn(|cx| {
            if self.has_ended() {
                return Poll::Ready(None);
            }
            exchange.as_mut().poll(cx).map(Some)
        })
        .await
    }

    fn with<T>(&self, look: impl FnOnce(&mut Opening<I>) -> T) -> Option<T> {
        self.openings.places.borrow_mut().get_mut(self.place)?.as_mut().map(look)
    }
}

impl Open {
    /// Why it may not go on.
    pub(crate) fn refusal(&self, view: &View, address: IpAddr, now: Timestamp) -> Refusal {
        let identity = self.with(|opening| opening.identity.clone());
        let caller = identity.map(|identity| view.caller(&identity, address, now));
        match caller {
            Some(Err(refusal)) => refusal,
            Some(Ok(caller)) => caller.objection.unwrap_or(Refusal::InvalidCredentials),
            None => Refusal::InvalidCredentials,
        }
    }
}

impl<I> Drop for Open<I> {
    fn drop(&mut self) {
        let left = self.openings.places.borrow_mut().get_mut(self.place).and_then(Option::take);
        if left.is_some() {
            self.openings.free.borrow_mut().push(self.place);
        }
    }
}

impl Reach {
    fn end(&self, begun: bool) {
        match self {
            Self::Connection(seat) => {
                if begun {
                    seat.pulse.cut();
                }
                seat.wake();
            }
            Self::Stream(stream) => {
                stream.cut.set(begun);
                stream.wake();
            }
            Self::Tunnel(ends) => ends.notify_one(),
        }
    }
}

/// One stream of HTTP/2: the task that answers it.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Stream {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// Runs what hyper spawns for a connection of HTTP/2 on the worker's own thread, each stream so that it can be cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    /// Whose task is being run just now.
    current: Rc<RefCell<Option<Rc<Stream>>>>,
}

impl Streams {
    /// The stream that is asking.
    pub(crate) fn current(&self) -> Option<Rc<Stream>> {
        self.current.borrow().clone()
    }
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, future: F) {
        let (stream, current) = (Rc::new(Stream::default()), Rc::clone(&self.current));
        spawn_local(async move {
            let mut future = pin!(future);
            poll_fn(|cx| poll_stream(&stream, &current, future.as_mut(), cx)).await;
        });
    }
}

/// Once it is cut, the stream's future is dropped where it is, and h2 resets the stream.
fn poll_stream<F: Future>(
    stream: &Rc<Stream>,
    current: &RefCell<Option<Rc<Stream>>>,
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if stream.cut.get() {
        return Poll::Ready(());
    }
    current.replace(Some(Rc::clone(stream)));
    let polled = future.poll(cx).map(drop);
    current.replace(None);
    if polled.is_pending() {
        let mut waker = stream.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
    polled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An exchange of somebody, by a stream of its own.
    fn open(openings: &Rc<Openings<u8>>, whose: u8) -> (Open<u8>, Rc<Stream>) {
        let stream = Rc::new(Stream::default());
        (openings.enter(whose, Reach::Stream(Rc::clone(&stream))), stream)
    }

    #[tokio::test]
    async fn what_has_begun_is_cut_and_what_has_not_is_told() {
        let openings = Rc::default();
        let ((begun, one), (waiting, two)) = (open(&openings, 1), open(&openings, 1));
        let (other, three) = open(&openings, 2);
        begun.begin();
        openings.end_where(|whose| *whose == 1);
        assert_eq!([one, two, three].map(|stream| stream.cut.get()), [true, false, false]);
        assert_eq!(waiting.until_ended(std::future::pending::<()>()).await, None);
        assert_eq!(other.until_ended(async { 7 }).await, Some(7));
    }

    #[tokio::test]
    async fn an_end_reaches_a_waiting_exchange_and_a_tunnel() {
        let openings: Rc<Openings<u8>> = Rc::default();
        let (tunnel, ends) = openings.tunnel(1);
        openings.end_where(|_| true);
        ends.notified().await;
        drop(tunnel);
    }

    #[test]
    fn places_are_used_again() {
        let openings: Rc<Openings<u8>> = Rc::default();
        let (first, second) = (open(&openings, 1), open(&openings, 2));
        drop(first);
        let third = open(&openings, 3);
        drop((second, third));
        let many: Vec<_> = (0..2).map(|whose| open(&openings, whose)).collect();
        assert_eq!(openings.places.borrow().len(), 2);
        let left = || openings.places.borrow().iter().flatten().count();
        assert_eq!(left(), 2);
        drop(many);
        assert_eq!((left(), openings.free.borrow().len()), (0, 2));
    }
}
