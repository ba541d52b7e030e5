//! What goes on to a backend means one thing: to us, to hyper and to Node's parser, in number, method, target, host and
//! body. Request smuggling is two readers with two answers.
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
    }
}

fuzz_target!(|data: &[u8]| {
    let all = forward(data);
    if all.is_empty() {
        return;
    }
    let octets = all.iter().flat_map(|request| request.octets.clone()).collect::<Vec<u8>>();
    let ours: Vec<Read> = all.iter().map(read).collect();
    let shown = || octets.escape_ascii().to_string();
    // Readers may refuse what we let through, and then see fewer requests; nobody may see another one.
    let theirs = hyper(&octets);
    assert!(ours.starts_with(&theirs), "hyper reads {theirs:?} in {}", shown());
    let ours: Vec<Read> = ours.into_iter().map(|read| Read { method: Vec::new(), ..read }).collect();
    if let Ok(theirs) = node(&octets) {
        assert!(ours.starts_with(&theirs), "node reads {theirs:?} in {}", shown());
    }
});
