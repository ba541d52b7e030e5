//! `grpc-timeout`: a deadline is what was written, and what is written of it is never longer.
#![no_main]

use std::time::Duration;

use gateway_http::grpc::{TimeoutText, parse_timeout};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let Some(timeout) = parse_timeout(value) else { return };
    let (unit, digits) = value.split_last().expect("a unit");
    let number: u64 = std::str::from_utf8(digits).expect("digits").parse().expect("a number");
    let unit = match unit {
        b'H' => Duration::from_secs(3_600),
        b'M' => Duration::from_secs(60),
        b'S' => Duration::from_secs(1),
        b'm' => Duration::from_millis(1),
        b'u' => Duration::from_micros(1),
        b'n' => Duration::from_nanos(1),
        other => panic!("{other} is no unit"),
    };
    assert!(digits.len() <= 8);
    assert_eq!(timeout.as_nanos(), unit.as_nanos() * u128::from(number));
    let written = TimeoutText::new(timeout);
    let read = parse_timeout(written.as_bytes()).expect("it is well-formed");
    assert!(read <= timeout, "{read:?} is longer than {timeout:?}");
    // The next unit is a thousand times as large at most, and has six digits left.
    assert!(timeout - read <= timeout / 100_000 + Duration::from_nanos(1), "{timeout:?} became {read:?}");
});
