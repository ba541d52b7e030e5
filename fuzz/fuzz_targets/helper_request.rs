//! A gateway's request to its helper: whatever is read is written the same, and no port outside the limits passes.
#![no_main]

use gateway_helper::{Policy, Reply, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((number, request)) = Request::decode(bytes) {
        assert_eq!(request.encode(number), bytes);
        if let Request::Bind { address, port, .. } = request {
            let policy = Policy { reserved_ports: [22].into(), ..Policy::default() };
            assert_eq!(policy.serves(address, port), port != 22 && port != 0);
        }
    }
    // And the other way: a helper's reply, which holds texts and networks.
    if let Ok((number, reply)) = Reply::decode(bytes) {
        let written = reply.encode(number);
        assert_eq!(Reply::decode(&written), Ok((number, reply)));
    }
});
