//! What is usual: the middle of some counts, and how far they stray from it.
//!
//! The median and the median distance from it, because one odd week among four must neither raise nor lower what is taken
//! for usual, as it would a mean.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Habit {
    pub(super) usual: u64,
    spread: u64,
}

impl Habit {
    /// None of nothing.
    pub(super) fn of(counts: &[u64]) -> Option<Self> {
        let usual = median(counts.to_vec())?;
        let spread = median(counts.iter().map(|count| count.abs_diff(usual)).collect())?;
        Some(Self { usual, spread })
    }

    /// More than so many times the usual, and further from it than so many spreads.
    pub(super) fn is_far_below(self, count: u64, times: u64, spreads: u64) -> bool {
        let strays = spreads.saturating_mul(self.spread);
        count > self.usual.saturating_mul(times) && count > self.usual.saturating_add(strays)
    }
}

fn median(mut counts: Vec<u64>) -> Option<u64> {
    counts.sort_unstable();
    let upper = *counts.get(counts.len() / 2)?;
    let lower = *counts.get(counts.len().saturating_sub(1) / 2)?;
    Some(lower.midpoint(upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_week_changes_nothing() {
        for odd in [0, 100, 1_000_000, u64::MAX] {
            let habit = Habit::of(&[100, 104, odd, 96, 100]).unwrap();
            assert_eq!(habit.usual, 100, "{odd}");
            assert!(!habit.is_far_below(120, 3, 6) && habit.is_far_below(301, 3, 6), "{odd}");
        }
        assert_eq!(Habit::of(&[]), None);
        assert_eq!(Habit::of(&[1, 4]).unwrap().usual, 2);
    }

    #[test]
    fn who_strays_often_may_stray_again() {
        let habit = Habit::of(&[10, 400, 20, 300, 100]).unwrap();
        assert!(!habit.is_far_below(600, 3, 6), "{habit:?}");
    }
}
