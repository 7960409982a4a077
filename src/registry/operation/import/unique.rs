//! Lines against each other: what two of them would both make.

use std::collections::HashMap;

use crate::registry::operation::import::Numbered;
use crate::registry::operation::import::line::Line;
use crate::registry::operation::import::told::Gathered;

/// A fault for every line that makes again what an earlier one makes.
pub(super) fn repeated(lines: &[Numbered], faults: &mut Gathered) {
    let mut first = HashMap::new();
    let mut keys = HashMap::new();
    for Numbered { number, line, digest, .. } in lines {
        let name = match line {
            Line::Practice(line) => Some(format!("practice `{}`", line.id)),
            Line::User(line) => {
                Some(format!("user `{}` of practice `{}`", line.username, line.practice))
            }
            Line::Vendor(line) => Some(format!("vendor `{}`", line.id)),
            Line::VendorKey(_) | Line::Key(_) => None,
        };
        if let Some(name) = name {
            let before = *first.entry(name.clone()).or_insert(*number);
            if before != *number {
                faults.add(*number, &format!("the {name} stands in line {before} already"));
            }
        }
        if let Some(digest) = digest {
            let before = *keys.entry(digest).or_insert(*number);
            if before != *number {
                faults.add(*number, &format!("this key is line {before}'s"));
            }
        }
    }
}
