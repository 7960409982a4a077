//! Hexadecimal digits, read and written; single bytes and numbers without an allocation.

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// What a digit stands for, in either case.
pub(crate) fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The byte that two digits stand for.
pub(crate) fn byte(high: u8, low: u8) -> Option<u8> {
    Some(value(high)? << 4 | value(low)?)
}

/// The lower-case digits of a 128-bit number. Every request has some, so eight are made at a time.
pub(crate) fn digits(bits: u128) -> [u8; 32] {
    let mut text = [0; 32];
    let (eights, _) = text.as_chunks_mut::<8>();
    let fours = bits.to_be_bytes();
    let (fours, _) = fours.as_chunks::<4>();
    for (eight, four) in eights.iter_mut().zip(fours) {
        *eight = digits_of(u32::from_be_bytes(*four)).to_be_bytes();
    }
    text
}

/// Each in its byte, the first one highest.
fn digits_of(bits: u32) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let bits = u64::from(bits);
    let bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    let bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    let bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // Six more make a sixteenth of what is ten and above.
    let letters = (bits + 6 * ONES) >> 4 & ONES;
    bits + u64::from(b'0') * ONES + letters * u64::from(b'a' - b'0' - 10)
}

/// A percent triplet in the case that RFC 3986 prefers, such as `%C3`.
pub(crate) fn percent_encoded(byte: u8) -> [u8; 3] {
    let [high, low] = pair_of(UPPER, byte);
    [b'%', high, low]
}

/// The lower-case digits of bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| pair_of(LOWER, *byte)).map(char::from).collect()
}

/// The bytes that digits of either case stand for.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if rest.is_empty() { pairs.iter().map(|[high, low]| byte(*high, *low)).collect() } else { None }
}

fn pair_of(digits: &[u8; 16], byte: u8) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_library() {
        let mut bits = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128;
        for _ in 0..1000 {
            assert_eq!(digits(bits), format!("{bits:032x}").as_bytes());
            bits = bits.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        }
        assert_eq!(digits(0), [b'0'; 32]);
        assert_eq!(digits(u128::MAX), [b'f'; 32]);
    }

    #[test]
    fn every_byte_is_written_and_read_back() {
        for expected in 0..=u8::MAX {
            let [percent, high, low] = percent_encoded(expected);
            assert_eq!((percent, byte(high, low)), (b'%', Some(expected)));
            assert_eq!(byte(high.to_ascii_lowercase(), low), Some(expected));
            assert_eq!(percent_encoded(expected), format!("%{expected:02X}").as_bytes());
        }
        assert_eq!(digits(0xAB), format!("{:032x}", 0xAB).as_bytes());
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
        assert_eq!((decode("0"), decode("0g"), decode("")), (None, None, Some(Vec::new())));
    }

    #[test]
    fn what_is_no_digit_has_no_value() {
        for digit in [b'g', b'G', b'/', b':', b'@', b'`', b' ', 0xff] {
            assert_eq!(value(digit), None, "{digit}");
        }
    }
}
