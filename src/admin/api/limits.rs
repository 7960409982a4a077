//! What is left of the limits of a key, of a vendor and of a practice. Looking takes nothing.

use crate::admin::access::Right;
use crate::admin::endpoint::{Answer, Call, Endpoint, Reply};
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::admin::state::Limited;

static ITEM: Shape = Shape {
    name: "LimitLeft",
    fields: &[
        ("limit", Out::Text, "`key`, `category:files`, `daily_requests`, `concurrent`, …"),
        ("allowed", Out::Text, "`600/min`, `30000/d`, `64 at once`"),
        ("burst", Out::Sometimes(&Out::Whole), "The most at once, of a rate."),
        ("remaining", Out::Whole, "How much of it is left now."),
        (
            "full_in_s",
            Out::Sometimes(&Out::Whole),
            "Of a rate: seconds until all of it is there again, if nothing is asked.",
        ),
        ("resets_in_s", Out::Sometimes(&Out::Whole), "Of a quota: seconds until its day is over."),
    ],
};
static OVERVIEW: Shape = Shape {
    name: "LimitsLeft",
    fields: &[
        (
            "mode",
            Out::Choice(&["enforce", "observe"]),
            "Whether what is over a limit is refused, or only recorded.",
        ),
        ("items", Out::List(&Out::Of(&ITEM)), "The tightest first; empty where none holds."),
    ],
};

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/keys/{key}/limits",
        right: Right::See,
        about: "What is left of every limit that could hold for a key; of a vendor's, where it is bound to one.",
        answer: Answer::Object(&OVERVIEW),
        handle: |call| Box::pin(of_key(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: "/practices/{practice}/limits",
        right: Right::See,
        about: "What is left of the limit that all keys of a practice share.",
        answer: Answer::Object(&OVERVIEW),
        handle: |call| Box::pin(of_practice(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: "/vendors/{vendor}/limits",
        right: Right::SeeAll,
        about: "What is left of the limit of a vendor, in all practices.",
        answer: Answer::Object(&OVERVIEW),
        handle: |call| Box::pin(of_vendor(call)),
        ..Endpoint::USUAL
    },
];

async fn of_key(call: Call) -> Result<Reply, Problem> {
    let id = call.key()?;
    show(&call, Limited::Key(id)).await
}

async fn of_practice(call: Call) -> Result<Reply, Problem> {
    let id = call.practice()?.clone();
    show(&call, Limited::Practice(id)).await
}

async fn of_vendor(call: Call) -> Result<Reply, Problem> {
    let id = call.vendor()?.clone();
    if call.desk.registry().read(|records| records.vendor(&id).is_none()) {
        return Err(Problem::unknown("vendor", id.as_str()));
    }
    show(&call, Limited::Vendor(id)).await
}

async fn show(call: &Call, limited: Limited) -> Result<Reply, Problem> {
    let overview = (call.desk.state.limits)(limited).await;
    let overview = overview.ok_or_else(|| Problem::internal(&"nobody looks at limits any more"))?;
    let body = serde_json::to_value(&overview).map_err(|broken| Problem::internal(&broken))?;
    Ok(Reply::ok(body))
}
