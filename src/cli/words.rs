//! The words in which several commands say the same things.

use crate::model::{Access, Method};
use crate::policy::diff::NamedNeed;

/// `1 route`, `2 routes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

pub(super) fn methods(methods: &[Method]) -> String {
    methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(" ")
}

/// `patient:read clinical:read`.
pub(super) fn shown(needs: &[NamedNeed]) -> String {
    let one = |(name, access): &NamedNeed| match *access {
        Access::READ_WRITE => format!("{name}:read {name}:write"),
        one => format!("{name}:{}", one.need()),
    };
    needs.iter().map(one).collect::<Vec<_>>().join(" ")
}
