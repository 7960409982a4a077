//! The `traceparent` of W3C Trace Context: read strictly, made where there is none.

use crate::model::hex;

/// A `traceparent` value of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent([u8; Self::LEN]);

impl TraceParent {
    /// `00-` trace id `-` parent id `-` flags.
    pub const LEN: usize = 55;

    /// Takes a valid value of version 00 as it is; anything else is no trace.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text: [u8; Self::LEN] = value.try_into().ok()?;
        let dashes = text[2] == b'-' && text[35] == b'-' && text[52] == b'-';
        let (trace, parent, flags) = (&text[3..35], &text[36..52], &text[53..55]);
        let lower_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let some = |part: &[u8]| part.iter().any(|b| *b != b'0');
        let valid = text.starts_with(b"00")
            && dashes
            && [trace, parent, flags].into_iter().all(lower_hex)
            && some(trace)
            && some(parent);
        valid.then_some(Self(text))
    }

    /// Begins a trace from random bits, not sampled: whoever wants it sampled sends one.
    pub fn begin(trace: u128, parent: u64) -> Self {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(&hex::digits(trace.max(1)));
        text[36..52].copy_from_slice(&hex::digits(u128::from(parent.max(1)))[16..]);
        Self(text)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_value_is_kept_byte_for_byte() {
        assert_eq!(TraceParent::parse(VALID.as_bytes()).unwrap().as_bytes(), VALID.as_bytes());
    }

    #[test]
    fn anything_else_is_no_trace() {
        let zero_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let zero_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let upper = VALID.to_uppercase();
        let longer = format!("{VALID}-x");
        let other_version = VALID.replacen("00", "ff", 1);
        for bad in ["", zero_trace, zero_parent, &upper, &longer, &other_version] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_trace_that_was_begun_is_valid() {
        for (trace, parent) in [(0, 0), (u128::MAX, u64::MAX), (7, 9)] {
            let begun = TraceParent::begin(trace, parent);
            assert_eq!(TraceParent::parse(begun.as_bytes()), Some(begun));
        }
    }
}
