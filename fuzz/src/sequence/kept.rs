//! Frames of a client that keeps to the rules.

use gateway_testkit::http2::frames::{
    END_STREAM, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, literal,
};

use super::{Input, METHODS, PATHS, PREFACE, data, head, heads};

/// Frames that keep to the rules.
#[derive(Debug, Default)]
pub struct Kept {
    /// They, behind the preface and settings by which no response is encoded by what came before it.
    pub bytes: Vec<u8>,
    /// Streams that must end with a response: all but those that were reset.
    pub streams: Vec<u32>,
}

/// Bounds of what the gateway takes for no flood, and its windows let pass.
const MAX_FRAMES: usize = 150;
const MAX_STREAMS: usize = 30;
const MAX_CONTENT: usize = 20_000;
const MAX_ALL_CONTENT: usize = 200_000;
const MAX_EMPTY: usize = 60;

#[derive(Clone, Copy, Debug)]
struct Stream {
    id: u32,
    open: bool,
    reset: bool,
    content: usize,
}

/// A sequence whose responses depend on nothing but it.
pub fn kept(bytes: &[u8]) -> Kept {
    let mut input = Input(bytes);
    let mut out = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])].concat();
    let mut streams: Vec<Stream> = Vec::new();
    let (mut frames, mut all, mut empty) = (0, 0, 0);
    while let Some(op) = input.next().filter(|_| frames < MAX_FRAMES) {
        let arg = input.byte();
        frames += 1;
        let begins = matches!(op % 16, 0..=3) && streams.len() < MAX_STREAMS;
        if begins || streams.is_empty() {
            frames += begin(&mut out, &mut streams, op, arg, input.byte());
            continue;
        }
        let at = usize::from(op >> 4) % streams.len();
        let stream = &mut streams[at];
        let end = arg & END_STREAM;
        match op % 16 {
            4..=8 if stream.open => {
                let content = if op % 16 == 8 { 0 } else { usize::from(arg) * 16 };
                let padding = if op & 4 == 0 { 0 } else { op };
                let cost = content + usize::from(padding) + 1;
                empty += usize::from(content == 0);
                (stream.content, all) = (stream.content + cost, all + cost);
                if stream.content < MAX_CONTENT && all < MAX_ALL_CONTENT && empty < MAX_EMPTY {
                    out.extend(data(stream.id, end, &vec![arg; content], padding));
                    stream.open = end == 0;
                }
            }
            9 if stream.open => {
                let block = literal(b"x-trailer", &vec![b't'; usize::from(arg)]);
                out.extend(heads(stream.id, END_STREAM, &block, usize::from(arg % 4), arg & 7, false));
                stream.open = false;
                frames += 4;
            }
            10 if !stream.reset => {
                out.extend(frame(RST_STREAM, 0, stream.id, &u32::from(arg % 14).to_be_bytes()));
                (stream.open, stream.reset) = (false, true);
            }
            11 => {
                let id = if arg & 1 == 0 { 0 } else { stream.id };
                out.extend(frame(WINDOW_UPDATE, 0, id, &(1 + u32::from(arg)).to_be_bytes()));
            }
            12 => out.extend(frame(PRIORITY, 0, stream.id, &[0, 0, 0, 0, arg])),
            13 => out.extend(frame(PING, 0, 0, &[arg; 8])),
            14 => {
                let window = [0, 4, 0, 0, arg, 1];
                out.extend(frame(SETTINGS, 0, 0, if arg & 1 == 0 { &[] } else { &window }));
            }
            // Kinds that nobody knows.
            _ => out.extend(frame(0x20 | arg, arg, stream.id, input.take(usize::from(arg)))),
        }
    }
    for stream in streams.iter().filter(|stream| stream.open) {
        out.extend(data(stream.id, END_STREAM, &[], 0));
    }
    let streams = streams.iter().filter(|stream| !stream.reset).map(|stream| stream.id).collect();
    Kept { bytes: out, streams }
}

/// Begins a stream; says how many frames more than one that took.
fn begin(out: &mut Vec<u8>, streams: &mut Vec<Stream>, op: u8, arg: u8, more: u8) -> usize {
    // Responses that do not wait for the end of the request, or that are cut, come or do not.
    let path = [PATHS[0], PATHS[1], PATHS[3], PATHS[7]][usize::from(more >> 6)];
    let method = METHODS[usize::from(arg >> 4) % 5];
    let id = 2 * u32::try_from(streams.len()).expect("few streams") + 1;
    let ends = op & 1;
    let mut block = head(method, path, more);
    let counted = ends == 0 && more & 0x20 != 0;
    if counted {
        block.extend(literal(b"content-length", b"400"));
    }
    let pieces = usize::from(arg & 7);
    let padding = if op & 2 == 0 { 0 } else { arg };
    out.extend(heads(id, ends, &block, pieces, padding, op & 16 != 0));
    if counted {
        let end = more & END_STREAM;
        out.extend(data(id, 0, &[b'c'; 150], arg));
        out.extend(data(id, end, &[b'd'; 250], 0));
        if end == 0 {
            out.extend(data(id, END_STREAM, &[], arg));
        }
    }
    streams.push(Stream { id, open: ends == 0 && !counted, reset: false, content: 0 });
    pieces + 3
}
