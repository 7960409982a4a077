//! A vector that is cheap to copy and to change a little: pages behind pointers, copied when they are written.

use std::fmt;
use std::sync::Arc;

use crate::registry::records::names::to_index;

/// Entries a page. A change copies one page (10 KiB of keys) and the table of pages (3 KiB at 100,000 keys).
pub(in crate::registry) const PAGE: usize = 256;

pub(in crate::registry) struct Pages<T>(Arc<Vec<Arc<[Option<T>]>>>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Pages<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({})", self.0.len())
    }
}

impl<T> Pages<T> {
    pub(in crate::registry) fn get(&self, number: u32) -> Option<&T> {
        let index = to_index(number);
        self.0.get(index / PAGE)?.get(index % PAGE)?.as_ref()
    }
}

impl<T: Clone> Pages<T> {
    pub(in crate::registry) fn set(&mut self, number: u32, value: Option<T>) {
        let index = to_index(number);
        let table = Arc::make_mut(&mut self.0);
        while table.len() <= index / PAGE {
            table.push((0..PAGE).map(|_| None).collect());
        }
        let page = table.get_mut(index / PAGE).map(Arc::make_mut);
        if let Some(place) = page.and_then(|page| page.get_mut(index % PAGE)) {
            *place = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::records::names::to_number;

    #[test]
    fn a_copy_stays_what_it_was_and_shares_what_did_not_change() {
        let mut pages = Pages::default();
        let far = to_number(PAGE * 3 + 1);
        pages.set(0, Some("first"));
        pages.set(far, Some("far"));
        let copy = pages.clone();
        pages.set(far, Some("changed"));
        assert_eq!((copy.get(far), pages.get(far)), (Some(&"far"), Some(&"changed")));
        assert!(Arc::ptr_eq(&copy.0[0], &pages.0[0]) && !Arc::ptr_eq(&copy.0[3], &pages.0[3]));
        assert_eq!((pages.get(1), pages.get(far + 10_000)), (None, None));
        pages.set(0, None);
        assert_eq!((copy.get(0), pages.get(0)), (Some(&"first"), None));
    }
}
