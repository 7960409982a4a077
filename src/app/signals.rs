//! What the operating system asks of the process.

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// To a service: read your configuration again.
    Reloads,
    /// To a program that somebody tries: its terminal was closed.
    Ends,
}

/// The request to end: SIGTERM from a supervisor, SIGINT from a terminal, SIGHUP from one that goes away.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Stop {
    /// From here on the signals no longer end the process by themselves.
    pub(super) fn install(meaning: Hangup) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: hangup_if(meaning == Hangup::Ends)?,
        })
    }

    /// Waits for the next of them. Cancel-safe: a signal is kept until somebody waits.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = received(&mut self.hangup) => {}
        }
    }
}

/// The request to reload: SIGHUP, where it means that.
pub(super) struct Reload(Option<Signal>);

impl Reload {
    pub(super) fn install(meaning: Hangup) -> io::Result<Self> {
        hangup_if(meaning == Hangup::Reloads).map(Self)
    }

    /// As [`Stop::asked`].
    pub(super) async fn asked(&mut self) {
        received(&mut self.0).await;
    }
}

fn hangup_if(wanted: bool) -> io::Result<Option<Signal>> {
    wanted.then(|| signal(SignalKind::hangup())).transpose()
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}
