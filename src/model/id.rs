//! Names and numbers that are not interchangeable.

use std::fmt;

use crate::model::hex;

/// An API of the running configuration, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApiId(pub usize);

/// An upstream of the running configuration, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId(pub usize);

/// The name of one request, made here and never taken from the caller: 128 bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u128);

impl RequestId {
    pub const LEN: usize = 32;

    pub fn new(bits: u128) -> Self {
        Self(bits)
    }

    pub fn bits(self) -> u128 {
        self.0
    }

    /// The digits, without an allocation.
    pub fn digits(self) -> [u8; Self::LEN] {
        hex::digits(self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_display() {
        let id = RequestId::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(id.digits(), id.to_string().as_bytes());
        assert_eq!(RequestId::new(1).to_string().len(), RequestId::LEN);
    }
}
