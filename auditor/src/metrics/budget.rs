//! Which syscalls get a series of their own when there are more than the budget has room for.

/// The largest share `s` such that the sum of `min(need, s)` over all needs is within `budget`.
///
/// Every container gets the same share, and what one does not need goes to the others: a container that calls
/// everything there is cannot push its neighbours out of the metrics.
pub(super) fn fair_share(needs: &[usize], budget: usize) -> usize {
    let mut sorted = needs.to_vec();
    sorted.sort_unstable();
    let mut left = budget;
    for (index, need) in sorted.iter().enumerate() {
        let share = left / (sorted.len() - index);
        if *need > share {
            return share;
        }
        left -= need;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_does_not_need_goes_to_the_others() {
        for (needs, budget, share) in [
            (&[][..], 0, usize::MAX),
            (&[5, 5], 10, usize::MAX),
            (&[5, 5], 9, 4),
            (&[1, 100, 100], 21, 10),
            (&[400, 3, 2], 10, 5),
            (&[3, 3, 3], 0, 0),
        ] {
            assert_eq!(fair_share(needs, budget), share, "{needs:?} in {budget}");
            let total: usize = needs.iter().map(|need| (*need).min(share)).sum();
            assert!(total <= budget);
        }
    }
}
