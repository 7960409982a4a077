//! A deadline that is moved at every request and nearly never fires.
//!
//! Moving it writes one field: the timer in the runtime's wheel stays where it is, and is set again only when it fires
//! too early. A kept-alive connection so touches the wheel once per `response_timeout`, not twice per request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::proxy::upstream::outgoing::Progress;

#[derive(Debug, Default)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    counted_from: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) fn after(&mut self, patience: Duration) {
        let now = Instant::now();
        self.counted_from = Some(now);
        self.set(now + patience);
    }

    /// When it was last counted anew; now, if it never was.
    pub(crate) fn counted_from(&self) -> Instant {
        self.counted_from.unwrap_or_else(Instant::now)
    }

    pub(crate) fn set(&mut self, at: Instant) {
        self.at = Some(at);
        if let Some(timer) = self.timer.as_mut().filter(|timer| at < timer.deadline()) {
            timer.as_mut().reset(at);
        }
    }

    /// Ready once it was the upstream's turn for as long as there is patience. While the caller is still uploading, and
    /// no byte of it waits for the upstream, it is not.
    pub(crate) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        upload: Option<&Progress>,
        patience: Duration,
    ) -> Poll<()> {
        while self.poll(cx).is_ready() {
            let Some(upload) = upload else { return Poll::Ready(()) };
            match upload.upstreams_turn_since() {
                Some(since) if since.elapsed() >= patience => return Poll::Ready(()),
                Some(since) => self.set(since + patience),
                None => self.after(patience),
            }
        }
        Poll::Pending
    }

    /// Ready once the moment set last has come; without one, never.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn fires_after(deadline: &mut Deadline) -> Duration {
        let began = Instant::now();
        poll_fn(|cx| deadline.poll(cx)).await;
        began.elapsed()
    }

    #[tokio::test]
    async fn a_deadline_moved_later_or_earlier_fires_when_it_was_set_last() {
        let step = Duration::from_millis(20);
        let mut deadline = Deadline::default();
        deadline.after(step);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        deadline.after(3 * step);
        assert!(fires_after(&mut deadline).await >= 2 * step);
        deadline.after(Duration::from_secs(60));
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        deadline.after(step);
        assert!(fires_after(&mut deadline).await < Duration::from_secs(30));
    }
}
