//! Questions that wait to be asked together.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Cmd;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::store::StoreError;
use crate::store::limits::{Answer, Question};
use crate::store::redis::fault::{Kind, Trouble};
use crate::store::redis::limits::batch::{self, Batch};
use crate::store::redis::limits::line::Line;

type Asker = oneshot::Sender<Result<Answer, StoreError>>;

/// So long a question waits for the answer to a call that is on its way: longer than a Redis nearby needs, even one that waits
/// for its processor, and little beside what one far away needs.
const PATIENCE: Duration = Duration::from_millis(8);

#[derive(Debug, Default)]
pub(super) struct Gathering(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    questions: Vec<(Question, Asker)>,
    /// Somebody asks, until nothing waits.
    is_asked: bool,
}

/// Whoever asks goes before nothing waits, and what waits goes with him: the next question finds another one.
struct Leave<'g>(Option<&'g Gathering>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some(gathering) = self.0 {
            *gathering.waiting() = Waiting::default();
        }
    }
}

impl Gathering {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True: nobody asks; the caller is to have it done.
    pub(super) fn push(&self, question: Question, asker: Asker) -> bool {
        let mut waiting = self.waiting();
        waiting.questions.push((question, asker));
        !mem::replace(&mut waiting.is_asked, true)
    }

    /// Adds what waits to what is asked already, but for those who have gone. True: nothing is left to ask.
    fn is_over(&self, asked: &mut Vec<(Question, Asker)>) -> bool {
        let mut waiting = self.waiting();
        asked.append(&mut waiting.questions);
        asked.retain(|(_, asker)| !asker.is_closed());
        waiting.is_asked = !asked.is_empty();
        asked.is_empty()
    }

    /// Until nothing waits.
    pub(super) async fn ask_all(&self, line: &Arc<Line>) {
        let mut leave = Leave(Some(self));
        let mut asked = Vec::new();
        loop {
            // Whatever else is ready to run in this turn may have a question, too.
            yield_now().await;
            if self.is_over(&mut asked) {
                leave.0 = None;
                return;
            }
            let mut batch = Batch::default();
            let count = asked.iter().take_while(|(question, _)| batch.take(question)).count();
            let (command, shape) = (batch.command(), batch.shape());
            let askers = asked.drain(..count).map(|(_, asker)| asker).collect();
            let call = tokio::spawn(call(Arc::clone(line), command, shape, askers));
            // Answered or not, the next ones are not kept any longer.
            let _answered = timeout(PATIENCE, call).await;
        }
    }
}

async fn call(
    line: Arc<Line>,
    command: Result<Cmd, Trouble>,
    shape: Vec<usize>,
    askers: Vec<Asker>,
) {
    match ask(&line, command, &shape).await {
        Ok(answers) => {
            askers.into_iter().zip(answers).for_each(|(asker, answer)| tell(asker, Ok(answer)));
        }
        Err(trouble) => {
            askers.into_iter().for_each(|asker| tell(asker, Err(trouble.clone().into())));
        }
    }
}

async fn ask(
    line: &Line,
    command: Result<Cmd, Trouble>,
    shape: &[usize],
) -> Result<Vec<Answer>, Trouble> {
    let told: Vec<u64> = line.ask_in_time(&command?).await?;
    let form = || Trouble::new(Kind::Nonsense, "Redis: limits were told in another form");
    batch::read(&told, shape).ok_or_else(form)
}

fn tell(asker: Asker, answer: Result<Answer, StoreError>) {
    // Who has gone does not want to know.
    let _gone = asker.send(answer);
}
