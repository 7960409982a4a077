//! What is kept of one request: who asked for what, what was decided, and how it ended.
//!
//! A record has two halves. Its [`Opening`] is known before the first byte goes to the upstream; its [`Outcome`] at the end
//! of the answer. Neither has a query value, a body, a header or a secret in it: there is no field for one.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::model::id::RequestId;
use crate::model::time::Timestamp;

/// A text of a record: borrowed from the request or from the bytes it was read from.
pub type Text<'a> = Cow<'a, str>;

/// One writer's own line of records: a worker of one start of one node. Never used again, so that no record is ever taken
/// for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u64);

/// Which record it is, everywhere and for good. Within a lane they are counted from 1 without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    pub lane: LaneId,
    pub seq: u64,
}

/// What is known of a request when it was decided about. Texts that do not apply are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    pub ts: Timestamp,
    pub request_id: RequestId,
    pub practice: Text<'a>,
    /// The public id of the subscriber key.
    pub key: Text<'a>,
    pub vendor: Text<'a>,
    /// The username of the key's owner.
    pub owner: Text<'a>,
    pub api: Text<'a>,
    pub method: Text<'a>,
    /// The pattern of the rule that decided.
    pub route: Text<'a>,
    /// The same, or the path as it was called, by the configuration; secrets that were put into it are cut out.
    pub path: Text<'a>,
    /// The scopes that were needed, with spaces.
    pub category: Text<'a>,
    /// What was needed on them: `read`, `write`, `read write`.
    pub access: Text<'a>,
    pub ip: IpAddr,
    pub user_agent: Text<'a>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    pub decision: Decision,
    /// Why it was refused, or what went wrong although it was allowed; else empty.
    pub code: Text<'a>,
    /// Of the answer; 0 where there was none.
    pub status: u16,
    /// Of the bodies, in bytes.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration_us: u64,
    /// From the first byte sent to the upstream to the head of its answer.
    pub upstream_us: Option<u64>,
    /// How many requests it stands for: more than 1 only where refusals of a stranger were summed.
    pub count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    Allow,
    Deny,
    /// Allowed, and would have been refused if limits were enforced.
    Observe,
}

/// A whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord<'a> {
    pub id: RecordId,
    /// The name of the node that served it.
    pub node: Text<'a>,
    pub opening: Opening<'a>,
    pub outcome: Outcome<'a>,
}

impl Outcome<'_> {
    /// The gateway died between forwarding and the end of the answer.
    pub const INTERRUPTED: &'static str = "interrupted";
    /// The key or its vendor lost its standing after the answer had begun, and the answer was cut.
    pub const STANDING_LOST: &'static str = "standing_lost";
    /// The caller went away before the end of the answer.
    pub const CLIENT_GONE: &'static str = "client_gone";
}

impl Decision {
    pub const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Observe];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Observe => "observe",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decision| decision.name() == name)
    }
}

impl AccessRecord<'_> {
    /// The names of the fields, in the order of contract.md, section 7; `count` stands where it is more than 1.
    pub const FIELDS: [&'static str; 23] = [
        "id",
        "ts",
        "node",
        "request_id",
        "practice",
        "key",
        "vendor",
        "owner",
        "api",
        "method",
        "route",
        "path",
        "category",
        "access",
        "decision",
        "code",
        "status",
        "bytes_in",
        "bytes_out",
        "duration_us",
        "upstream_us",
        "ip",
        "user_agent",
    ];

    pub fn into_owned(self) -> AccessRecord<'static> {
        let own = |text: Text<'_>| Cow::Owned(text.into_owned());
        let Self { id, node, opening, outcome } = self;
        AccessRecord {
            id,
            node: own(node),
            opening: Opening {
                ts: opening.ts,
                request_id: opening.request_id,
                practice: own(opening.practice),
                key: own(opening.key),
                vendor: own(opening.vendor),
                owner: own(opening.owner),
                api: own(opening.api),
                method: own(opening.method),
                route: own(opening.route),
                path: own(opening.path),
                category: own(opening.category),
                access: own(opening.access),
                ip: opening.ip,
                user_agent: own(opening.user_agent),
            },
            outcome: Outcome {
                decision: outcome.decision,
                code: own(outcome.code),
                status: outcome.status,
                bytes_in: outcome.bytes_in,
                bytes_out: outcome.bytes_out,
                duration_us: outcome.duration_us,
                upstream_us: outcome.upstream_us,
                count: outcome.count,
            },
        }
    }
}

/// `00c0ffee00c0ffee-17`.
impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.lane, self.seq)
    }
}

impl RecordId {
    pub fn parse(text: &str) -> Option<Self> {
        let (lane, seq) = text.split_once('-')?;
        let is_number = !seq.is_empty() && seq.bytes().all(|digit| digit.is_ascii_digit());
        let seq = seq.parse().ok().filter(|_| is_number)?;
        Some(Self { lane: LaneId::parse(lane)?, seq })
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl LaneId {
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 16
            && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(text, 16).ok().filter(|_| is_hex).map(Self)
    }
}

/// As a JSON object with the fields of contract.md; numbers are numbers, `upstream_us` may be null.
impl Serialize for AccessRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { id, node, opening, outcome } = self;
        let summed = outcome.count > 1;
        let length = Self::FIELDS.len() + usize::from(summed);
        let mut object = serializer.serialize_struct("AccessRecord", length)?;
        object.serialize_field("id", &format_args!("{id}"))?;
        object.serialize_field("ts", &opening.ts)?;
        object.serialize_field("node", node)?;
        object.serialize_field("request_id", &format_args!("{}", opening.request_id))?;
        object.serialize_field("practice", &opening.practice)?;
        object.serialize_field("key", &opening.key)?;
        object.serialize_field("vendor", &opening.vendor)?;
        object.serialize_field("owner", &opening.owner)?;
        object.serialize_field("api", &opening.api)?;
        object.serialize_field("method", &opening.method)?;
        object.serialize_field("route", &opening.route)?;
        object.serialize_field("path", &opening.path)?;
        object.serialize_field("category", &opening.category)?;
        object.serialize_field("access", &opening.access)?;
        object.serialize_field("decision", outcome.decision.name())?;
        object.serialize_field("code", &outcome.code)?;
        object.serialize_field("status", &outcome.status)?;
        object.serialize_field("bytes_in", &outcome.bytes_in)?;
        object.serialize_field("bytes_out", &outcome.bytes_out)?;
        object.serialize_field("duration_us", &outcome.duration_us)?;
        object.serialize_field("upstream_us", &outcome.upstream_us)?;
        object.serialize_field("ip", &opening.ip)?;
        object.serialize_field("user_agent", &opening.user_agent)?;
        if summed {
            object.serialize_field("count", &outcome.count)?;
        }
        object.end()
    }
}

#[cfg(test)]
pub(in crate::model) mod tests {
    use super::*;

    /// Of a request that was allowed.
    pub(in crate::model) fn record(status: u16, duration_us: u64) -> AccessRecord<'static> {
        let none = || Text::Borrowed("");
        AccessRecord {
            id: RecordId { lane: LaneId(1), seq: 1 },
            node: none(),
            opening: Opening {
                ts: Timestamp::from_micros(0),
                request_id: RequestId::new(1),
                practice: none(),
                key: none(),
                vendor: none(),
                owner: none(),
                api: none(),
                method: none(),
                route: none(),
                path: none(),
                category: none(),
                access: none(),
                ip: IpAddr::from([127, 0, 0, 1]),
                user_agent: none(),
            },
            outcome: Outcome {
                decision: Decision::Allow,
                code: none(),
                status,
                bytes_in: 0,
                bytes_out: 0,
                duration_us,
                upstream_us: None,
                count: 1,
            },
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = RecordId { lane: LaneId(0xc0ffee), seq: 17 };
        assert_eq!(id.to_string(), "0000000000c0ffee-17");
        assert_eq!(RecordId::parse("0000000000c0ffee-17"), Some(id));
        for bad in
            ["", "-", "c0ffee-17", "0000000000c0ffee-", "0000000000C0FFEE-1", "0000000000c0ffee-+1"]
        {
            assert_eq!(RecordId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn decisions_are_read_as_they_are_written() {
        for decision in Decision::ALL {
            assert_eq!(Decision::from_name(decision.name()), Some(decision));
        }
        assert_eq!(Decision::from_name("Allow"), None);
    }
}
