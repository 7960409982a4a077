//! The two bits of a permission.
//!
//! `write` in a permission or a rule grants both bits, as most practice systems mean it; `write-only` is the second bit
//! alone. What a *method* needs is one bit: GET needs read, POST needs write and nothing more.

use std::fmt;

/// What may be done, or what is needed: none, read, write or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Access(u8);

impl Access {
    pub const NONE: Self = Self(0);
    pub const READ: Self = Self(1);
    /// The write bit alone, `write-only` in a permission: what a POST needs.
    pub const WRITE_ONLY: Self = Self(2);
    /// Both bits, `write` in a permission.
    pub const READ_WRITE: Self = Self(3);

    /// Reads the name a permission is written with: `none`, `read`, `write` or `write-only`.
    pub fn from_permission(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::NONE),
            "read" => Some(Self::READ),
            "write" => Some(Self::READ_WRITE),
            "write-only" => Some(Self::WRITE_ONLY),
            _ => None,
        }
    }

    /// Reads the name a rule's need is written with: `read`, or `write` for the write bit alone.
    pub fn from_need(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Self::READ),
            "write" => Some(Self::WRITE_ONLY),
            _ => None,
        }
    }

    /// The name of a permission with these bits.
    pub fn permission(self) -> &'static str {
        match self.0 {
            0 => "none",
            1 => "read",
            2 => "write-only",
            _ => "write",
        }
    }

    /// The name of a need with these bits: a need of the write bit is `write`.
    pub fn need(self) -> &'static str {
        match self.0 {
            0 => "none",
            1 => "read",
            2 => "write",
            _ => "read and write",
        }
    }

    /// Whether every bit of `needed` is among these.
    pub fn covers(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }

    /// The bits that are in both.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Shows the bits as a permission.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.permission())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_as_a_permission_reads_too_and_write_only_does_not() {
        let write = Access::from_permission("write").unwrap();
        let write_only = Access::from_permission("write-only").unwrap();
        assert!(write.covers(Access::READ) && write.covers(Access::WRITE_ONLY));
        assert!(!write_only.covers(Access::READ) && write_only.covers(Access::WRITE_ONLY));
        assert!(!Access::READ.covers(Access::WRITE_ONLY));
        assert!(Access::NONE.covers(Access::NONE));
    }

    #[test]
    fn a_need_of_write_is_the_write_bit_alone() {
        assert!(Access::WRITE_ONLY.covers(Access::from_need("write").unwrap()));
    }

    #[test]
    fn both_and_union_are_those_of_the_bits() {
        let all = [Access::NONE, Access::READ, Access::WRITE_ONLY, Access::READ_WRITE];
        let bits = [Access::READ, Access::WRITE_ONLY];
        for (one, other) in all.iter().flat_map(|one| all.map(|other| (*one, other))) {
            for bit in bits {
                let (in_one, in_other) = (one.covers(bit), other.covers(bit));
                assert_eq!(one.both(other).covers(bit), in_one && in_other, "{one} {other}");
                assert_eq!(one.union(other).covers(bit), in_one || in_other, "{one} {other}");
            }
        }
    }

    #[test]
    fn permission_names_round_trip() {
        for name in ["none", "read", "write", "write-only"] {
            assert_eq!(Access::from_permission(name).unwrap().permission(), name);
        }
        assert_eq!(Access::from_permission("admin"), None);
    }
}
