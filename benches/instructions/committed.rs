//! The figures that are committed, and what is said of those that differ.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, ExitCode};

use crate::counting::Counted;
use crate::stages::STAGES;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const COMPARED: &str = "x86_64";
/// In per cent of what is committed.
const MOST: u64 = 110;
const LEAST: u64 = 90;

pub(crate) struct Committed {
    made_with: String,
    counts: BTreeMap<String, u64>,
}

impl Committed {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(FILE).unwrap_or_default();
        let counts = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, count) = line.split_once(' ').unwrap();
            (name.to_owned(), count.trim().parse().unwrap())
        });
        let made_with = text.lines().find_map(|line| line.strip_prefix(MADE_WITH));
        Self { counts: counts.collect(), made_with: made_with.unwrap_or_default().to_owned() }
    }

    pub(crate) fn verdict(self) -> Verdict {
        let is_stage = |name: &str| STAGES.iter().any(|stage| stage.name == name);
        let gone = self.counts.keys().filter(|name| !is_stage(name));
        let faults = gone.map(|name| format!("{name}: is committed and is no stage")).collect();
        Verdict { committed: self, faults, better: Vec::new() }
    }
}

const MADE_WITH: &str = "# Made with ";

pub(crate) fn write(counts: impl Iterator<Item = (&'static str, u64)>) {
    assert_eq!(ARCH, COMPARED, "the figures that are committed are those of {COMPARED}");
    let mut text = format!(
        "# Instructions of one turn of each stage: benches/instructions.rs writes this file with `--accept`.\n{MADE_WITH}{}\n",
        made_with()
    );
    for (name, count) in counts {
        writeln!(text, "{name:<16} {count:>6}").unwrap();
    }
    fs::write(FILE, &text).unwrap();
    println!("{text}");
}

/// What a count depends on beside the source.
fn made_with() -> String {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        output.map_or_else(
            |_| format!("no {program}"),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    format!("{}; {}; {ARCH}", version("rustc"), version("valgrind"))
}

pub(crate) struct Verdict {
    committed: Committed,
    faults: Vec<String>,
    better: Vec<String>,
}

impl Verdict {
    pub(crate) fn line(&mut self, name: &str, counted: Counted) -> String {
        let Counted { ours, besides } = counted;
        let Some(&before) = self.committed.counts.get(name) else {
            self.faults.push(format!("{name}: no figure is committed"));
            return format!("{name:<16} {:>9} {ours:>9} {:>6} {besides:>9}", "-", "-");
        };
        let per_cent = ours * 100;
        if per_cent > before * MOST {
            self.faults.push(format!("{name}: {ours} instructions, {before} before"));
        } else if per_cent < before * LEAST {
            self.better.push(format!("{name}: {ours} instructions, {before} before"));
        }
        // In hundredths, so that there is nothing to round twice.
        let ratio = (per_cent + before / 2) / before;
        let ratio = format!("{}.{:02}", ratio / 100, ratio % 100);
        format!("{name:<16} {before:>9} {ours:>9} {ratio:>6} {besides:>9}")
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for better in &self.better {
            writeln!(text, "better by more than a tenth: {better}; commit it with `-- --accept`")
                .unwrap();
        }
        for fault in &self.faults {
            writeln!(text, "FAILED: {fault}").unwrap();
        }
        let now = made_with();
        if !self.faults.is_empty() && now != self.committed.made_with {
            writeln!(
                text,
                "committed figures: {}\nthese figures:     {now}",
                self.committed.made_with
            )
            .unwrap();
        }
        if ARCH != COMPARED {
            writeln!(text, "shown only: the committed figures are of {COMPARED}, this is {ARCH}")
                .unwrap();
        }
        let outcome = if self.faults.is_empty() {
            "none"
        } else {
            "see above; wanted ones are committed with `-- --accept`"
        };
        write!(text, "more than a tenth above what is committed: {outcome}").unwrap();
        text
    }

    pub(crate) fn code(&self) -> ExitCode {
        if self.faults.is_empty() || ARCH != COMPARED {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
