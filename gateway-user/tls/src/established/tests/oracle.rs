//! The same records to a session of ours and to one of the TLS library's: both take the same, and refuse the same.

use proptest::prelude::*;

use super::super::record::{ALERT, APPLICATION_DATA, HANDSHAKE};
use super::super::sides::Sides;
use super::common::{Ours, SUITES, Server, Theirs, connect, sealed};
use crate::Version;

/// Something that a client does.
#[derive(Clone, Debug)]
enum Step {
    Content(Vec<u8>),
    /// With so many zeros behind, where the version has that.
    Padded(Vec<u8>, usize),
    KeyUpdate(u8),
    Alert(u8, u8),
    Other(u8, Vec<u8>),
    /// A bit of a record of content is turned around.
    Torn(Vec<u8>, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let content = || prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        12 => content().prop_map(Step::Content),
        2 => (0..16_385_usize).prop_map(|len| Step::Content(vec![b'x'; len])),
        4 => (content(), 0..300_usize).prop_map(|(content, zeros)| Step::Padded(content, zeros)),
        4 => (0..3_u8).prop_map(Step::KeyUpdate),
        2 => (0..4_u8, any::<u8>()).prop_map(|(level, description)| Step::Alert(level, description)),
        1 => (any::<u8>(), prop::collection::vec(1..255_u8, 1..40)).prop_map(|(typ, bytes)| Step::Other(typ, bytes)),
        1 => (content(), any::<usize>()).prop_map(|(content, bit)| Step::Torn(content, bit)),
    ]
}

/// The records of a step, and if the client's key is another one behind it.
fn made(client: &mut Sides, step: &Step) -> Option<Vec<u8>> {
    let is_tls13 = client.format.version == Version::Tls13;
    Some(match step {
        Step::Content(content) => sealed(client, APPLICATION_DATA, content),
        Step::Padded(content, zeros) if is_tls13 => {
            let mut inner = content.clone();
            inner.push(APPLICATION_DATA);
            inner.resize(inner.len() + zeros, 0);
            sealed(client, 0, &inner)
        }
        Step::Padded(content, _) => sealed(client, APPLICATION_DATA, content),
        Step::KeyUpdate(asks) => {
            let record = sealed(client, HANDSHAKE, &[24, 0, 0, 1, *asks]);
            if is_tls13 {
                client.update_out().unwrap();
            }
            record
        }
        Step::Alert(level, description) => sealed(client, ALERT, &[*level, *description]),
        // The library waits for the end of messages before it judges them, and we do not.
        Step::Other(0 | HANDSHAKE | ALERT | APPLICATION_DATA, _) => return None,
        Step::Other(typ, bytes) => sealed(client, *typ, bytes),
        Step::Torn(content, bit) => {
            let mut record = sealed(client, APPLICATION_DATA, content);
            let bit = 5 * 8 + bit % ((record.len() - 5) * 8);
            record[bit / 8] ^= 1 << (bit % 8);
            record
        }
    })
}

/// Content that came out, and the number of steps that went well.
fn run(server: &mut impl Server, client: &mut Sides, steps: &[Step], cut: usize) -> (Vec<u8>, usize) {
    let mut content = Vec::new();
    for (done, step) in steps.iter().enumerate() {
        let Some(record) = made(client, step) else { continue };
        for piece in record.chunks(cut) {
            if server.feed(piece, &mut content, &mut Vec::new()).is_err() {
                return (content, done);
            }
        }
    }
    (content, steps.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_take_the_same(
        steps in prop::collection::vec(step(), 1..30),
        suite in any::<prop::sample::Index>(),
        cut in prop_oneof![1..60_usize, Just(20_000)],
        parks in any::<bool>(),
    ) {
        let suite = SUITES[suite.index(SUITES.len())];
        let (mut ours, mut theirs) = (Ours::new(), Theirs::new());
        let mut client = connect(&mut ours, suite);
        ours.parks = parks;
        let (content, done) = run(&mut ours, &mut client, &steps, cut);
        let mut client = connect(&mut theirs, suite);
        let (their_content, their_done) = run(&mut theirs, &mut client, &steps, cut);
        prop_assert_eq!(done, their_done, "{:?}", steps.get(done.min(their_done)));
        prop_assert!(content == their_content);
    }
}
