//! How often something may really happen that was seen so many times out of so many.

/// The upper limit of Clopper and Pearson for a chance, given that it came about in `seen` of `trials` independent
/// trials: the chance with which so few would be seen at most with probability `miss` (Biometrika 26, 1934). 1 where
/// every trial, or none at all, was seen.
#[must_use]
pub fn upper_limit(seen: u32, trials: u32, miss: f64) -> f64 {
    /// Halvings of an interval of length 1: more than a double resolves.
    const STEPS: u32 = 60;
    if seen >= trials {
        return 1.0;
    }
    // The logarithms of the binomial coefficients.
    let mut coefficients = vec![0.0_f64];
    for taken in 0..seen {
        let last = coefficients.last().copied().unwrap_or_default();
        coefficients.push(last + (f64::from(trials - taken) / f64::from(taken + 1)).ln());
    }
    // Of `seen` or fewer; it falls as the chance grows.
    let tail = |chance: f64| -> f64 {
        let (yes, no) = (chance.ln(), (-chance).ln_1p());
        let terms = (0..=seen).zip(&coefficients);
        terms.map(|(count, ways)| (ways + f64::from(count) * yes + f64::from(trials - count) * no).exp()).sum()
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if tail(middle) > miss { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_that_of_published_tables() {
        // Two-sided 95 % limits: 2.5 % above.
        for (seen, trials, expected) in
            [(0, 10, 0.3085), (1, 10, 0.4450), (5, 20, 0.4910), (0, 100, 0.0362), (9, 10, 0.9975)]
        {
            let limit = upper_limit(seen, trials, 0.025);
            assert!((limit - expected).abs() < 5e-5, "{seen} of {trials}: {limit}");
        }
        // The rule of three: nothing in n trials, so at most about 3 in n.
        assert!((upper_limit(0, 1000, 0.05) * 1000.0 - 3.0).abs() < 0.01);
        assert!(
            (upper_limit(3, 3, 0.05) - 1.0).abs() < f64::EPSILON
                && (upper_limit(0, 0, 0.05) - 1.0).abs() < f64::EPSILON
        );
    }

    #[test]
    fn many_trials_are_no_trouble() {
        let limit = upper_limit(1000, 100_000, 0.025);
        assert!((0.0105..0.0107).contains(&limit), "{limit}");
    }
}
