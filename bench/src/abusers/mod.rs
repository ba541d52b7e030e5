//! Clients that misbehave: many connections, each of which does the same thing, and comes back
//! when it is ended.
//!
//! Descriptors are counted per process, so abusers are a process of their own, beside the
//! clients that verify.

mod behavior;
mod handshake;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

pub use behavior::{Behavior, until_closed};

/// Parameters of the abusers.
#[derive(Clone, Debug)]
pub struct AbusersSpec {
    /// The proxy.
    pub to: SocketAddr,
    /// The Host field.
    pub host: String,
    /// Path and query that are asked for.
    pub target: String,
    /// More fields of each head: names and values.
    pub fields: Vec<(String, String)>,
    /// The behaviour of each connection.
    pub behavior: Behavior,
    /// How many there are.
    pub connections: usize,
    /// Time between two requests, or two bytes, of a connection. [`Behavior::Ask`] asks only once
    /// if it is zero.
    pub every: Duration,
    /// [`Behavior::Ask`] waits before its first request as well, and each time for an exponentially
    /// distributed time whose mean is `every`: requests come at random moments and not in step.
    pub random: bool,
    /// Time until a connection that was ended, or could not be made, is tried again.
    pub pause: Duration,
}

/// Connections whose first steps are taken at once; fewer than any accept queue holds.
const BATCH: usize = 100;
/// Longest wait for those: some may never be let in.
const BATCH_TIMEOUT: Duration = Duration::from_millis(200);

/// Keeps the abusers connected until this is dropped; `there` is called once every connection has been tried.
/// Needs a tokio runtime with I/O and time.
pub async fn abusers(spec: AbusersSpec, there: impl FnOnce()) {
    LocalSet::new().run_until(keep(Rc::new(spec), there)).await;
}

async fn keep(spec: Rc<AbusersSpec>, there: impl FnOnce()) {
    let mut members = JoinSet::new();
    while members.len() < spec.connections {
        let (begun, mut all_begun) = mpsc::unbounded_channel();
        for _ in 0..BATCH.min(spec.connections - members.len()) {
            members.spawn_local(reconnect(Rc::clone(&spec), begun.clone()));
        }
        drop(begun);
        // Ends when every sender is dropped: nothing is ever sent.
        let _ = tokio::time::timeout(BATCH_TIMEOUT, all_begun.recv()).await;
    }
    there();
    while members.join_next().await.is_some() {}
}

/// One connection after the other; `begun` is dropped once the first has done its first step.
async fn reconnect(spec: Rc<AbusersSpec>, begun: mpsc::UnboundedSender<()>) {
    let mut begun = Some(begun);
    loop {
        if let Ok(stream) = TcpStream::connect(spec.to).await {
            // The proxy counts ends by reason; nothing is counted here.
            let _ = spec.behavior.run(stream, &spec, || drop(begun.take())).await;
        }
        begun = None;
        sleep(spec.pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn spec(to: SocketAddr, behavior: Behavior) -> AbusersSpec {
        let (every, pause) = (Duration::from_millis(1), Duration::from_millis(1));
        let (host, target, fields) = ("a".to_owned(), "/download/100".to_owned(), Vec::new());
        AbusersSpec { to, host, target, fields, behavior, connections: 250, every, random: false, pause }
    }

    #[tokio::test]
    async fn refused_connections_come_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let spec = spec(listener.local_addr().unwrap(), Behavior::Ask);
        let seen = Cell::new(0);
        let refuse = async {
            while seen.get() < 4 * spec.connections {
                drop(listener.accept().await.unwrap());
                seen.set(seen.get() + 1);
            }
        };
        tokio::select! {
            () = abusers(spec.clone(), || {}) => panic!("abusers end with their process only"),
            () = refuse => {}
        }
    }

    #[tokio::test]
    async fn fields_are_sent_at_random_moments_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fields = vec![("X-Bench-Id".to_owned(), "abc".to_owned())];
        let plain = spec(listener.local_addr().unwrap(), Behavior::Ask);
        let spec = AbusersSpec { fields, random: true, connections: 1, ..plain };
        let receive = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut head).await.unwrap() > 0);
            }
            assert!(String::from_utf8(head).unwrap().contains("\r\nX-Bench-Id: abc\r\n"));
        };
        tokio::select! {
            () = abusers(spec, || {}) => panic!("abusers end with their process only"),
            () = receive => {}
        }
    }

    #[tokio::test]
    async fn every_behavior_is_reached_by_all_connections() {
        for behavior in Behavior::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let spec = spec(listener.local_addr().unwrap(), behavior);
            let (said, told) = tokio::sync::oneshot::channel();
            tokio::select! {
                () = abusers(spec, || said.send(()).unwrap()) => panic!("{behavior:?}"),
                served = crate::backend::serve(listener) => panic!("{served:?}"),
                told = told => told.unwrap(),
            }
        }
    }
}
