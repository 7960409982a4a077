//! Names in the paths of `Location` headers.

use crate::model::hex;

/// A name as one segment of a path: what RFC 3986 reserves is escaped.
pub(super) fn segment(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            path.extend(hex::percent_encoded(byte).map(char::from));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_no_escape_has_none() {
        assert_eq!(segment("dr-lee_1.x~"), "dr-lee_1.x~");
        assert_eq!(segment("O'Hara@clinic?#%"), "O%27Hara%40clinic%3F%23%25");
    }
}
