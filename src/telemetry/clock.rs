//! The time of day, which never goes backwards within a process: a clock that is set back brings no expired key to life.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// One per thread that asks often; what it has shown is its own.
#[derive(Debug, Default)]
pub struct Clock {
    latest: AtomicI64,
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let read = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let latest = self.latest.load(Ordering::Relaxed);
        if read > latest {
            self.latest.store(read, Ordering::Relaxed);
        }
        Timestamp::from_micros(read.max(latest))
    }
}
