//! One client connection: request after request, each on a backend connection out of the pool.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;

use monoio::buf::{IoBufMut as _, SliceMut};
use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _};
use monoio::net::TcpStream;

use crate::head;

/// Where requests go.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    /// Prefix of the path that is taken away.
    pub(crate) strip: String,
    /// Connections with no request under way.
    pub(crate) idle: RefCell<Vec<TcpStream>>,
}

/// As much as the gateway's buffers hold by default.
pub(crate) const BUFFER_SIZE: usize = 16 * 1024;

impl Backend {
    /// One without a request under way, or a new one.
    pub(crate) async fn connection(&self) -> io::Result<TcpStream> {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some(stream) => Ok(stream),
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }
        }
    }
}

/// Serves a client until it leaves.
pub(crate) async fn relay(mut client: TcpStream, backend: &Backend) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut request, mut response) = (Vec::with_capacity(BUFFER_SIZE), Vec::with_capacity(BUFFER_SIZE));
    let mut out = Vec::with_capacity(BUFFER_SIZE);
    loop {
        let head = loop {
            if let Some(head) = head::request_head(&request)? {
                break head;
            }
            let read;
            (read, request) = receive(&mut client, request).await?;
            if read == 0 {
                return Ok(());
            }
        };
        let path = head.path.start + backend.strip.len();
        out.extend_from_slice(&request[..head.path.start]);
        out.extend_from_slice(request.get(path..head.length).unwrap_or_default());
        let mut upstream = backend.connection().await?;
        let sent;
        (sent, out) = upstream.write_all(out).await;
        sent?;
        out.clear();
        request.drain(..head.length);
        let close;
        (close, response) = relay_response(&mut client, &mut upstream, response).await?;
        if !close {
            backend.idle.borrow_mut().push(upstream);
        }
        if head.close {
            return Ok(());
        }
    }
}

/// Relays one response; says whether the backend closes its connection.
async fn relay_response(
    client: &mut TcpStream,
    upstream: &mut TcpStream,
    mut buffer: Vec<u8>,
) -> io::Result<(bool, Vec<u8>)> {
    let head = loop {
        if let Some(head) = head::response_head(&buffer)? {
            break head;
        }
        let read;
        (read, buffer) = receive(upstream, buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut left = (head.length + head.body).saturating_sub(buffer.len());
    loop {
        let sent;
        (sent, buffer) = client.write_all(buffer).await;
        sent?;
        buffer.clear();
        if left == 0 {
            return Ok((head.close, buffer));
        }
        let read;
        (read, buffer) = receive(upstream, buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(read);
    }
}

/// Appends what comes; 0 at the end of the stream.
pub(crate) async fn receive(stream: &mut TcpStream, buffer: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
    let (at, room) = (buffer.len(), buffer.capacity());
    if at == room {
        return Err(io::Error::other("a head larger than the buffer"));
    }
    let (read, slice): (_, SliceMut<Vec<u8>>) = stream.read(buffer.slice_mut(at..room)).await;
    Ok((read?, slice.into_inner()))
}
