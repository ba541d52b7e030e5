//! A backend that goes as far as a case says and then does what its fault says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use gateway_testkit::wait::{WAIT_TIMEOUT, until};
use socket2::SockRef;

use crate::case::{Case, Fault, Request, Stage};

/// Bytes of the body that cases promise.
const BODY: &[u8] = b"0123456789";

/// Listens until it is dropped.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct State {
    stop: AtomicBool,
    case: Mutex<Option<Case>>,
    /// Times that the case's request came.
    attempts: AtomicUsize,
    /// The last connection, from 1, that a request came on.
    last: AtomicUsize,
    /// The stage was reached so often.
    reached: AtomicUsize,
    /// The rest of the response may be sent.
    go_on: AtomicBool,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accepting = thread::spawn(move || accept_all(&listener, &shared));
        Self { address, state, accepting: Some(accepting) }
    }

    /// From now on requests for `/case` end like this one.
    pub(crate) fn play(&self, case: Case) {
        *self.state.case.lock().unwrap() = Some(case);
        self.state.attempts.store(0, SeqCst);
        self.state.reached.store(0, SeqCst);
        self.state.go_on.store(false, SeqCst);
    }

    pub(crate) fn attempts(&self) -> usize {
        self.state.attempts.load(SeqCst)
    }

    pub(crate) fn last_connection(&self) -> usize {
        self.state.last.load(SeqCst)
    }

    /// Waits until the case's stage is reached.
    pub(crate) fn wait_for_stage(&self) {
        until("the stage", || (self.state.reached.load(SeqCst) > 0).then_some(()));
    }

    pub(crate) fn go_on(&self) {
        self.state.go_on.store(true, SeqCst);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.state.stop.store(true, SeqCst);
        // Wakes the accept call, which then sees the flag.
        let _ = TcpStream::connect_timeout(&self.address, WAIT_TIMEOUT);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn accept_all(listener: &TcpListener, state: &Arc<State>) {
    for number in 1.. {
        let Ok((stream, _)) = listener.accept() else { return };
        if state.stop.load(SeqCst) {
            return;
        }
        stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
        let state = Arc::clone(state);
        // It ends with its connection, which the gateway closes at the latest at its own end.
        thread::spawn(move || serve(stream, &state, number));
    }
}

fn serve(mut stream: TcpStream, state: &State, number: usize) {
    while let Some(target) = read_head(&mut stream) {
        state.last.store(number, SeqCst);
        match target.as_str() {
            case if case.starts_with("/case/") => {
                state.attempts.fetch_add(1, SeqCst);
                let case = state.case.lock().unwrap_or_else(PoisonError::into_inner).unwrap();
                if !play(&mut stream, state, case) {
                    return;
                }
            }
            // Nothing is left in the pool for the next case.
            "/last" | "/next" => {
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                return;
            }
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap(),
        }
    }
}

/// Plays a case; false once the connection is over.
fn play(stream: &mut TcpStream, state: &State, case: Case) -> bool {
    let sent = match case.request {
        Request::Put => 6,
        Request::Part => 3,
        Request::Get | Request::Old | Request::Post => 0,
    };
    stream.read_exact(&mut [0; 6][..sent]).unwrap();
    let (mut written, rest) = response(case.stage);
    if case.fault == Fault::BackendGarbage {
        // In one piece with what comes before: on its own it could come while the connection is in the pool.
        written.extend_from_slice(b"\0\0garbage\r\n\r\n");
    }
    stream.write_all(&written).unwrap();
    state.reached.fetch_add(1, SeqCst);
    let begun = case.stage as usize >= Stage::Head as usize;
    if begun && matches!(case.fault, Fault::BackendFin | Fault::BackendReset) {
        // A response that breaks before the client has its head is replaced.
        until("the client to have the head", || state.go_on.load(SeqCst).then_some(()));
    }
    match case.fault {
        Fault::None => return true,
        // All that was sent was read, so that the end is a FIN.
        Fault::BackendFin => return false,
        Fault::BackendReset => {
            SockRef::from(&*stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            return false;
        }
        Fault::ClientFin if begun && case.request != Request::Part => {
            until("the client to have closed", || state.go_on.load(SeqCst).then_some(()));
            // The next request may come on the same connection.
            return stream.write_all(&rest).is_ok() && case.stage != Stage::UntilClose;
        }
        _ => {}
    }
    // The gateway ends it.
    let _ = stream.read_to_end(&mut Vec::new());
    false
}

/// The bytes sent up to a stage, and those that would follow.
fn response(stage: Stage) -> (Vec<u8>, Vec<u8>) {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n";
    const LENGTH: &[u8] = b"Content-Length: 10\r\n\r\n";
    let (half, rest) = BODY.split_at(5);
    match stage {
        Stage::Nothing => (Vec::new(), [HEAD, LENGTH, BODY].concat()),
        Stage::HalfHead => (HEAD.into(), [LENGTH, BODY].concat()),
        Stage::Interim => (b"HTTP/1.1 103 Early Hints\r\n\r\n".into(), [HEAD, LENGTH, BODY].concat()),
        Stage::Head => ([HEAD, LENGTH].concat(), BODY.into()),
        Stage::Length => ([HEAD, LENGTH, half].concat(), rest.into()),
        Stage::Chunked => (
            [HEAD, b"Transfer-Encoding: chunked\r\n\r\n5\r\n", half, b"\r\n"].concat(),
            [b"5\r\n", rest, b"\r\n0\r\n\r\n"].concat(),
        ),
        Stage::UntilClose => ([HEAD, b"\r\n", half].concat(), rest.into()),
        Stage::Whole => ([HEAD, LENGTH, BODY].concat(), Vec::new()),
    }
}

/// The target of a request whose head is read; `None` at the connection's end.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    head.split(' ').nth(1).map(str::to_owned)
}
