//! Frames of a client that may do anything.

use gateway_testkit::http2::frames::{
    END_STREAM, GOAWAY, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, literal,
};

use super::{Input, METHODS, PATHS, data, head, heads};

/// Bytes of a sequence: more would be but slow.
const MAX_BYTES: usize = 300_000;

/// Frames that keep to the rules of RFC 9113 or break them, as the bytes will.
pub fn wild(bytes: &[u8]) -> Vec<u8> {
    let (mut input, mut out, mut newest) = (Input(bytes), Vec::new(), 1_u32.wrapping_sub(2));
    while let Some(op) = input.next() {
        if out.len() > MAX_BYTES {
            break;
        }
        let arg = input.byte();
        let stream = match op >> 5 {
            0..=3 => newest,
            4 => 1,
            5 => 0,
            6 => newest.wrapping_add(u32::from(arg)),
            _ => newest.wrapping_sub(u32::from(arg) * 2),
        } & 0x7fff_ffff;
        let end = arg & END_STREAM;
        match op & 0x1f {
            0..=7 => {
                newest = newest.wrapping_add(2);
                let method = METHODS[usize::from(arg >> 1) % METHODS.len()];
                let more = input.byte();
                let mut block = head(method, PATHS[usize::from(more >> 5)], more);
                if method == "CONNECT" {
                    block.extend(literal(b":protocol", b"websocket"));
                    block.extend(literal(b"sec-websocket-version", b"13"));
                }
                out.extend(heads(newest & 0x7fff_ffff, end, &block, usize::from(op & 3), 0, false));
            }
            8 => {
                newest = newest.wrapping_add(2);
                let length = format!("{}", input.byte());
                let mut block = head("POST", "/", arg);
                block.extend(literal(b"content-length", length.as_bytes()));
                out.extend(heads(newest & 0x7fff_ffff, end, &block, 1, arg >> 4, true));
            }
            9 => out.extend(heads(stream, end, &literal(b"x-trailer", b"1"), 1, arg >> 5, false)),
            10 => {
                let count = usize::from(arg);
                out.extend(heads(stream, op & END_STREAM, input.take(count), 1 + count / 100, 0, false));
            }
            11..=13 => out.extend(data(stream, end, &vec![arg; usize::from(arg) * 64], op >> 5)),
            14 => out.extend(data(stream, end, &[], arg)),
            15 => out.extend(frame(RST_STREAM, 0, stream, &u32::from(arg).to_be_bytes())),
            16 => out.extend(frame(WINDOW_UPDATE, 0, stream, &input.u32().to_be_bytes())),
            17 => out.extend(frame(PRIORITY, 0, stream, input.take(5))),
            18 => {
                let value = [&[0, arg % 10], &input.u32().to_be_bytes()[..]].concat();
                out.extend(frame(SETTINGS, 0, 0, &value));
            }
            19 => out.extend(frame(SETTINGS, 1, 0, &[])),
            20 => out.extend(frame(PING, arg & 1, 0, b"12345678")),
            21 => out.extend(frame(GOAWAY, 0, 0, &[&input.u32().to_be_bytes()[..], &[0; 4]].concat())),
            22 => out.extend_from_slice(input.take(usize::from(arg))),
            23 => {
                let many = frame(op >> 5, arg, stream, &[]);
                (0..input.byte()).for_each(|_| out.extend_from_slice(&many));
            }
            _ => {
                let (kind, flags) = (input.byte(), input.byte());
                out.extend(frame(kind, flags, stream, input.take(usize::from(arg))));
            }
        }
    }
    out
}
