//! Paths: a normal path is normal, stays below the root, and means what it meant.
#![no_main]

use gateway_http::h1::path::{MergeSlashes, PathOptions, Separators, merged, normalize};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((flags, rest)) = data.split_first() else { return };
    let path = [b"/", rest].concat();
    let separators = match flags & 6 {
        0 => Separators::Keep,
        2 => Separators::Refuse,
        _ => Separators::RefuseDangerous,
    };
    let merge_slashes = match flags & 9 {
        0 => MergeSlashes::Always,
        1 => MergeSlashes::Never,
        _ => MergeSlashes::Match,
    };
    let options = PathOptions { merge_slashes, separators };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let Ok(normal) = normalize(&path, options, &mut first) else { return };
    let normal = normal.to_vec();
    assert_eq!(normal.first(), Some(&b'/'));
    assert!(!normal[1..].split(|b| *b == b'/').any(|segment| segment == b"." || segment == b".."));
    match merge_slashes {
        MergeSlashes::Always => assert!(!normal.windows(2).any(|pair| pair == b"//")),
        MergeSlashes::Never => {}
        MergeSlashes::Match => {
            assert!(!normal.starts_with(b"//"), "a path that begins like this reads as a host");
            // A server that merges sees what rules saw.
            let merging = PathOptions { merge_slashes: MergeSlashes::Always, separators };
            let (mut seen, mut theirs) = (Vec::new(), Vec::new());
            let seen = merged(&normal, &mut seen);
            assert_eq!(normalize(&normal, merging, &mut theirs).expect("what is normal is valid"), seen);
        }
    }
    assert!(normal.len() <= path.len(), "no path grows");
    let again = normalize(&normal, options, &mut second).expect("what is normal is valid");
    assert_eq!(again, normal);
    assert!(second.is_empty(), "a normal path is lent back");
    if options.separators != Separators::Keep {
        let text = String::from_utf8(normal.clone()).expect("a path is ASCII");
        assert!(!text.contains("%00") && !text.contains('\\'), "{text}");
        let decoded = text.replace("%2F", "/").replace("%5C", "/");
        let hidden = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
        assert!(!decoded.split('/').any(hidden), "{text}");
    }
    if options.separators == Separators::Refuse {
        let lower = normal.to_ascii_lowercase();
        for separator in [&b"%2f"[..], b"%5c", b"%00", b"\\"] {
            assert!(!lower.windows(separator.len()).any(|part| part == separator));
        }
    }
});
