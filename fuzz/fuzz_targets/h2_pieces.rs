//! A sequence of HTTP/2 frames that keeps to the rules has the same responses however it is cut, on each driver; and every
//! stream has one.
//!
//! The first byte is how often it is cut; two bytes for each say where.
#![no_main]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use gateway_testkit::http2::frames::{
    CONTINUATION, DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM, WINDOW_UPDATE, frame,
};
use libfuzzer_sys::fuzz_target;
use sluice_fuzz::sequence::{Input, Kept, kept};
use sluice_fuzz::worker::{Steady, Worker};

/// The response of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Response {
    heads: Vec<u8>,
    content: Vec<u8>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    Reset(u32),
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let first = input.byte();
    let cuts: Vec<usize> =
        (0..first & 7).map(|_| usize::from(u16::from_be_bytes([input.byte(), input.byte()]))).collect();
    let kept = kept(input.0);
    let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % kept.bytes.len()).collect();
    cuts.sort_unstable();
    let whole = ask(Worker::on(true), &kept, &[]);
    let pieces = ask(Worker::on(first & 8 == 0), &kept, &cuts);
    for id in &kept.streams {
        assert_eq!(pieces.get(id), whole.get(id), "stream {id} cut at {cuts:?}");
    }
});

/// The responses to these frames, sent in pieces that end there.
fn ask(worker: &Worker, kept: &Kept, cuts: &[usize]) -> BTreeMap<u32, Response> {
    let mut stream = worker.connect();
    let mut from = 0;
    for &cut in cuts.iter().filter(|cut| **cut > 0) {
        stream.write_all(&kept.bytes[from..cut]).expect("the worker reads");
        from = cut;
        // Else two pieces arrive as one.
        thread::sleep(Duration::from_micros(200));
    }
    stream.write_all(&kept.bytes[from..]).expect("the worker reads");
    let responses = read(&mut stream, &kept.streams);
    stream.0.shutdown(Shutdown::Write).expect("the connection is open");
    let _ = stream.read_to_end(&mut Vec::new());
    worker.assert_sound();
    responses
}

/// Reads until these streams have ended.
fn read(stream: &mut Steady, streams: &[u32]) -> BTreeMap<u32, Response> {
    let mut responses: BTreeMap<u32, Response> = BTreeMap::new();
    let (mut inbox, mut buffer) = (Vec::new(), [0; 16 << 10]);
    while streams.iter().any(|id| responses.get(id).is_none_or(|response| response.end.is_none())) {
        let count = stream.read(&mut buffer).unwrap_or_else(|error| {
            panic!("no response, {error}: {responses:?} of {streams:?}");
        });
        assert!(count > 0, "the worker ends the connection");
        inbox.extend_from_slice(&buffer[..count]);
        while let Some(&[a, b, c, kind, flags, d, e, f, g]) = inbox.get(..9) {
            let (length, id) = (u32::from_be_bytes([0, a, b, c]) as usize, u32::from_be_bytes([d, e, f, g]));
            let Some(payload) = inbox.get(9..9 + length) else { break };
            let response = responses.entry(id).or_default();
            match kind {
                // A change of the table's size comes before the first head.
                HEADERS => {
                    response.heads.extend(payload.iter().skip_while(|byte| (0x20..0x40).contains(*byte)))
                }
                CONTINUATION => response.heads.extend_from_slice(payload),
                DATA => {
                    response.content.extend_from_slice(payload);
                    if length > 0 {
                        let more = u32::try_from(length).expect("24 bits").to_be_bytes();
                        let widen = [id, 0].map(|id| frame(WINDOW_UPDATE, 0, id, &more)).concat();
                        stream.write_all(&widen).expect("the worker reads");
                    }
                }
                RST_STREAM => {
                    let code = payload.try_into().map_or(u32::MAX, u32::from_be_bytes);
                    // What follows a whole response asks for no more of the request.
                    response.end.get_or_insert(End::Reset(code));
                }
                GOAWAY => panic!("the worker ends the connection: {}", payload.escape_ascii()),
                _ => {}
            }
            if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                response.end = Some(End::Whole);
            }
            inbox.drain(..9 + length);
        }
    }
    responses
}
