//! `postern demo`: a sample practice system and the gateway in front of it, ready to be tried with curl.
//!
//! Everything is real but the people: a practice system on a thread of its own, a configuration and a route map in a
//! directory of their own, a store with fresh random keys, and the very gateway that `postern serve` runs. The directory
//! goes away at the end.

use std::io::{Write, stdout};
use std::net::{SocketAddr, TcpListener};

use anyhow::Context;

use crate::app::serve::Loaded;
use crate::app::signals::Hangup;
use crate::telemetry::logging;
use crate::telemetry::paint::Paint;

mod files;
mod guide;
mod keys;
mod practice;

use files::{Directory, Settings};
use guide::Guide;

/// Quiet but for what goes wrong. Reloads are told in the guide's own words.
const LOG_LEVEL: &str = "warn,postern::app::reload=off";

/// Where the demo should listen; a taken port is replaced by a free one.
#[derive(Clone, Copy, Debug)]
pub struct DemoOptions {
    pub gateway: SocketAddr,
    pub admin: SocketAddr,
}

/// Serves until Ctrl-C, or until its terminal is closed.
pub fn run(options: DemoOptions) -> anyhow::Result<()> {
    let DemoOptions { gateway, admin } = options;
    logging::init(LOG_LEVEL);
    let settings = Settings {
        practice: practice::start().context("cannot start the sample practice system")?,
        gateway: free_or_other(gateway)?,
        admin: free_or_other(admin)?,
    };
    let directory = Directory::create(&settings)?;
    let keys = keys::fill(&directory.config())?;
    directory.add_headers(&keys)?;
    let paint = Paint::for_stdout();
    let guide = Guide {
        program: &std::env::args().next().unwrap_or_else(|| "postern".to_owned()),
        keys: &keys,
        wanted: (gateway, admin),
        practice: settings.practice,
        directory: directory.path(),
        paint,
    };
    // A reader who went away misses the guide; the gateway serves all the same.
    let say = |text: String| {
        let _unread = stdout().write_all(text.as_bytes());
    };
    let served = Loaded::read(&directory.config())?.open()?.bind()?.serve(
        Hangup::Ends,
        |addresses| say(guide.render(addresses)),
        move |outcome| say(guide::reloaded(outcome, paint)),
    );
    if served.is_ok() {
        let _unread = stdout().write_all(b"\nThe demo is over; its directory is gone.\n");
    }
    served
}

/// The address as asked for, or one with a free port where that is taken.
fn free_or_other(wanted: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(wanted)
        .or_else(|_| TcpListener::bind(SocketAddr::new(wanted.ip(), 0)))
        .with_context(|| format!("cannot listen on {}", wanted.ip()))?;
    Ok(listener.local_addr()?)
}
