//! How sure a suggestion must be, and what it takes in beside what was seen.

use clap::Args;
use jiff::{Span, SpanRelativeTo};

use crate::cli::Error;
use crate::suggest::{Allowance, Demand, Options};

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Trust {
    /// Exit with 1 when there were fewer whole starts (counted from the first call, nothing lost)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    min_starts: Option<u32>,
    /// Exit with 1 when less time was counted, or all of it within less time, for example 12h or 7d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    min_window: Option<u64>,
    /// Exit with 1 when the chance that the next start needs nothing that was not seen may be smaller (95 % confidence);
    /// for example 0.9 or 90%
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    min_coverage: Option<f64>,
    /// Let this call through as well, whatever its arguments if the profile refuses it; may be given more than once
    #[arg(long, value_name = "NAME[@ABI]")]
    allow: Vec<String>,
    /// This call was denied meanwhile, was looked at, and may stay denied: what is said of the next start counts on that;
    /// may be given more than once
    #[arg(long, value_name = "NAME[@ABI]")]
    reviewed: Vec<String>,
}

impl Trust {
    /// What is demanded.
    pub(in crate::cli) fn demand(&self) -> Demand {
        Demand { starts: self.min_starts, seconds: self.min_window, coverage: self.min_coverage }
    }

    /// Fills in the options of a suggestion that these stand for.
    pub(in crate::cli) fn fill(&self, options: &mut Options) -> Result<(), Error> {
        let parse = |option, texts: &[String]| {
            let call = |text: &String| Allowance::parse(text).map_err(|source| Error::Allow { option, source });
            texts.iter().map(call).collect::<Result<Vec<_>, _>>()
        };
        options.allow = parse("--allow", &self.allow)?;
        options.reviewed = parse("--reviewed", &self.reviewed)?;
        Ok(())
    }
}

/// Seconds; a day has 24 hours.
fn parse_duration(text: &str) -> Result<u64, String> {
    let length = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    match length.map(|length| u64::try_from(length.as_secs())) {
        Ok(Ok(seconds)) if seconds > 0 => Ok(seconds),
        _ => Err("write it as 30m, 12h, 7d or 1d 12h".to_owned()),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number.trim_end(), 100.0));
    match number.parse::<f64>().map(|number| number / whole) {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write it as 0.9 or 90%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_a_length() {
        assert_eq!(
            ["30m", "12h", "7d", "1d 12h", "2w"].map(|text| parse_duration(text).unwrap()),
            [1_800, 43_200, 604_800, 129_600, 1_209_600]
        );
        for text in ["", "7", "0s", "-1h", "1 fortnight", "999999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_fractions_or_percentages() {
        for (text, share) in [("0.9", 0.9), ("90%", 0.9), ("0", 0.0), ("1", 1.0), ("100 %", 1.0), ("99.5%", 0.995)] {
            assert!((parse_share(text).unwrap() - share).abs() < 1e-12, "{text}");
        }
        for text in ["", "%", "90", "1.01", "-1", "101%", "NaN", "inf"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }
}
