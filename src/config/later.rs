//! The parts of the contract whose features are not built yet. Their fields are known, their values are held against
//! their form, and each is refused with a remedy: nothing that is written is ever without effect.

use crate::config::format;
use crate::config::shape::{Field, Format, Record, Shape};
use crate::config::value;

const NO_LIMITS: &str = "leave it out: rate limits are not part of this version";

static RATE: Format = Format {
    expected: "a rate such as 600/min",
    check: |text| value::rate(text).map(drop),
    pattern: Some("^[0-9]+/[0-9]*(s|min|h|d)$"),
};

static LIMIT: Record = Record {
    name: "a limit",
    fields: &[
        Field::new("rate", Shape::Format(&RATE), "How many requests in how long.")
            .required("rate: 600/min"),
        Field::new("burst", Shape::Count { least: 1, most: 1_000_000_000 }, "How many at once."),
    ],
};

static QUOTA: Record = Record {
    name: "`daily_quota`",
    fields: &[
        Field::new(
            "requests",
            Shape::Count { least: 1, most: 1_000_000_000_000 },
            "Requests a day.",
        ),
        Field::new("bytes", Shape::Size { least: "1B", most: "1024TiB" }, "Bytes a day."),
    ],
};

pub(super) static LIMITS: Record = Record {
    name: "`limits`",
    fields: &[
        Field::new(
            "mode",
            Shape::Choice { ready: &["enforce", "observe"], later: &[] },
            "Whether limits refuse or only record.",
        )
        .later(NO_LIMITS),
        Field::new("key", Shape::Record(&LIMIT), "Per key.").later(NO_LIMITS),
        Field::new("vendor", Shape::Record(&LIMIT), "Per vendor.").later(NO_LIMITS),
        Field::new("practice", Shape::Record(&LIMIT), "Per practice.").later(NO_LIMITS),
        Field::new(
            "category",
            Shape::FilledMap(&format::NAME, &Shape::Record(&LIMIT)),
            "Per key within a category.",
        )
        .later(NO_LIMITS),
        Field::new("daily_quota", Shape::Record(&QUOTA), "Per key and UTC day.").later(NO_LIMITS),
        Field::new("failed_auth_per_ip", Shape::Record(&LIMIT), "Failed attempts per address.")
            .later(NO_LIMITS),
        Field::new(
            "max_concurrent_per_key",
            Shape::Count { least: 1, most: 1_000_000 },
            "Requests of a key at once.",
        )
        .later(NO_LIMITS),
        Field::new(
            "store_down",
            Shape::Choice { ready: &["local", "deny"], later: &[] },
            "What holds while the shared store is away.",
        )
        .later(NO_LIMITS),
    ],
};
