//! Frames of a controller to a node, and a node's copy on disk: whatever is committed can be told to another node, which has
//! the same then.
#![no_main]

use bytes::BytesMut;
use gateway_sync::codec::{self, MAX_DOWN};
use gateway_sync::frame::Down;
use gateway_sync::replica::Replica;
use gateway_sync::stored;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = BytesMut::from(bytes);
    let mut replica = Replica::default();
    replica.begin(1);
    while let Ok(Some(raw)) = codec::take(&mut rest, MAX_DOWN) {
        let Ok(Down { frame: Some(frame) }) = Down::decode(raw.clone()) else { continue };
        match replica.take(frame, &raw) {
            Ok(None) => {}
            Ok(Some(_)) => told_again(&replica),
            Err(_) => replica.forget(),
        }
    }
    let mut stored_state = Replica::default();
    let _ = stored::read(bytes, &mut stored_state);
});

/// Writes what is committed as a node keeps it, and reads it back.
fn told_again(replica: &Replica) {
    let desired = replica.desired();
    let written = stored::write(desired, true).fold(Vec::new(), |mut all, piece| {
        all.extend_from_slice(&piece);
        all
    });
    let mut other = Replica::default();
    stored::read(&written, &mut other).expect("what was written is read");
    assert_eq!(other.desired(), desired);
}
