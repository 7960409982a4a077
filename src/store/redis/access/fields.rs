//! A record as fields of an entry, and back.

use std::borrow::Cow;

use crate::model::{AccessRecord, Decision, Opening, Outcome, RecordId, RequestId, Timestamp};
use crate::store::redis::access::packed::Packed;

/// Packs the values in the order of `AccessRecord::FIELDS`.
pub(super) fn pack(record: &AccessRecord<'_>, into: &mut Packed) {
    let AccessRecord { id, node, opening, outcome } = record;
    into.text(id.to_string());
    into.text(opening.ts.to_string());
    into.text(&**node);
    into.text(opening.request_id.digits());
    for text in [
        &opening.practice,
        &opening.key,
        &opening.vendor,
        &opening.owner,
        &opening.api,
        &opening.method,
        &opening.route,
        &opening.path,
        &opening.category,
        &opening.access,
    ] {
        into.text(&**text);
    }
    into.text(outcome.decision.name());
    into.text(&*outcome.code);
    into.text(outcome.status.to_string());
    for number in [outcome.bytes_in, outcome.bytes_out, outcome.duration_us] {
        into.text(number.to_string());
    }
    into.text(outcome.upstream_us.map(|micros| micros.to_string()).unwrap_or_default());
    into.text(opening.ip.to_string());
    into.text(&*opening.user_agent);
}

/// None where it is not an entry of ours.
pub(super) fn read(mut fields: Vec<(String, String)>) -> Option<AccessRecord<'static>> {
    let mut of = |name: &str| {
        let place = fields.iter().position(|(field, _)| field == name)?;
        Some(Cow::<'static, str>::Owned(std::mem::take(&mut fields.get_mut(place)?.1)))
    };
    let upstream_us = of("upstream_us")?;
    Some(AccessRecord {
        id: RecordId::parse(&of("id")?)?,
        node: of("node")?,
        opening: Opening {
            ts: Timestamp::parse(&of("ts")?)?,
            request_id: RequestId::new(u128::from_str_radix(&of("request_id")?, 16).ok()?),
            practice: of("practice")?,
            key: of("key")?,
            vendor: of("vendor")?,
            owner: of("owner")?,
            api: of("api")?,
            method: of("method")?,
            route: of("route")?,
            path: of("path")?,
            category: of("category")?,
            access: of("access")?,
            ip: of("ip")?.parse().ok()?,
            user_agent: of("user_agent")?,
        },
        outcome: Outcome {
            decision: Decision::from_name(&of("decision")?)?,
            code: of("code")?,
            status: of("status")?.parse().ok()?,
            bytes_in: of("bytes_in")?.parse().ok()?,
            bytes_out: of("bytes_out")?.parse().ok()?,
            duration_us: of("duration_us")?.parse().ok()?,
            upstream_us: if upstream_us.is_empty() {
                None
            } else {
                Some(upstream_us.parse().ok()?)
            },
            count: match of("count") {
                Some(count) => count.parse().ok()?,
                None => 1,
            },
        },
    })
}
