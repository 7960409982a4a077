//! `postern` called for one answer.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::gateway::BINARY;

/// What it said, and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// What of the environment would send a command to somebody's real gateway.
const ADMIN: [&str; 3] = ["POSTERN_ADMIN_URL", "POSTERN_ADMIN_TOKEN", "POSTERN_ADMIN_CA"];

/// In a directory, with these variables and none of the tester's own.
pub(crate) fn run(directory: &Path, variables: &[(&str, &str)], args: &[&str]) -> Said {
    let mut command = Command::new(BINARY);
    for name in ADMIN {
        command.env_remove(name);
    }
    command.args(args).envs(variables.iter().copied()).current_dir(directory).stdin(Stdio::null());
    let output = command.output().unwrap();
    Said {
        code: output.status.code().expect("the program ends by itself"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    /// It did what it was asked; nothing stands on stderr.
    pub(crate) fn done(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self
    }

    /// Its one document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// A document on each line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let read =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(read).collect()
    }
}
