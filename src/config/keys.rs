//! `keys`: how keys are issued, how long they live, and where the two secrets lie that no store has.

use std::path::PathBuf;

use crate::config::KeyRules;
use crate::config::fault::Fault;
use crate::config::format;
use crate::config::read::{Reader, View};
use crate::config::shape::{Field, Record, Shape};
use crate::config::value;
use crate::model::Lifetimes;

const AGE: Shape = Shape::WordOr(&["off"], &Shape::Duration { least: "1s", most: "36500d" });

pub(super) static KEYS: Record = Record {
    name: "`keys`",
    fields: &[
        // Nothing: whoever makes a key says what it is for.
        Field::new(
            "default_access",
            Shape::Choice { ready: &["none", "read"], later: &[] },
            "What a new key gets where nothing is chosen.",
        )
        .default("none"),
        Field::new(
            "reveal",
            Shape::Choice { ready: &["once", "always"], later: &[] },
            "Whether a key can be shown again: always keeps it sealed, and audits every view.",
        )
        .default("once"),
        Field::new("idle_expiry", AGE, "After how long without use a key expires.").default("off"),
        Field::new("max_age", AGE, "How long a key lives.").default("off"),
        Field::new("rotate_after", AGE, "When the console starts to remind.").default("90d"),
        Field::new(
            "secrets",
            Shape::Format(&format::FILE),
            "The directory of the pepper and the sealing key; made at the first start, never in the store.",
        )
        .default("secrets"),
        Field::new(
            "hashing",
            Shape::Record(&HASHING),
            "The cost of argon2id for machine-made keys; others always get a higher one.",
        ),
    ],
};

static HASHING: Record = Record {
    name: "`hashing`",
    fields: &[
        // A key of 256 random bits gains nothing from a slow hash, and a restart under load pays it for every busy key.
        Field::new(
            "memory",
            Shape::Size { least: "8KiB", most: "1GiB" },
            "Memory of one verification.",
        )
        .default("64KiB"),
        Field::new("passes", Shape::Count { least: 1, most: 100 }, "Passes over that memory.")
            .default("1"),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, view: View<'_>) -> KeyRules {
    let hashing = View::of(view.get("hashing"), &HASHING);
    let memory = hashing.size("memory");
    if let Some(node) = hashing.get("memory").filter(|_| !memory.is_multiple_of(1024)) {
        let message = "`keys.hashing.memory` is not a whole number of KiB";
        let hint = format!("did you mean {}KiB?", memory.div_ceil(1024));
        reader.fault(Fault::new(node.place.clone(), message).hint(hint));
    }
    // `off` is no duration, and so none.
    let span = |field: &str| view.text(field).and_then(|text| value::duration(text).ok());
    let lifetimes = Lifetimes {
        idle_expiry: span("idle_expiry"),
        max_age: span("max_age"),
        rotate_after: span("rotate_after"),
    };
    KeyRules {
        read_by_default: view.text("default_access") == Some("read"),
        reveal: view.text("reveal") == Some("always"),
        lifetimes,
        secrets: directory(reader, view),
        hash_memory_kib: u32::try_from(memory / 1024).unwrap_or(u32::MAX),
        hash_passes: hashing.count("passes"),
    }
}

fn directory(reader: &Reader<'_>, view: View<'_>) -> PathBuf {
    reader.resolve(view.text("secrets").filter(|path| !path.is_empty()).unwrap_or("secrets"))
}
