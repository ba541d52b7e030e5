//! Gateway API durations: `1h30m`, `500ms`, `0s` (GEP-2257).

use crate::diagnostics::ConfigError;
use crate::reason;

/// Reads the duration of a field, in milliseconds.
///
/// # Errors
/// It is none.
pub(crate) fn parse(text: &str, field: &str) -> Result<u64, ConfigError> {
    parse_millis(text).ok_or_else(|| {
        let message = format!("{text:?} is not a duration such as 10s, 1m30s or 500ms (GEP-2257)");
        ConfigError::new(reason::UNSUPPORTED_VALUE, field, message)
    })
}

/// Reads a GEP-2257 duration, one to four components of one to five digits and a unit; gives milliseconds.
///
/// `None` if the text is no such duration. Four components of five digits of hours fit a `u64` with room to
/// spare.
pub(crate) fn parse_millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 5 {
            return None;
        }
        let (number, tail) = rest.split_at(digits);
        let (unit_ms, tail) = unit(tail)?;
        total += number.parse::<u64>().ok()? * unit_ms;
        if tail.is_empty() {
            return Some(total);
        }
        rest = tail;
    }
    None
}

fn unit(text: &str) -> Option<(u64, &str)> {
    // `ms` before `m`: the longer unit wins, as in Go's time.ParseDuration.
    [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        .into_iter()
        .find_map(|(name, millis)| text.strip_prefix(name).map(|tail| (millis, tail)))
}

#[cfg(test)]
mod tests {
    use super::parse_millis;

    #[test]
    fn reads_the_examples_of_gep_2257() {
        let same = [("1h", 3_600_000), ("60m", 3_600_000), ("01h", 3_600_000), ("00060m", 3_600_000)];
        for (text, want) in same {
            assert_eq!(parse_millis(text), Some(want), "{text}");
        }
        assert_eq!(parse_millis("1h30m30s500ms"), Some(5_430_500));
        assert_eq!(parse_millis("1h2h20m10m"), Some(12_600_000));
        assert_eq!(parse_millis("0s"), Some(0));
        assert_eq!(parse_millis("99999h99999h99999h99999h"), Some(4 * 99_999 * 3_600_000));
    }

    #[test]
    fn refuses_everything_else() {
        for text in
            ["", "0", "1", "h", "1.5s", "-1s", "+1s", "1d", "1us", "100000s", "1s ", "1s2s3s4s5s", "1S"]
        {
            assert_eq!(parse_millis(text), None, "{text:?}");
        }
    }
}
