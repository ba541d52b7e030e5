//! The gateway's side: asks, and connects again when the helper was away.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use gateway_ir::BindAddress;
use gateway_steer::{BindWay, EnterStandBy, Helper, LentDescriptors, PinState};
use tracing::{info, warn};

use crate::exchange::{Welcomed, exchange, greet, is_absent, refused};
use crate::packets::PacketSocket;
use crate::policy::Policy;
use crate::reply::Reply;
use crate::request::{Request, Transport};
use crate::wire::PROTOCOL;

/// Time after a reply that did not come, in which nothing is asked: a helper that is stopped must not hold
/// up one thing after the other.
const UNRESPONSIVE_FOR: Duration = Duration::from_secs(5);
/// Time between two looks whether the gateway still runs.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time before the first attempt to connect again, and the longest between two.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A connection to a helper.
#[derive(Debug)]
pub struct HelperClient {
    path: PathBuf,
    line: Mutex<Line>,
    /// Beside the line, which whoever waits for a reply holds.
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Line {
    channel: Option<PacketSocket>,
    /// Number of the last request.
    number: u32,
    /// Until then nothing is asked.
    silent_until: Option<Instant>,
}

/// Everything that is known of the helper.
#[derive(Debug)]
struct Known {
    policy: Policy,
    /// Version of the messages that it speaks.
    protocol: u16,
    state: HelperState,
}

/// The connection as it is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelperState {
    /// True if there is one.
    pub connected: bool,
    /// Connections so far.
    pub connections: u64,
    /// The reason why there is none, for people.
    pub error: String,
}

impl HelperClient {
    /// Connects to the helper that listens at `path`, trying again for so long: both may be starting.
    ///
    /// # Errors
    /// None listens there, one of a stranger does, or it does not welcome us.
    pub fn connect(path: &Path, patience: Duration) -> io::Result<Arc<Self>> {
        let until = Instant::now() + patience;
        let Welcomed { channel, policy, protocol } = loop {
            match greet(path) {
                Err(error) if is_absent(&error) && Instant::now() < until => thread::sleep(RETRY.0),
                greeted => break greeted?,
            }
        };
        let state = HelperState { connected: true, connections: 1, error: String::new() };
        let line = Line { channel: Some(channel), number: 0, silent_until: None };
        let known = Mutex::new(Known { policy, protocol, state });
        Ok(Arc::new(Self { path: path.to_owned(), line: Mutex::new(line), known }))
    }

    /// Watches the connection on a thread, and makes it anew when it is lost, until the client is dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn watch(self: &Arc<Self>) -> io::Result<()> {
        let client = Arc::downgrade(self);
        let watching = move || watch(&client);
        thread::Builder::new().name("sluice-helper".to_owned()).spawn(watching).map(drop)
    }

    /// The helper's limits, as it said last.
    pub fn policy(&self) -> Policy {
        self.known().policy.clone()
    }

    /// The connection's state.
    pub fn state(&self) -> HelperState {
        self.known().state.clone()
    }

    /// Has the helper make the state directory this process's.
    ///
    /// # Errors
    /// It is away, or refuses.
    pub fn give_state_dir(&self) -> io::Result<()> {
        self.ask(Request::GiveStateDir).map(drop)
    }

    /// Puts an address on the helper's interface. False if somebody else had.
    ///
    /// # Errors
    /// The helper is away, or the kernel refuses.
    pub fn put_address(&self, ip: IpAddr) -> io::Result<bool> {
        self.about_address(Request::PutAddress(ip), ip)
    }

    /// Has the helper look whether another host has an address that it is about to be asked to put there.
    ///
    /// # Errors
    /// The helper is away, or the network cannot be asked.
    pub fn expect_address(&self, ip: IpAddr) -> io::Result<()> {
        self.about_address(Request::ExpectAddress(ip), ip).map(drop)
    }

    /// Takes it off, if nobody else asked for it as well.
    ///
    /// # Errors
    /// The helper is away, or the kernel refuses.
    pub fn remove_address(&self, ip: IpAddr) -> io::Result<bool> {
        self.about_address(Request::RemoveAddress(ip), ip)
    }

    /// Tells the interface's network that the address is here.
    ///
    /// # Errors
    /// The helper is away, or the kernel refuses.
    pub fn announce(&self, ip: IpAddr) -> io::Result<()> {
        self.about_address(Request::Announce(ip), ip).map(drop)
    }

    /// Has the helper leave addresses where they are when this process ends: another one serves them.
    pub fn leave_addresses(&self) {
        // A helper that is away has forgotten whose they are.
        let _ = self.ask(Request::LeaveAddresses);
    }

    /// Asks for something that has to do with stand-bys, which older helpers know nothing of. Gives the socket that comes
    /// with the reply. An error is logged: all else works.
    fn about_stand_by(&self, request: Request, link: &[BorrowedFd<'_>]) -> Option<TcpListener> {
        if self.known().protocol < PROTOCOL {
            return None;
        }
        match self.ask_with(request, link) {
            Ok((_, descriptors)) => descriptors.into_iter().next().map(TcpListener::from),
            Err(error) => {
                no_stand_by(&error);
                None
            }
        }
    }

    fn about_address(&self, request: Request, ip: IpAddr) -> io::Result<bool> {
        // Asking for what it does not do would end the connection.
        if !self.policy().assigns(ip) {
            return Err(refused(format!("the helper assigns no address {ip} (its --address-pool)")));
        }
        match self.ask(request)?.0 {
            Reply::Done { changed, .. } => Ok(changed),
            _ => Err(io::Error::other("the helper's reply is for another request")),
        }
    }

    fn bound(
        &self,
        transport: Transport,
        way: BindWay,
        address: BindAddress,
        port: u16,
    ) -> io::Result<OwnedFd> {
        if !self.policy().serves(address, port) {
            return Err(refused(format!(
                "the helper does not serve port {port} (its --reserved-ports and --allowed-ports)"
            )));
        }
        let (_, descriptors) = self.ask(Request::Bind { transport, way, address, port })?;
        descriptors.into_iter().next().ok_or_else(|| io::Error::other("the helper sent no socket"))
    }

    /// Asks for something and waits for the reply. A helper that is away is not waited for.
    fn ask(&self, request: Request) -> io::Result<(Reply, Vec<OwnedFd>)> {
        self.ask_with(request, &[])
    }

    /// The same with descriptors.
    fn ask_with(
        &self,
        request: Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<(Reply, Vec<OwnedFd>)> {
        let mut line = lock(&self.line);
        line.number = line.number.wrapping_add(1);
        let number = line.number;
        let silent = || io::Error::new(io::ErrorKind::TimedOut, "the helper does not respond");
        if line.silent_until.is_some_and(|until| Instant::now() < until) {
            return Err(silent());
        }
        let Some(channel) = &line.channel else { return Err(self.away()) };
        match exchange(channel, request, descriptors, number) {
            Ok((Reply::Failed { errno: 0, reason }, _)) => Err(io::Error::other(reason)),
            Ok((Reply::Failed { errno, .. }, _)) => Err(io::Error::from_raw_os_error(errno)),
            Ok(done) => Ok(done),
            // It may be busy: its programs would go with the connection.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                line.silent_until = Some(Instant::now() + UNRESPONSIVE_FOR);
                Err(silent())
            }
            Err(error) => {
                self.lose(&mut line, &error.to_string());
                Err(self.away())
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    fn lose(&self, line: &mut Line, error: &str) {
        if line.channel.take().is_some() {
            warn!("the helper is gone ({error}); serving goes on with what is there");
        }
        let state = &mut self.known().state;
        state.connected = false;
        state.error = error.to_owned();
    }

    fn away(&self) -> io::Error {
        let error = format!("the helper is away: {}", self.known().state.error);
        io::Error::new(io::ErrorKind::NotConnected, error)
    }

    /// Goes on with a new connection.
    fn found(&self, welcomed: Welcomed) {
        let Welcomed { channel, policy, protocol } = welcomed;
        let mut line = lock(&self.line);
        (line.channel, line.silent_until) = (Some(channel), None);
        let mut known = self.known();
        if known.policy != policy {
            warn!("the helper has other settings than before; a restart takes all of them up");
        }
        (known.policy, known.protocol) = (policy, protocol);
        let connections = known.state.connections + 1;
        known.state = HelperState { connected: true, connections, error: String::new() };
        info!("the helper is back");
    }
}

fn no_stand_by(error: &dyn std::fmt::Display) {
    warn!("should this process be killed, connections are refused until the next one serves: {error}");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Helper for HelperClient {
    fn bind(&self, way: BindWay, address: BindAddress, port: u16) -> io::Result<OwnedFd> {
        self.bound(Transport::Tcp, way, address, port)
    }

    fn bind_udp(&self, address: BindAddress, port: u16) -> io::Result<OwnedFd> {
        self.bound(Transport::Udp, BindWay::Shared, address, port)
    }

    fn load(&self, workers: u32) -> Result<LentDescriptors, String> {
        let workers = u16::try_from(workers).map_err(|_| format!("{workers} workers"))?;
        let (_, descriptors) = self.ask(Request::Load { workers }).map_err(|error| error.to_string())?;
        let descriptors: [OwnedFd; 5] =
            descriptors.try_into().map_err(|_| "the helper sent too few descriptors")?;
        let [binds, sockets, loads, verdicts, chooser] = descriptors;
        Ok(LentDescriptors { binds, sockets, loads, verdicts, chooser })
    }

    fn attach(&self) -> Result<(OwnedFd, PinState), String> {
        let (reply, descriptors) = self.ask(Request::Attach).map_err(|error| error.to_string())?;
        let link = descriptors.into_iter().next().ok_or("the helper sent no link")?;
        let pins = match reply {
            Reply::Done { pins: Ok(dir), .. } => PinState::Pinned(dir.into()),
            Reply::Done { pins: Err(reason), .. } => PinState::NotPinned(reason),
            _ => return Err("the helper's reply is for another request".to_owned()),
        };
        Ok((link, pins))
    }

    fn detach(&self) {
        // Without the helper there is nothing that it could take off: the link goes with this process's own.
        let _ = self.ask(Request::Detach);
    }

    fn stand_by(&self, link: &OwnedFd, port: u16, backlog: u32, enter: EnterStandBy<'_>) {
        let socket = self.about_stand_by(Request::StandBy { port, backlog }, &[link.as_fd()]);
        if let Some(Err(error)) = socket.map(|socket| enter(&socket)) {
            no_stand_by(&error);
        }
    }

    fn dismiss(&self) {
        self.about_stand_by(Request::Dismiss, &[]);
    }

    fn orphan(&self) -> Option<TcpListener> {
        self.about_stand_by(Request::Orphan, &[])
    }

    fn relieve(&self) {
        self.about_stand_by(Request::Relieve, &[]);
    }
}

fn watch(client: &Weak<HelperClient>) {
    let mut delay = RETRY.0;
    loop {
        let Some(held) = client.upgrade() else { return };
        let channel = lock(&held.line).channel.as_ref().and_then(|channel| channel.try_clone().ok());
        let path = held.path.clone();
        // Not for the time of the wait: the last one who has it ends this.
        drop(held);
        if let Some(channel) = channel {
            if channel.has_ended_within(POLL_INTERVAL)
                && let Some(held) = client.upgrade()
            {
                held.lose(&mut lock(&held.line), "the connection has ended");
                delay = RETRY.0;
            }
            continue;
        }
        thread::sleep(delay);
        delay = (delay * 2).min(RETRY.1);
        let greeted = greet(&path);
        let Some(held) = client.upgrade() else { return };
        match greeted {
            Ok(welcomed) => held.found(welcomed),
            Err(error) => held.known().state.error = error.to_string(),
        }
    }
}
