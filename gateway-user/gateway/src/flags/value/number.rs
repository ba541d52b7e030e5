//! Numbers, sizes and lengths of time.

use std::time::Duration;

use super::{Value, digits};

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Count<MIN, MAX> {
    pub(crate) fn get(self) -> u64 {
        self.0
    }

    /// As `usize`; every bound in use fits, so saturation never shows.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// As `u32`; every bound in use fits, so saturation never shows.
    pub(crate) fn small(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Value for Count<MIN, MAX> {
    fn parse(text: &str) -> Option<Self> {
        digits(text).filter(|n| (MIN..=MAX).contains(n)).map(Self)
    }

    fn allowed() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }
}

/// A number of bytes within bounds: `16KiB`, `1MiB`, or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    /// In bytes.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Value for Size<MIN, MAX> {
    fn parse(text: &str) -> Option<Self> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
        let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
        let (number, factor) = found.unwrap_or((text, 1));
        let bytes = digits(number.trim_end())?.checked_mul(factor)?;
        (MIN..=MAX).contains(&bytes).then_some(Self(bytes))
    }

    fn allowed() -> String {
        format!("a size from {} to {}, such as 16KiB or 16384", bytes_text(MIN), bytes_text(MAX))
    }
}

/// `16KiB`, `1MiB`, or bytes, whichever is exact.
pub(crate) fn bytes_text(bytes: u64) -> String {
    match bytes {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{}MiB", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{}KiB", n >> 10),
        n => format!("{n}B"),
    }
}

/// `auto`, or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auto<T> {
    /// The process decides.
    Auto,
    /// The user decided.
    Set(T),
}

impl<T: Value> Value for Auto<T> {
    fn parse(text: &str) -> Option<Self> {
        if text == "auto" { Some(Self::Auto) } else { T::parse(text).map(Self::Set) }
    }

    fn allowed() -> String {
        format!("auto or {}", T::allowed())
    }
}

/// A time limit; `0` turns it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl Value for Limit {
    fn parse(text: &str) -> Option<Self> {
        duration(text).map(|d| Self((!d.is_zero()).then_some(d)))
    }

    fn allowed() -> String {
        format!("{}, or 0 for no limit", Wait::allowed())
    }
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Duration);

impl Value for Wait {
    fn parse(text: &str) -> Option<Self> {
        duration(text).map(Self)
    }

    fn allowed() -> String {
        "a duration up to 99999h, such as 500ms, 10s or 1m30s".to_owned()
    }
}

/// A length of time, which may be none, or `off` for no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitOrOff(pub(crate) Option<Duration>);

impl Value for WaitOrOff {
    fn parse(text: &str) -> Option<Self> {
        if text == "off" { Some(Self(None)) } else { duration(text).map(|wait| Self(Some(wait))) }
    }

    fn allowed() -> String {
        format!("{}, or off", Wait::allowed())
    }
}

/// Gateway API's duration format (GEP-2257): up to four parts of `h`, `m`, `s`, `ms`, each with up to five
/// digits. A bare `0` is zero; any other bare number is refused, since its unit would be a guess.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let Some(after) = tail.strip_prefix(unit) else { continue };
        if unit == "m" && after.starts_with('s') {
            continue;
        }
        let number = digits(number).filter(|_| end <= 5)?;
        total += Duration::from_millis(number * millis);
        rest = after;
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_gep_2257_and_need_a_unit() {
        let ms = |text: &str| duration(text).map(|d| d.as_millis());
        assert_eq!(ms("1h2m3s4ms"), Some(3_723_004));
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("90s"), Some(90_000));
        assert_eq!(ms("1m5ms"), Some(60_005));
        assert_eq!(ms("0"), Some(0));
        for bad in ["", "5", "s", "1.5s", "-1s", "1s1m", "123456s", "1d", "1s ", "ms", "1m1m"] {
            assert_eq!(ms(bad), None, "{bad:?}");
        }
        assert_eq!(Limit::parse("0s"), Some(Limit(None)));
    }

    #[test]
    fn sizes_know_binary_units_and_bounds() {
        type S = Size<1024, 65536>;
        assert_eq!(S::parse("16KiB").map(S::bytes), Some(16384));
        assert_eq!(S::parse("16 KiB").map(S::bytes), Some(16384));
        assert_eq!(S::parse("2048").map(S::bytes), Some(2048));
        for bad in ["1", "1MiB", "16kb", "", "KiB", "99999999999999999999"] {
            assert_eq!(S::parse(bad), None, "{bad:?}");
        }
        assert_eq!(S::allowed(), "a size from 1KiB to 64KiB, such as 16KiB or 16384");
    }
}
