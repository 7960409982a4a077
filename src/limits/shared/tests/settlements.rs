//! What becomes of what is told after a request: while the store takes it, and while it does not.

use super::*;
use crate::limits::limiter::KeyRow;

fn quotas() -> Limits {
    Limits { daily_requests: Some(99), daily_bytes: Some(9999), ..Limits::default() }
}

fn concurrent() -> Limits {
    Limits { max_concurrent_per_key: Some(3), ..Limits::default() }
}

fn named(request: u128) -> (String, String) {
    ("k".to_owned(), RequestId::new(request).to_string())
}

impl Node {
    fn of_row<T>(&self, read: impl FnOnce(&KeyRow) -> T) -> T {
        read(self.shared.limiter.keys.lock(1).get())
    }

    fn last_believed(&self) -> Used {
        self.store.state().questions.last().unwrap().day.as_ref().unwrap().believed
    }

    fn end(&self, spent: Spent, request: u128, bytes: u64) {
        self.shared.end(spent, "k", RequestId::new(request), bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_are_told_once_as_moved_or_as_believed() {
    local(async {
        let node = Node::with(quotas()).await;
        let one = node.take(1).await.unwrap();
        node.end(one, 1, 700);
        // The next question is asked before the store took the settlement in.
        let two = node.take(2).await.unwrap();
        assert_eq!(node.last_believed().bytes, 0, "told twice");
        assert_eq!(node.of_row(|row| row.today.bytes), 700, "it counts here at once");
        settled().await;
        assert_eq!(node.of_row(|row| row.believed().bytes), 700, "it took it");
        // What the store does not take, it hears when it is back; what moved meanwhile it is told as believed.
        node.store.is(Mood::Refuses).await;
        node.end(two, 2, 30);
        settled().await;
        assert!(!node.shared.is_up.get(), "a settlement that failed twice is a loss");
        assert_eq!(node.of_row(KeyRow::believed).bytes, 700);
        let three = node.take(3).await.unwrap();
        node.end(three, 3, 1);
        assert_eq!(node.of_row(KeyRow::believed).bytes, 701);
        node.store.state().settlements.clear();
        node.store.is(Mood::Answers).await;
        node.found().await;
        let told: Vec<_> = node
            .store
            .state()
            .settlements
            .iter()
            .map(|told| told.day.clone().unwrap().1.bytes)
            .collect();
        assert_eq!(told, [30]);
        assert_eq!(node.of_row(KeyRow::believed).bytes, 731);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_came_back_is_not_believed_until_the_store_has_heard_of_it() {
    local(async {
        let node = Node::with(quotas()).await;
        let day = Clock::at(Timestamp::from_micros(NOW)).day;
        node.shared.limiter.used_before(1, day, 5, 0);
        let one = node.take(1).await.unwrap();
        // An answer of before the settlement has it still.
        node.shared.limiter.keys.lock(1).get().today.requests = 6;
        node.shared.give_back(&node.charge(), NAMES, one, RequestId::new(1));
        assert_eq!(node.of_row(KeyRow::believed).requests, 5);
        {
            let mut row = node.shared.limiter.keys.lock(1);
            let row = row.get();
            row.today.requests = row.today.requests.max(6);
        }
        settled().await;
        assert_eq!(node.of_row(|row| (row.today.requests, row.believed().requests)), (5, 5));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_store_did_not_take_is_told_again() {
    local(async {
        let node = Node::with(concurrent()).await;
        let one = node.take(1).await.unwrap();
        node.store.is(Mood::Refuses).await;
        node.end(one, 1, 0);
        settled().await;
        assert!(!node.shared.is_up.get());
        node.store.is(Mood::Answers).await;
        node.found().await;
        let ended = Settlement { ended: Some(named(1)), ..Settlement::default() };
        assert_eq!(node.store.state().settlements, [ended]);
        // A store that answers greetings alone is not told for ever.
        let two = node.take(2).await.unwrap();
        node.store.is(Mood::Deceives).await;
        node.end(two, 2, 0);
        sleep(Duration::from_secs(30)).await;
        assert!(node.shared.settlements.borrow().is_empty());
        assert!(node.shared.is_up.get(), "it can be reached");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_let_through_alone_is_told_as_soon_as_the_store_is_found() {
    local(async {
        let node = Node::with(concurrent()).await;
        let (one, two) = (node.take(1).await.unwrap(), node.take(2).await.unwrap());
        node.end(one, 1, 0);
        settled().await;
        node.store.is(Mood::Refuses).await;
        // Its question may have been counted, and it runs on: nobody tells that it ended.
        let three = node.take(3).await.unwrap();
        let four = node.take(4).await.unwrap();
        node.end(four, 4, 0);
        node.store.state().settlements.clear();
        node.store.is(Mood::Answers).await;
        node.found().await;
        let mut renewed = std::mem::take(&mut node.store.state().renewed);
        renewed.sort();
        assert_eq!(renewed, [named(2), named(3)]);
        let ended: Vec<_> =
            node.store.state().settlements.drain(..).map(|told| told.ended.unwrap()).collect();
        assert_eq!(ended, [named(4)]);
        node.end(two, 2, 0);
        node.end(three, 3, 0);
        sleep(RENEWAL * 2).await;
        assert!(node.store.state().renewed.is_empty(), "they are over");
    })
    .await;
}
