//! The scripts. Each is loaded when a connection is made and called by its digest; what its KEYS and ARGV are is said at its head.

use std::sync::LazyLock;

use redis::{Cmd, Pipeline, Script};

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!($file)));)*

        /// Has Redis know all of them.
        pub(super) fn load_all() -> Pipeline {
            let mut pipeline = redis::pipe();
            $(pipeline.cmd("SCRIPT").arg("LOAD").arg(include_str!($file)).ignore();)*
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
}

/// The beginning of a call: its arguments follow.
pub(super) fn call(script: &Script, keys: &[impl AsRef<str>]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}
