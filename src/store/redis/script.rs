//! The scripts. Each is loaded when a connection is made and called by its digest; what its KEYS and ARGV are is said at its
//! head. Some begin with a piece that they share.

use std::sync::LazyLock;

use redis::{Cmd, Pipeline, Script};

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!($file)),+)));)*

        /// Has Redis know all of them.
        pub(super) fn load_all() -> Pipeline {
            let mut pipeline = redis::pipe();
            $(pipeline.cmd("SCRIPT").arg("LOAD").arg(concat!($(include_str!($file)),+)).ignore();)*
            pipeline
        }
    };
}

scripts! {
    COMMIT = "commit.lua";
    ADOPT = "adopt.lua";
    RECORD_USE = "record_use.lua";
    HEARTBEAT = "heartbeat.lua";
    OPEN_RECEIPT = "open_receipt.lua";
    ACKNOWLEDGE = "acknowledge.lua";
    TAKE = "access/lane.lua" "access/take.lua";
    SKIP = "access/lane.lua" "access/skip.lua";
    TRIM = "access/trim.lua";
    DROP = "access/drop.lua";
    TAKE_UNITS = "limits/bucket.lua" "limits/take.lua";
    SETTLE_UNITS = "limits/bucket.lua" "limits/settle.lua";
    RENEW_LEASES = "limits/renew.lua";
}

/// Reads alone.
pub(super) const LANES: &str =
    concat!(include_str!("access/lane.lua"), include_str!("access/lanes.lua"));

/// The beginning of a call: its arguments follow.
pub(super) fn call(script: &Script, keys: &[impl AsRef<str>]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

/// The same for one that only reads: it is sent whole, so that a reader, who loads none, can call it, of a replica, too.
pub(super) fn whole_call(source: &str, keys: &[impl AsRef<str>]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(source).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}
