//! Moments as they are typed.

use jiff::{SignedDuration, Timestamp};

/// `2026-11-24T00:00:00Z`, or so long ago: `90s`, `30m`, `12h`, `7d`, `2w`.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    let wanted = "give a time as 2026-11-24T00:00:00Z, or an age as 90s, 30m, 12h, 7d or 2w";
    let (number, unit) = text.split_at(text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return text.parse().map_err(|_| wanted.to_owned()),
    };
    let age = number.parse::<i64>().ok().and_then(|number| number.checked_mul(seconds));
    let then = age.and_then(|age| Timestamp::now().checked_sub(SignedDuration::from_secs(age)).ok());
    then.ok_or_else(|| wanted.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ages_are_understood_and_nothing_else() {
        assert_eq!(parse("2026-11-24T00:00:00Z").unwrap().as_second(), 1_795_478_400);
        let week = Timestamp::now().as_second() - parse("7d").unwrap().as_second();
        assert!((7 * 86_400..7 * 86_400 + 5).contains(&week), "{week}");
        for text in ["", "7", "d", "-1d", "1y", "yesterday", "99999999999999999999d", "9223372036854775807w"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
