//! Frames by hand (RFC 9113 section 4).

/// Content (section 6.1).
pub const DATA: u8 = 0;
/// A head, or its beginning (section 6.2).
pub const HEADERS: u8 = 1;
/// A place in a tree that has no keeper (section 6.3).
pub const PRIORITY: u8 = 2;
/// The end of a stream (section 6.4).
pub const RST_STREAM: u8 = 3;
/// Settings of the sender (section 6.5).
pub const SETTINGS: u8 = 4;
/// A question for a sign of life (section 6.7).
pub const PING: u8 = 6;
/// The end of the connection (section 6.8).
pub const GOAWAY: u8 = 7;
/// Room for more content (section 6.9).
pub const WINDOW_UPDATE: u8 = 8;
/// More of a head (section 6.10).
pub const CONTINUATION: u8 = 9;

/// DATA, HEADERS: nothing follows on the stream.
pub const END_STREAM: u8 = 1;
/// HEADERS, CONTINUATION: the head is whole.
pub const END_HEADERS: u8 = 4;

/// `GET http://a.example.x/`, from the static table but for the authority (RFC 7541 appendix A).
pub const GET: &[u8] = b"\x82\x86\x84\x41\x0ba.example.x";
/// The same with POST.
pub const POST: &[u8] = b"\x83\x86\x84\x41\x0ba.example.x";
/// `GET http://a.example.x/large?100000`, a response of which a client takes its time.
pub const LARGE: &[u8] = b"\x82\x86\x04\x0d/large?100000\x41\x0ba.example.x";
/// `POST http://a.example.x/receive`, a body that is read.
pub const RECEIVE: &[u8] = b"\x83\x86\x04\x08/receive\x41\x0ba.example.x";

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A field that is not kept in the table, neither name nor value compressed.
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        match u8::try_from(text.len()).ok().filter(|len| *len < 127) {
            Some(len) => out.push(len),
            None => {
                out.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    out.push((rest % 128 + 128) as u8);
                    rest /= 128;
                }
                out.push(rest as u8);
            }
        }
        out.extend(text);
    }
    out
}

/// The same, kept.
pub fn indexed(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = literal(name, value);
    out[0] = 0x40;
    out
}

/// SETTINGS with these values.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}
