//! Bodies that are too large, too slow, broken off, or just right.

use std::collections::VecDeque;
use std::future::poll_fn;

use http_body_util::BodyExt;

use super::*;

const PACE: Pace = Pace { silence: Duration::from_secs(30), min_rate: 1024 };

/// What a caller sends, and when.
struct Script {
    frames: VecDeque<(Duration, Result<Frame<Bytes>, ()>)>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Script {
    type Data = Bytes;
    type Error = ();

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        let Some((pause, _)) = self.frames.front() else { return Poll::Ready(None) };
        if !pause.is_zero() {
            let at = Instant::now() + *pause;
            let pause = self.pause.get_or_insert_with(|| Box::pin(sleep_until(at)));
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(self.frames.pop_front().map(|(_, frame)| frame))
    }
}

fn body(limit: u64, frames: Vec<(u64, Result<Frame<Bytes>, ()>)>) -> RequestBody<Script> {
    let frames = frames.into_iter().map(|(pause, frame)| (Duration::from_secs(pause), frame));
    RequestBody::new(
        Script { frames: frames.collect(), pause: None },
        limit,
        PACE,
        Wire::Http1,
        Rc::default(),
    )
}

fn data(length: usize) -> Result<Frame<Bytes>, ()> {
    Ok(Frame::data(Bytes::from(vec![b'x'; length])))
}

/// How many bytes came, and how it ended; the fault cell says the same.
async fn outcome(mut body: RequestBody<Script>) -> (usize, Option<BodyFault>) {
    let mut bytes = 0;
    loop {
        match body.frame().await {
            Some(Ok(frame)) => bytes += frame.into_data().unwrap().len(),
            Some(Err(fault)) => {
                assert_eq!(body.fault().get(), Some(fault));
                return (bytes, Some(fault));
            }
            None => {
                assert_eq!(body.fault().get(), None);
                return (bytes, None);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_have_its_limit_and_no_more() {
    for (last, expected) in
        [(9, (19, None)), (10, (20, None)), (11, (10, Some(BodyFault::TooLarge { limit: 20 })))]
    {
        assert_eq!(outcome(body(20, vec![(0, data(10)), (0, data(last))])).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_are_dropped() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-identity", http::HeaderValue::from_static("admin"));
    let frames = vec![(0, data(3)), (0, Ok(Frame::trailers(trailers)))];
    assert_eq!(outcome(body(20, frames)).await, (3, None));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_no_end() {
    assert_eq!(
        outcome(body(20, vec![(0, data(3)), (1, Err(()))])).await,
        (3, Some(BodyFault::Broken))
    );
}

#[tokio::test(start_paused = true)]
async fn silence_ends_even_a_body_that_was_fast() {
    let start = Instant::now();
    let frames = vec![(0, data(1 << 20)), (31, data(1))];
    assert_eq!(outcome(body(u64::MAX, frames)).await, (1 << 20, Some(BodyFault::TooSlow)));
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_byte_a_second_is_too_slow_after_ten() {
    let start = Instant::now();
    let frames = (0..100).map(|_| (1, data(1))).collect();
    assert_eq!(outcome(body(u64::MAX, frames)).await.1, Some(BodyFault::TooSlow));
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_least_rate_is_enough() {
    let frames = (0..100).map(|_| (1, data(1024))).collect();
    assert_eq!(outcome(body(u64::MAX, frames)).await, (102_400, None));
}

#[tokio::test(start_paused = true)]
async fn time_that_the_upstream_takes_is_not_the_callers() {
    let mut body = body(u64::MAX, (0..10).map(|_| (0, data(1))).collect());
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(100)).await;
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(frame.unwrap().is_ok());
    }
}
