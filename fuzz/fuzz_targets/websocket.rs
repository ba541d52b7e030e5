//! Handshakes of WebSocket, held against the rules of RFC 6455 section 4 as they are told here once more, and a response
//! that fits them.
//!
//! Input is a request's head; what it lacks to be one that asks for WebSocket is put before it.
#![no_main]

use gateway_http::h1::{HeadLimits, Method, Parsed, RequestHead, ResponseHead};
use gateway_http::websocket::{HandshakeError, check_request, check_response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (line, fields) = match data.split_first() {
        Some((first, rest)) if first % 8 == 0 => ("POST / HTTP/1.1", rest),
        Some((_, rest)) => ("GET / HTTP/1.1", rest),
        None => return,
    };
    let mut wire = format!("{line}\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n").into_bytes();
    wire.extend_from_slice(fields);
    wire.extend_from_slice(b"\r\n\r\n");
    let mut head = RequestHead::new();
    let Ok(Parsed::Complete { .. }) = head.parse(&wire, &HeadLimits::default()) else { return };
    let request = head.view(&wire);
    if request.upgrade().is_none() {
        return;
    }
    let only = |name: &[u8]| {
        let lines: Vec<_> = request.fields().get_all(name).collect();
        <[&[u8]; 1]>::try_from(lines).ok().map(|[line]| line)
    };
    let is_key = |key: &[u8]| key.len() == 24 && key.ends_with(b"==") && !key[..22].contains(&b'=');
    match check_request(&request) {
        Ok(accept) => {
            assert!(request.method() == Method::Get && request.framing().is_empty());
            assert_eq!(only(b"sec-websocket-version"), Some(&b"13"[..]));
            assert!(only(b"sec-websocket-key").is_some_and(is_key));
            for (value, fits) in [(accept.as_bytes(), true), (&accept.as_bytes()[1..], false)] {
                let mut wire = b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: ".to_vec();
                wire.extend_from_slice(value);
                wire.extend_from_slice(b"\r\n\r\n");
                let mut head = ResponseHead::new();
                head.parse(&wire, &HeadLimits::default(), Method::Get).expect("a head of our own");
                assert_eq!(check_response(head.view(&wire).fields(), &accept), fits);
            }
        }
        Err(HandshakeError::Method) => assert_ne!(request.method(), Method::Get),
        Err(HandshakeError::Body) => assert!(!request.framing().is_empty()),
        Err(HandshakeError::Version) => assert_ne!(only(b"sec-websocket-version"), Some(&b"13"[..])),
        Err(HandshakeError::Key) => {
            let is_base64 =
                |key: &[u8]| key[..22].iter().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(b));
            assert!(!only(b"sec-websocket-key").is_some_and(|key| is_key(key) && is_base64(key)));
        }
    }
});
