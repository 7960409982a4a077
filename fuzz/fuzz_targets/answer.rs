//! Any bytes as an upstream's answer, cut anywhere: no panic, and the same answer wherever it is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::proxy::upstream::read as read_answer;

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>)| {
    let (is_head, cuts, bytes) = input;
    let whole = read_answer(&[&bytes], is_head);
    let (mut pieces, mut rest) = (Vec::new(), bytes.as_slice());
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(read_answer(&pieces, is_head), whole);
});
