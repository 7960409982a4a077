//! Uploads that do not come to their end: none is taken for a whole one, and no answer to one is lost.

use std::time::Duration;

use super::support::fixture::credentials;
use super::support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, RawHttp2, block, frame, good_fields,
    headers_frame,
};
use super::support::upstream::ok;
use super::support::{Gateway, Then, Upstream, eventually};

fn begin_upload(gateway: &Gateway, upstream: &Upstream) -> RawHttp2 {
    let mut raw = RawHttp2::to(gateway.address);
    let mut fields = good_fields("/v1/appointments");
    fields[0].1 = "POST".to_owned();
    raw.send(&headers_frame(1, END_HEADERS, &fields));
    eventually("the request upstream", || upstream.count() == 1);
    raw
}

#[test]
fn an_http2_upload_that_was_reset_is_never_whole() {
    // NO_ERROR, INTERNAL_ERROR, CANCEL.
    for reason in [0, 2, 8] {
        let upstream = Upstream::ok();
        let gateway = Gateway::over(&upstream).start();
        let mut raw = begin_upload(&gateway, &upstream);
        let mut bytes = frame(DATA, 0, 1, &[b'x'; 500]);
        bytes.extend(frame(RST_STREAM, 0, 1, &[0, 0, 0, reason]));
        raw.send(&bytes);
        eventually("the upstream to be let go", || upstream.open() == 0);
        assert!(upstream.take().iter().all(|seen| !seen.complete), "reason {reason}");
    }
}

#[test]
fn an_http2_upload_of_unknown_length_is_whole_at_its_end() {
    let last = [frame(DATA, END_STREAM, 1, b""), {
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[("x-sum", "1")]))
    }];
    for last in last {
        let upstream = Upstream::ok();
        let gateway = Gateway::over(&upstream).start();
        let mut raw = begin_upload(&gateway, &upstream);
        raw.send(&frame(DATA, 0, 1, &[b'x'; 500]));
        raw.send(&last);
        assert_eq!(raw.outcome(1).map(|frame| frame.status()), Some(200));
        let seen = upstream.only();
        assert_eq!((seen.complete, seen.body_bytes), (true, 500));
    }
}
