//! Names that many documents repeat, kept once and known by a small number.
//!
//! A practice's or a vendor's number is also its place in the view. Numbers are given once and never taken back, so
//! that they mean the same in every view of the process; what is lost by it is a name that nobody uses any more.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Permissions, PracticeId, Username, VendorId};

/// Distinct values by number.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Table<T> {
    numbers: BTreeMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), values: Vec::new() }
    }
}

impl<T: Ord + Clone> Table<T> {
    pub(in crate::registry) fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = to_number(self.values.len());
        self.numbers.insert(value.clone(), number);
        self.values.push(value.clone());
        number
    }

    pub(in crate::registry) fn find<Q: Ord + ?Sized>(&self, value: &Q) -> Option<u32>
    where
        T: Borrow<Q>,
    {
        self.numbers.get(value).copied()
    }

    pub(in crate::registry) fn value(&self, number: u32) -> Option<&T> {
        self.values.get(to_index(number))
    }
}

#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct Names {
    pub(in crate::registry) practices: Table<PracticeId>,
    pub(in crate::registry) vendors: Table<VendorId>,
    /// Owners of keys and those who made them.
    pub(in crate::registry) people: Table<Username>,
    pub(in crate::registry) apis: Table<Arc<str>>,
    pub(in crate::registry) permissions: Table<Permissions>,
}

/// Memory ends long before the numbers do.
pub(in crate::registry) fn to_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

pub(in crate::registry) fn to_index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
