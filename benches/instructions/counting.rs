//! One stage under callgrind, and what callgrind says of it.

use std::collections::HashMap;
use std::fs;
use std::process::{Command, Stdio};

use crate::{RUN, TURNS};

/// Instructions of one turn.
#[derive(Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) ours: u64,
    /// What depends on the processor, or may.
    pub(crate) besides: u64,
}

/// What asks at run time what the processor can do, and does it that way. Such functions cannot be inlined into others, so a
/// name is enough to know them by.
const DISPATCHED: &[&str] = &["memchr::", "crc32fast::", "core_arch::"];

pub(crate) fn count(stage: &str) -> Counted {
    let program = std::env::current_exe().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=instructions::collected*", "--dump-line=no"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(&program)
        .args([RUN, stage])
        // Nothing that a variable could change.
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("valgrind must be installed: apt-get install valgrind");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the stage `{stage}` failed under valgrind:\n{said}");
    let counted = read(&fs::read_to_string(profile).unwrap(), program.to_str().unwrap());
    assert!(counted.ours > 0, "nothing was counted of the stage `{stage}`:\n{said}");
    counted
}

/// Adds up what each function took itself. In this format a file or function has its name where it is first mentioned, and
/// a number from then on; a line of costs behind `calls=` is the callee's, and told again where that stands itself.
fn read(profile: &str, program: &str) -> Counted {
    let (mut objects, mut functions) = (Names::default(), Names::default());
    let (mut is_ours, mut is_call) = (false, false);
    let mut object = String::new();
    let mut sums = [0_u64; 2];
    for line in profile.lines() {
        if let Some(named) = line.strip_prefix("ob=") {
            object = objects.read(named);
        } else if let Some(named) = line.strip_prefix("fn=") {
            let function = functions.read(named);
            let is_dispatched = DISPATCHED.iter().any(|name| function.contains(name));
            is_ours = object == program && !is_dispatched;
        } else if let Some(named) = line.strip_prefix("cob=") {
            objects.read(named);
        } else if let Some(named) = line.strip_prefix("cfn=") {
            functions.read(named);
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split(' ').nth(1).map_or(0, |cost| cost.parse().unwrap());
            if !std::mem::take(&mut is_call) {
                sums[usize::from(is_ours)] += cost;
            }
        }
    }
    let [besides, ours] = sums.map(|sum| sum.div_ceil(TURNS as u64));
    Counted { ours, besides }
}

#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// `(3) name`, and later `(3)`.
    fn read(&mut self, text: &str) -> String {
        let (number, name) = text.split_once(' ').unwrap_or((text, ""));
        if !name.is_empty() {
            self.0.insert(number.to_owned(), name.to_owned());
        }
        self.0.get(number).cloned().unwrap_or_default()
    }
}
