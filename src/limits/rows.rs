//! What is counted of each key, vendor or practice: rows by number, in pages that are made at the first use and given back
//! when everything in them is idle.
//!
//! A number leads to its row in two steps, without a search, so a row costs the same among ten and among a hundred thousand.
//! A page has a lock of its own, for a row is read and written as one; whoever wants rows of several tables locks them in
//! the order in which [`crate::limits::Limiter`] names its tables, so nobody waits for each other.

use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Rows of one page: what shares a lock, and is given back together.
pub(super) const PAGE: usize = 64;
/// Pages of one shelf, which is made when the first of them is needed and stays.
const SHELF: usize = 4096;
/// A thousand million rows; numbers are given to keys one by one, and memory ends before them.
const SHELVES: usize = 4096;

type Page<R> = Mutex<Option<Box<[R; PAGE]>>>;
type Shelf<R> = Box<[Page<R>]>;

pub(super) struct Rows<R> {
    shelves: Box<[OnceLock<Shelf<R>>]>,
}

impl<R> fmt::Debug for Rows<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows(…)")
    }
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Self { shelves: (0..SHELVES).map(|_| OnceLock::new()).collect() }
    }
}

/// A row, as long as nobody else may touch it.
pub(super) struct Row<'r, R> {
    page: MutexGuard<'r, Option<Box<[R; PAGE]>>>,
    place: usize,
}

impl<R: Default> Rows<R> {
    pub(super) fn lock(&self, number: u32) -> Row<'_, R> {
        let number = usize::try_from(number).unwrap_or_default();
        let (page, place) = (number / PAGE, number % PAGE);
        let made = || (0..SHELF).map(|_| Mutex::new(None)).collect();
        // Both are within by the remainder.
        let shelf = &self.shelves[page / SHELF % SHELVES];
        let page = &shelf.get_or_init(made)[page % SHELF];
        Row { page: page.lock().unwrap_or_else(PoisonError::into_inner), place }
    }

    /// Gives back the pages of which every row is idle; says how many are left.
    pub(super) fn tidy(&self, is_idle: impl Fn(&R) -> bool) -> usize {
        let shelves = self.shelves.iter().filter_map(OnceLock::get);
        let mut left = 0;
        for page in shelves.flat_map(|shelf| shelf.iter()) {
            let mut rows = page.lock().unwrap_or_else(PoisonError::into_inner);
            if rows.as_ref().is_some_and(|rows| rows.iter().all(&is_idle)) {
                *rows = None;
            }
            left += usize::from(rows.is_some());
        }
        left
    }
}

impl<R: Default> Row<'_, R> {
    pub(super) fn get(&mut self) -> &mut R {
        let rows = self.page.get_or_insert_with(|| Box::new(std::array::from_fn(|_| R::default())));
        &mut rows[self.place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_own_and_stays_until_its_page_is_idle() {
        let rows = Rows::<u64>::default();
        let numbers = [0, 1, 63, 64, 262_143, 262_144, 4_000_000_000];
        for number in numbers {
            *rows.lock(number).get() += u64::from(number) + 1;
        }
        for number in numbers {
            assert_eq!(*rows.lock(number).get(), u64::from(number) + 1, "{number}");
        }
        assert_eq!(rows.tidy(|row| *row < 63), 5, "the page of 63 is not idle");
        assert_eq!(*rows.lock(0).get(), 1);
        assert_eq!(rows.tidy(|_| true), 0);
        assert_eq!(*rows.lock(0).get(), 0);
    }

    #[test]
    fn a_row_is_changed_by_one_at_a_time() {
        let rows = Rows::<u64>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        *rows.lock(7).get() += 1;
                    }
                });
            }
        });
        assert_eq!(*rows.lock(7).get(), 40_000);
    }
}
