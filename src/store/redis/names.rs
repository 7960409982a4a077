//! What lies in Redis, and under which names.
//!
//! # The layout
//!
//! Every name begins with the hash tag `{postern}`, so in a cluster all of it is in one slot, on one primary: scripts and
//! pipelines may touch several of these keys at once, and one connection to that primary is all that a node needs.
//! Nothing of it has a time to live: no `volatile-*` policy can drop any of it. What else there is: access records (see
//! `access`), and limits, below.
//!
//! | key | kind | holds |
//! | --- | --- | --- |
//! | `{postern}:meta` | hash | `version` of this layout, `position`, `change` (the id of the change that made the position), `head` (of the audit, JSON), `vault` |
//! | `{postern}:documents` | hash | document id → `POSITION JSON`: the position of the change that put it, a space, its written form |
//! | `{postern}:feed` | stream | `POSITION-0` → `id` and `change` (JSON); an empty `change` means: too big, load again. The last [`FEED_KEPT`] changes |
//! | `{postern}:audit` | stream | `SEQ-0` → `entry` (JSON). Never trimmed |
//! | `{postern}:audit:PRACTICE` | stream | `SEQ-0` of the entries of one practice, with nothing in them: an index |
//! | `{postern}:used` | hash | key id → microseconds since 1970 of its last use |
//! | `{postern}:nodes` | hash | node name → `MICROSECONDS JSON` of its last heartbeat |
//! | `{postern}:receipt:KEY` | hash | node name → when it took the revocation into effect, in microseconds; empty until then. The field without a name says that it was opened |
//!
//! # What holds
//!
//! - A change is written by one script (`commit.lua`), which Redis runs whole or not at all and logs as one transaction: the
//!   documents, the audit, the position and the entry in the feed are always of the same moment, in a replica and after a
//!   crash, too. `position` is 0 or the last id of the feed.
//! - The ids of the feed are the positions, one after the other. A reader that sees a gap, or a store that is behind what it
//!   has seen, knows at once that something is missing and loads again.
//! - A Redis can come back with less than it acknowledged (a failover before the replica had it, the lost tail of an AOF),
//!   and then be written to again. Positions alone do not tell two such histories apart, so the id of the change goes with
//!   the position: `commit.lua` refuses a change of a node that has seen another one at this position, and `news` tells
//!   such a node to load again.
//! - `version` is that of the layout. A program that finds a later one does not touch the store.
//!
//! # Limits that nodes count together
//!
//! | key | kind | holds |
//! | --- | --- | --- |
//! | `{postern:limits}:key:KEY`, `…:vendor:VENDOR`, `…:practice:PRACTICE`, `…:category:KEY:CATEGORY` | string | a bucket: `MOMENT DEBT INTERVAL FILL`, microseconds since 1970 by the clock of Redis, and nanoseconds. Goes a second after it is full |
//! | `{postern:limits}:day:KEY` | string | `DAY REQUESTS BYTES`: what was used of a UTC day, counted since 1970. Goes an hour after that day |
//! | `{postern:limits}:running:KEY` | sorted set | requests that run, by the end of their leases in microseconds. Goes a second after the last of them |
//! | `{postern:limits}:probe` | string | a node that was away wrote it, to see whether it may write. Goes after a minute |
//!
//! All of it shares a hash tag of its own, so in a cluster all limits of all keys are on one primary, perhaps another one than
//! the registry. One request is held against limits of its key, its vendor and its practice at once, and takes from all or
//! from none: only a script can do that, and a script sees one slot. The cost is that limits do not spread over a cluster:
//! they are as fast as one Redis is (some ten thousands of requests a second), and while its primary is away every node
//! counts alone. Spreading them by key would take the vendor's and the practice's limits out of the decision.
//!
//! Everything here has a time to live, so it never grows without end and a `volatile-*` policy may drop it: a node tells what
//! it believes with each question, so little is forgotten.

use crate::model::{KeyId, PracticeId};

/// Of this layout.
pub(super) const VERSION: &str = "1";

/// So many changes a node may be behind before it has to load everything. A change is some two KiB: ten MiB at most, as a rule.
pub(super) const FEED_KEPT: usize = 4_096;

pub(super) const META: &str = "{postern}:meta";
pub(super) const DOCUMENTS: &str = "{postern}:documents";
pub(super) const FEED: &str = "{postern}:feed";
pub(super) const AUDIT: &str = "{postern}:audit";
pub(super) const USED: &str = "{postern}:used";
pub(super) const NODES: &str = "{postern}:nodes";

/// What every name of a limit begins with.
pub(super) const LIMITS: &str = "{postern:limits}:";
pub(super) const LIMITS_PROBE: &str = "{postern:limits}:probe";

pub(super) fn audit_of(practice: &PracticeId) -> String {
    format!("{AUDIT}:{practice}")
}

pub(super) fn receipt(key: KeyId) -> String {
    format!("{{postern}}:receipt:{key}")
}
