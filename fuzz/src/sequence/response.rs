//! A backend's response in frames that keep to the rules.

use gateway_testkit::http2::frames::{
    DATA, END_STREAM, PING, PRIORITY, SETTINGS, WINDOW_UPDATE, frame, literal,
};

use super::{Input, data, heads};

/// Bounds of what the gateway takes for no flood, and its windows let pass.
const MAX_FRAMES: usize = 150;
const MAX_CONTENT: usize = 40_000;
/// The crate's own bound is 100 in a connection's life.
const MAX_PADDING_ALONE: usize = 60;

/// A response, and what its client is to get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its frames.
    pub bytes: Vec<u8>,
    /// The content.
    pub content: Vec<u8>,
    /// The value of its only trailer, if it has one.
    pub trailer: Option<String>,
}

/// A response on this stream.
pub fn answer(bytes: &[u8], stream: u32) -> Answer {
    let mut input = Input(bytes);
    let first = input.byte();
    let mut answer = Answer::default();
    let head = [&[0x88], &literal(b"x-a", &vec![b'a'; usize::from(first)])[..]].concat();
    let (pieces, padding) = (usize::from(first & 3), first & 0x1c);
    answer.bytes.extend(heads(stream, 0, &head, pieces, padding, first & 0x20 != 0));
    let mut alone = 0;
    for _ in 0..MAX_FRAMES {
        let Some(op) = input.next() else { break };
        let arg = input.byte();
        let frames = match op % 8 {
            0 => frame(DATA, 0, stream, &[]),
            1..=3 => {
                let content = vec![op; usize::from(arg.max(1)) * usize::from(op >> 4 | 1)];
                if answer.content.len() + content.len() > MAX_CONTENT {
                    continue;
                }
                answer.content.extend_from_slice(&content);
                data(stream, 0, &content, if op & 8 == 0 { 0 } else { arg })
            }
            // Content of nothing but padding.
            4 if alone < MAX_PADDING_ALONE => {
                alone += 1;
                data(stream, 0, &[], arg.max(1))
            }
            4 => continue,
            5 if op & 8 == 0 => frame(PING, 0, 0, &[arg; 8]),
            5 => frame(SETTINGS, 0, 0, &[]),
            6 if op & 8 == 0 => frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1 | arg]),
            6 => frame(PRIORITY, 0, stream, &[0, 0, 0, 0, arg]),
            _ => frame(0x20 | arg, arg, 0, input.take(usize::from(op >> 3))),
        };
        answer.bytes.extend(frames);
    }
    match first >> 6 {
        0 => {
            let value = "t".repeat(1 + usize::from(first));
            let block = literal(b"x-end", value.as_bytes());
            answer.bytes.extend(heads(stream, END_STREAM, &block, pieces, padding, false));
            answer.trailer = Some(value);
        }
        1 => answer.bytes.extend(data(stream, END_STREAM, b"", first)),
        2 => answer.bytes.extend(data(stream, END_STREAM, b"", 0)),
        _ => {
            answer.content.extend_from_slice(b"end");
            answer.bytes.extend(data(stream, END_STREAM, b"end", 0));
        }
    }
    answer
}
