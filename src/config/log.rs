//! `log`: how access records are kept, until the store has them and after.

use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::shape::{Field, Record, Shape};
use crate::config::{LogRules, OnFailure};

pub(super) static LOG: Record = Record {
    name: "`log`",
    fields: &[
        Field::new(
            "dir",
            Shape::Format(&format::FILE),
            "Where records wait until the store has them; on a disk of this machine.",
        )
        .default("data/journal"),
        // A page of a person's reading, and little for a disk: a hundredth of it is what the sync itself takes.
        Field::new(
            "sync",
            Shape::Duration { least: "0s", most: "1h" },
            "How often the journal is forced to disk: what a power cut can cost.",
        )
        .default("100ms"),
        // Forty million requests: the store may be away for a weekend.
        Field::new(
            "max_disk",
            Shape::Size { least: "1MiB", most: "1024TiB" },
            "The most that waiting records may take.",
        )
        .default("10GiB"),
        Field::new(
            "retention",
            Shape::Duration { least: "1h", most: "36500d" },
            "How long records are kept.",
        )
        .default("90d"),
        // A path may name a patient.
        Field::new(
            "path",
            Shape::Choice { ready: &["template", "full"], later: &[] },
            "What of a path is recorded: the pattern of its rule, or all of it.",
        )
        .default("template"),
        Field::new("query", Shape::Truth, "Whether the query is recorded with a full path.")
            .default("false"),
        Field::new(
            "on_failure",
            Shape::Choice { ready: &["deny", "serve"], later: &[] },
            "What happens to a request whose record cannot be kept.",
        )
        .default("deny"),
    ],
};

pub(super) fn read(reader: &Reader<'_>, view: View<'_>) -> LogRules {
    LogRules {
        dir: reader
            .resolve(view.text("dir").filter(|dir| !dir.is_empty()).unwrap_or("data/journal")),
        sync: view.duration("sync"),
        max_disk: view.size("max_disk"),
        retention: view.duration("retention"),
        full_path: view.text("path") == Some("full"),
        query: view.flag("query"),
        on_failure: match view.text("on_failure") {
            Some("serve") => OnFailure::Serve,
            _ => OnFailure::Deny,
        },
    }
}
