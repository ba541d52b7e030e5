//! One head on a connection of its own, and what became of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gateway_testkit::http2::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame, settings,
};

use super::cases::Head;

/// The outcome of a head at one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The handler, or the backend, had the request; the body of the response.
    Served(String),
    /// A response with an error, a reset or the end of the connection.
    Refused,
}

/// `:status 200`, `404` and `400` in the static table (RFC 7541 appendix A): servers use the table.
pub(super) const STATUS_200: u8 = 0x88;
pub(super) const STATUS_404: u8 = 0x8d;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Sends a head that ends its stream; `or_404` counts that as served, for a server of files.
pub(super) fn ask(to: SocketAddr, head: &Head, or_404: bool) -> std::io::Result<Verdict> {
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head.block());
    stream.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings(&[])[..], &head].concat())?;
    let (mut inbox, mut body, mut served) = (Vec::new(), Vec::new(), false);
    loop {
        let mut buffer = [0; 16 << 10];
        let count = stream.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return Ok(Verdict::Refused);
        }
        inbox.extend_from_slice(&buffer[..count]);
        while let Some(&[a, b, c, kind, flags, ..]) = inbox.get(..9) {
            let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = inbox.get(9..end) else { break };
            match kind {
                HEADERS if !served => {
                    // Behind a change of the table's size.
                    let status = payload.iter().copied().find(|byte| !(0x20..0x40).contains(byte));
                    served = status == Some(STATUS_200) || or_404 && status == Some(STATUS_404);
                    if !served {
                        return Ok(Verdict::Refused);
                    }
                }
                DATA => body.extend_from_slice(payload),
                RST_STREAM | GOAWAY => return Ok(Verdict::Refused),
                _ => {}
            }
            if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                return Ok(Verdict::Served(String::from_utf8_lossy(&body).into_owned()));
            }
            inbox.drain(..end);
        }
    }
}
