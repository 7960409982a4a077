//! Questions that wait to be asked together.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::store::StoreError;
use crate::store::limits::{Answer, Question};
use crate::store::redis::fault::{Kind, Trouble};
use crate::store::redis::limits::batch::Batch;
use crate::store::redis::limits::line::Line;

type Asker = oneshot::Sender<Result<Answer, StoreError>>;

#[derive(Debug, Default)]
pub(super) struct Gathering(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    questions: Vec<(Question, Asker)>,
    /// How many calls are on their way, or soon will be.
    calls: usize,
}

/// So that Redis and the worker need not wait for each other. More would only make the batches smaller.
const CALLS: usize = 2;
/// So many wait no longer for the answer of a call that is on its way.
const MANY: usize = 8;

/// One call goes, with what it had in hand; with the last of them, all that waits.
struct Leave<'g> {
    gathering: &'g Gathering,
    is_counted: bool,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.is_counted {
            let mut waiting = self.gathering.waiting();
            waiting.calls -= 1;
            if waiting.calls == 0 {
                waiting.questions.clear();
            }
        }
    }
}

impl Gathering {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True: the caller is to have it asked.
    pub(super) fn push(&self, question: Question, asker: Asker) -> bool {
        let mut waiting = self.waiting();
        waiting.questions.push((question, asker));
        let is_wanted = match waiting.calls {
            0 => true,
            calls => calls < CALLS && waiting.questions.len() >= MANY,
        };
        waiting.calls += usize::from(is_wanted);
        is_wanted
    }

    /// Adds what waits to what is asked already, but for those who have gone; with nothing left, this call counts no more.
    fn is_over(&self, asked: &mut Vec<(Question, Asker)>) -> bool {
        let mut waiting = self.waiting();
        asked.append(&mut waiting.questions);
        asked.retain(|(_, asker)| !asker.is_closed());
        waiting.calls -= usize::from(asked.is_empty());
        asked.is_empty()
    }

    /// Until nothing waits.
    pub(super) async fn ask_all(&self, line: &Line) {
        let mut leave = Leave { gathering: self, is_counted: true };
        let mut asked = Vec::new();
        loop {
            // Whatever else is ready to run in this turn may have a question, too.
            yield_now().await;
            if self.is_over(&mut asked) {
                leave.is_counted = false;
                return;
            }
            let mut batch = Batch::default();
            let count = asked.iter().take_while(|(question, _)| batch.take(question)).count();
            let answers = ask(line, &batch).await;
            let askers = asked.drain(..count).map(|(_, asker)| asker);
            match answers {
                Ok(answers) => {
                    askers.zip(answers).for_each(|(asker, answer)| tell(asker, Ok(answer)))
                }
                Err(trouble) => askers.for_each(|asker| tell(asker, Err(trouble.clone().into()))),
            }
        }
    }
}

fn tell(asker: Asker, answer: Result<Answer, StoreError>) {
    // Who has gone does not want to know.
    let _gone = asker.send(answer);
}

async fn ask(line: &Line, batch: &Batch<'_>) -> Result<Vec<Answer>, Trouble> {
    let told: Vec<u64> = line.ask_in_time(&batch.command()?).await?;
    let form = || Trouble::new(Kind::Nonsense, "Redis: limits were told in another form");
    batch.read(&told).ok_or_else(form)
}
