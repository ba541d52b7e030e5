//! A node that takes what it is told, acknowledges, and compiles nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::BytesMut;
use gateway_sync::SCHEMA;
use gateway_sync::codec::{self, MAX_DOWN};
use gateway_sync::frame::{Ack, DownFrame, Hello, Up, UpFrame};

/// A version that a node has whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) version: u64,
    pub(super) at: Instant,
}

/// Follows the controller at this socket from a thread, which ends with the connection.
pub(super) fn follow(socket: &Path, node: usize, commits: Sender<Commit>) -> Result<()> {
    let mut stream = UnixStream::connect(socket).with_context(|| format!("{}", socket.display()))?;
    let hello = Hello { schema: SCHEMA, node: format!("node-{node}"), ..Hello::default() };
    stream.write_all(&codec::encode(&Up::from(UpFrame::Hello(hello))))?;
    std::thread::spawn(move || {
        // The controller ends with the measurement.
        let _ = take_all(&mut stream, &commits);
    });
    Ok(())
}

fn take_all(stream: &mut UnixStream, commits: &Sender<Commit>) -> Result<()> {
    let (mut buffer, mut piece) = (BytesMut::new(), vec![0; 64 << 10]);
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(piece.get(..count).unwrap_or_default());
        while let Some(frame) = codec::take(&mut buffer, MAX_DOWN)? {
            match codec::down(frame)?.frame {
                Some(DownFrame::Commit(commit)) => {
                    commits.send(Commit { version: commit.version, at: Instant::now() })?;
                    let ack = Ack { version: commit.version, ..Ack::default() };
                    stream.write_all(&codec::encode(&Up::from(UpFrame::Ack(ack))))?;
                }
                Some(DownFrame::Alive(alive)) => {
                    stream.write_all(&codec::encode(&Up::from(UpFrame::Alive(alive))))?;
                }
                _ => {}
            }
        }
    }
}
