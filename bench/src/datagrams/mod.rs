//! Datagrams there and back: a client with many flows that compares each echo, and the server that sends them.

mod batch;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::timed::{Counts, TimedReport};
pub use batch::{Batch, To};

/// The flows of a run.
#[derive(Clone, Debug)]
pub struct DatagramsSpec {
    /// Address of the proxy.
    pub to: SocketAddr,
    /// Number of flows, each from a port of its own.
    pub flows: u32,
    /// Datagrams of each that are under way at a time.
    pub window: u32,
    /// Bytes of a datagram; it begins with the numbers of its flow and its own.
    pub bytes: usize,
    /// The time for which they are sent, once every flow has had an echo.
    pub time: Duration,
}

/// Bytes of both numbers.
const NUMBERS: usize = 16;
/// A flow whose echoes have not come for so long has lost them.
const LOST_AFTER: Duration = Duration::from_millis(500);
/// Longest wait for an echo of any flow.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// One flow.
struct Flow {
    number: u64,
    socket: UdpSocket,
    next: u64,
    /// Datagrams without an echo: their numbers, and when they were sent.
    under_way: Vec<(u64, Instant)>,
    heard: Instant,
    has_echo: bool,
}

/// Sends datagrams for so long, each flow the next one as soon as an echo is there. Calls `ready` before the first that counts.
///
/// # Errors
/// A socket cannot be made or used, or a flow has no echo at all.
pub fn datagrams(spec: &DatagramsSpec, ready: impl FnOnce()) -> Result<TimedReport> {
    ensure!(spec.bytes >= NUMBERS, "a datagram has at least {NUMBERS} bytes");
    let mut flows =
        (0..u64::from(spec.flows)).map(|number| Flow::new(number, spec)).collect::<Result<Vec<_>>>()?;
    let mut batch = Batch::default();
    let (mut opening, began) = (Counts::new()?, Instant::now());
    while flows.iter().any(|flow| !flow.has_echo) {
        turn(&mut flows, &mut batch, spec, &mut opening)?;
        ensure!(began.elapsed() < crate::timed::TIMEOUT, "a flow has no echo");
    }
    ready();
    let (mut counts, began) = (Counts::new()?, Instant::now());
    while began.elapsed() < spec.time {
        turn(&mut flows, &mut batch, spec, &mut counts)?;
    }
    Ok(counts.report(began.elapsed()))
}

/// Waits for echoes and takes those that have come; flows that have lost theirs begin anew.
fn turn(flows: &mut [Flow], batch: &mut Batch, spec: &DatagramsSpec, counts: &mut Counts) -> Result<()> {
    let mut waits: Vec<_> =
        flows.iter().map(|flow| PollFd::new(flow.socket.as_fd(), PollFlags::POLLIN)).collect();
    poll(&mut waits, PollTimeout::try_from(WAIT_MAX)?)?;
    let ready: Vec<bool> = waits.iter().map(|wait| wait.any().unwrap_or(false)).collect();
    for (flow, _) in flows.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
        flow.take(batch, spec, counts)?;
    }
    let now = Instant::now();
    let silent = flows.iter_mut().filter(|flow| now.duration_since(flow.heard) >= LOST_AFTER);
    silent.into_iter().try_for_each(|flow| flow.give_up(batch, spec, counts))
}

impl Flow {
    fn new(number: u64, spec: &DatagramsSpec) -> Result<Self> {
        let any = if spec.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(spec.to)?;
        socket.set_nonblocking(true)?;
        let mut flow =
            Self { number, socket, next: 0, under_way: Vec::new(), heard: Instant::now(), has_echo: false };
        flow.fill(&mut Batch::default(), spec)?;
        Ok(flow)
    }

    /// Sends as many as may be under way.
    fn fill(&mut self, batch: &mut Batch, spec: &DatagramsSpec) -> Result<()> {
        let missing = (spec.window as usize).saturating_sub(self.under_way.len());
        for index in 0..missing {
            self.write(batch.put(index, spec.bytes));
        }
        self.send(batch, missing)
    }

    /// Writes the next datagram.
    fn write(&mut self, content: &mut [u8]) {
        write(content, self.number, self.next);
        self.under_way.push((self.next, Instant::now()));
        self.next += 1;
    }

    fn send(&mut self, batch: &mut Batch, count: usize) -> Result<()> {
        match batch.send(0..count, &self.socket, To::Peer) {
            // One that the kernel does not take is lost, and found to be so.
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the echoes that have come, and sends as many datagrams.
    fn take(&mut self, batch: &mut Batch, spec: &DatagramsSpec, counts: &mut Counts) -> Result<()> {
        let count = match batch.receive(&self.socket) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => 0,
            Err(error) => return Err(error.into()),
        };
        self.heard = Instant::now();
        self.has_echo |= count > 0;
        for index in 0..count {
            match self.check(batch.content(index), spec.bytes) {
                Ok(sent) => counts.add(self.heard.duration_since(sent)),
                Err(error) => counts.fail(&error),
            }
        }
        self.fill(batch, spec)
    }

    /// The time at which the datagram was sent whose echo this is.
    fn check(&mut self, content: &mut [u8], bytes: usize) -> Result<Instant> {
        ensure!(content.len() == bytes, "an echo of {} bytes", content.len());
        let number =
            content.get(NUMBERS / 2..NUMBERS).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let number = number.unwrap_or(u64::MAX);
        let place = self.under_way.iter().position(|(sent, _)| *sent == number);
        let place = place.ok_or_else(|| anyhow!("an echo that came before, too late or of another flow"))?;
        let mut expected = vec![0; bytes];
        write(&mut expected, self.number, number);
        ensure!(content == expected, "another datagram came back");
        Ok(self.under_way.swap_remove(place).1)
    }

    /// Counts what is under way as lost, and begins anew.
    fn give_up(&mut self, batch: &mut Batch, spec: &DatagramsSpec, counts: &mut Counts) -> Result<()> {
        self.under_way.drain(..).for_each(|_| counts.fail(&anyhow!("no echo within {LOST_AFTER:?}")));
        self.heard = Instant::now();
        self.fill(batch, spec)
    }
}

/// Writes a datagram of a flow.
fn write(content: &mut [u8], flow: u64, number: u64) {
    let numbers = [flow.to_be_bytes(), number.to_be_bytes()].concat();
    let rest = (0_u8..).map(|n| n ^ number.to_le_bytes()[0]);
    content.iter_mut().zip(numbers.into_iter().chain(rest)).for_each(|(byte, value)| *byte = value);
}

/// Sends every datagram back to whoever sent it, for as long as the socket works.
///
/// # Errors
/// It does not any more.
pub fn serve(socket: &UdpSocket) -> Result<()> {
    let mut batch = Batch::default();
    loop {
        let count = batch.receive(socket)?;
        let mut next = 0;
        while next < count {
            // One that cannot be sent is lost, as datagrams are.
            next += batch.send(next..count, socket, To::Senders).unwrap_or(1).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Responds to each datagram by what `respond` makes of it, until the test ends.
    fn server(mut respond: impl FnMut(u64, &mut [u8]) -> bool + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut batch = Batch::default();
            let mut all = 0;
            loop {
                let count = batch.receive(&socket).unwrap();
                for index in 0..count {
                    all += 1;
                    if respond(all, batch.content(index)) {
                        batch.send(index..index + 1, &socket, To::Senders).unwrap();
                    }
                }
            }
        });
        to
    }

    fn run(to: SocketAddr) -> TimedReport {
        let time = Duration::from_millis(1200);
        datagrams(&DatagramsSpec { to, flows: 3, window: 2, bytes: 64, time }, || ()).unwrap()
    }

    #[test]
    fn every_echo_is_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        thread::spawn(move || serve(&socket));
        let report = run(to);
        assert!(report.done > 100 && report.failed == 0, "{report:?}");
    }

    #[test]
    fn faults_are_told_apart() {
        let lost = run(server(|n, _| n % 50 != 0));
        assert!(lost.failed > 0 && lost.failure.unwrap().contains("no echo within"));
        let changed = run(server(|n, content| {
            content[40] ^= u8::from(n % 50 == 0);
            true
        }));
        assert!(changed.done > 0 && changed.failed > 0);
        assert!(changed.failure.unwrap().contains("another datagram"));
        let mixed = run(server(|n, content| {
            content[15] ^= u8::from(n % 50 == 0) << 7;
            true
        }));
        assert!(mixed.failed > 0 && mixed.failure.unwrap().contains("of another flow"));
    }
}
