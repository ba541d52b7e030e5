//! Bytes that are forwarded to a backend mean one thing: to us, to hyper and to Node's parser, in number,
//! method, target, host and body. Request smuggling is two readers with two results.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::forward::{Forwarded, forward};
use sluice_fuzz::readers::{Read, hyper, node};

fn read(forwarded: &Forwarded) -> Read {
    Read {
        method: forwarded.method.clone(),
        target: forwarded.target.clone(),
        host: forwarded.host.clone(),
        body: forwarded.body.clone(),
        trailers: Vec::new(),
    }
}

/// Asserts that a backend cannot take what went on for something else than we did, beside its framing.
fn check(forwarded: &Forwarded) {
    let bytes = &forwarded.bytes;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head ends");
    for line in bytes[..end].split(|byte| *byte == b'\n').skip(1) {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        assert!(!name.contains(&b'_') && !name.eq_ignore_ascii_case(b"trailer"), "{}", line.escape_ascii());
    }
    let path = forwarded.target.split(|byte| *byte == b'?').next().unwrap_or_default().to_ascii_lowercase();
    let path = String::from_utf8(path).expect("a path is ASCII");
    assert!(!path.contains("%00") && !path.contains('\\'), "{path}");
    let decoded = path.replace("%2f", "/").replace("%5c", "/");
    let hidden = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    assert!(!decoded.split('/').any(hidden), "{path}");
}

fuzz_target!(|data: &[u8]| {
    let all = forward(data);
    if all.is_empty() {
        return;
    }
    all.iter().for_each(check);
    let bytes = all.iter().flat_map(|request| request.bytes.clone()).collect::<Vec<u8>>();
    let ours: Vec<Read> = all.iter().map(read).collect();
    let shown = || bytes.escape_ascii().to_string();
    // Readers may refuse what we let through, and then see fewer requests; nobody may see another one.
    let theirs = hyper(&bytes);
    assert!(ours.starts_with(&theirs), "hyper reads {theirs:?} in {}", shown());
    let ours: Vec<Read> = ours.into_iter().map(|read| Read { method: Vec::new(), ..read }).collect();
    if let Ok(theirs) = node(&bytes) {
        assert!(ours.starts_with(&theirs), "node reads {theirs:?} in {}", shown());
    }
});
