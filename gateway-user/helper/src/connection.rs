//! One gateway's requests, one after the other.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use gateway_ir::BindAddress;
use gateway_steer::{BindWay, LentDescriptors, LentPrograms, PinState, bind_for, bind_udp_for};

use crate::packets::PacketSocket;
use crate::rate::Allowance;
use crate::reply::Reply;
use crate::request::{MAX_REQUEST, Request, Transport};
use crate::shared::Shared;
use crate::wire::{OLDEST_PROTOCOL, PROTOCOL};

/// Limit for the first message.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Lowest port that takes no right (`net.ipv4.ip_unprivileged_port_start` unless somebody has changed it).
const FIRST_OPEN_PORT: u16 = 1024;

/// Most workers of a gateway.
const MAX_WORKERS: u16 = 256;

/// A reply and the descriptors that go with it; or what the gateway must not do, which ends the connection.
type Outcome = Result<(Reply, Vec<OwnedFd>), String>;

/// A connection to a gateway.
pub(crate) struct Connection<'a> {
    channel: PacketSocket,
    number: u64,
    shared: &'a Shared,
    allowance: Allowance,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(channel: PacketSocket, number: u64, shared: &'a Shared) -> Self {
        Self { channel, number, shared, allowance: Allowance::new(Instant::now()) }
    }

    /// Serves until the gateway ends.
    ///
    /// # Errors
    /// It asked for something that it may not have, or its messages are none; one line for people.
    pub(crate) fn serve(mut self) -> Result<(), String> {
        let mut limit = Some(HELLO_TIMEOUT);
        // One byte more tells what is too long from what is not.
        let mut room = [0; MAX_REQUEST + 1];
        loop {
            let (length, descriptors) = match self.channel.receive(&mut room, limit) {
                Ok(received) => received,
                Err(error) if has_left(&error) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err("no greeting".to_owned()),
                Err(error) => return Err(error.to_string()),
            };
            let bytes = room.get(..length).unwrap_or_default();
            let (number, request) = Request::decode(bytes).map_err(|error| error.to_string())?;
            let most = usize::from(matches!(request, Request::StandBy { .. }));
            if descriptors.len() > most {
                return Err("it sent descriptors".to_owned());
            }
            if !self.allowance.take(request.cost(), Instant::now()) {
                return Err("too many requests".to_owned());
            }
            let is_greeting = matches!(request, Request::Hello { .. });
            if is_greeting != limit.is_some() {
                return Err("a greeting comes first, and once".to_owned());
            }
            limit = None;
            let (reply, descriptors) = self.respond(request, descriptors.into_iter().next())?;
            let descriptors: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
            match self.channel.send(&reply.encode(number), &descriptors) {
                Ok(()) => {}
                Err(error) if has_left(&error) => return Ok(()),
                Err(error) => return Err(format!("it takes no reply: {error}")),
            }
        }
    }

    fn respond(&self, request: Request, link: Option<OwnedFd>) -> Outcome {
        match request {
            Request::Hello { protocol: OLDEST_PROTOCOL..=PROTOCOL } => {
                alone(Reply::Welcome(self.shared.policy.clone()))
            }
            Request::Hello { protocol } => Err(format!(
                "it speaks version {protocol} of the messages, and this helper {OLDEST_PROTOCOL} to {PROTOCOL}"
            )),
            Request::Load { workers } => self.load(workers),
            Request::Attach => self.attach(),
            Request::Detach => self.detach(),
            Request::Bind { transport, way, address, port } => self.bind(transport, way, address, port),
            Request::PutAddress(ip) => {
                self.must_assign(ip)?;
                let (shared, number) = (self.shared, self.number);
                said(shared.addresses.put(number, ip, &*shared.duties))
            }
            Request::ExpectAddress(ip) => {
                self.must_assign(ip)?;
                said(self.shared.duties.expect_address(ip).map(|()| true))
            }
            Request::RemoveAddress(ip) => {
                self.must_assign(ip)?;
                let (shared, number) = (self.shared, self.number);
                said(shared.addresses.remove(number, ip, &*shared.duties))
            }
            Request::Announce(ip) => {
                self.must_assign(ip)?;
                said(self.shared.duties.announce(ip).map(|()| true))
            }
            Request::LeaveAddresses => {
                self.shared.addresses.forget(self.number);
                alone(Reply::done(true))
            }
            Request::StandBy { port, backlog } => self.stand_by(link, port, backlog),
            Request::Dismiss => {
                let dismissed = self.shared.with_programs(self.number, |programs| {
                    programs.as_mut().map(LentPrograms::dismiss).is_some()
                });
                alone(Reply::done(dismissed.unwrap_or_default()))
            }
            Request::Orphan => match self.shared.orphan().transpose() {
                Ok(orphan) => Ok((Reply::done(orphan.is_some()), orphan.into_iter().collect())),
                Err(error) => alone(failed(&error)),
            },
            Request::Relieve => alone(Reply::done(self.shared.relieve())),
            Request::GiveStateDir => match self.shared.duties.give_state_dir() {
                Ok(()) => alone(Reply::done(true)),
                Err(error) => alone(failed(&error)),
            },
        }
    }

    fn load(&self, workers: u16) -> Outcome {
        if !(1..=MAX_WORKERS).contains(&workers) {
            return Err(format!("{workers} workers"));
        }
        let name = format!("{}-{}", self.shared.instance, self.number);
        let loaded = self.shared.with_programs(self.number, |programs| {
            if programs.is_some() {
                return Err("it has programs already".to_owned());
            }
            let loaded = LentPrograms::load(&self.shared.lend, &name, workers.into())
                .and_then(|loaded| Ok((loaded.descriptors()?, loaded)));
            Ok(loaded.map(|(descriptors, loaded)| {
                *programs = Some(loaded);
                descriptors
            }))
        });
        match loaded.unwrap_or_else(|| Err("the helper ends".to_owned()))? {
            Ok(LentDescriptors { binds, sockets, loads, verdicts, chooser }) => {
                Ok((Reply::done(true), vec![binds, sockets, loads, verdicts, chooser]))
            }
            Err(reason) => alone(Reply::Failed { errno: 0, reason }),
        }
    }

    fn attach(&self) -> Outcome {
        let attached = self.shared.with_programs(self.number, |programs| {
            let programs = programs.as_mut().filter(|programs| !programs.is_attached());
            let programs = programs.ok_or("it has no programs to attach")?;
            Ok::<_, String>(programs.attach().map(|link| (link, programs.pin_state())))
        });
        match attached.unwrap_or_else(|| Err("the helper ends".to_owned()))? {
            Ok((link, pins)) => {
                let pins = match pins {
                    PinState::Pinned(dir) => Ok(dir.display().to_string()),
                    PinState::NotPinned(reason) => Err(reason),
                };
                Ok((Reply::Done { changed: true, pins }, vec![link]))
            }
            Err(reason) => alone(Reply::Failed { errno: 0, reason }),
        }
    }

    fn detach(&self) -> Outcome {
        let programs = self.shared.with_programs(self.number, Option::take).flatten();
        let changed = programs.is_some();
        match programs.map_or(Ok(()), LentPrograms::detach) {
            Ok(()) => alone(Reply::done(changed)),
            Err(error) => alone(failed(&error)),
        }
    }

    /// The port is one that the gateway could listen on itself. The link of programs that a helper before this one has
    /// loaded is believed as far as the kernel says the same of it.
    fn stand_by(&self, link: Option<OwnedFd>, port: u16, backlog: u32) -> Outcome {
        if port < FIRST_OPEN_PORT || self.shared.policy.reserved_ports.contains(&port) {
            return Err(format!("port {port} is none for the sockets of workers"));
        }
        let uid = self.shared.uid;
        let made = self.shared.with_programs(self.number, |programs| {
            if programs.is_none() {
                let link = link.ok_or("it has no programs that steer")?;
                *programs = Some(LentPrograms::adopt(link)?);
            }
            let programs = programs.as_mut().filter(|programs| programs.is_attached());
            Ok(programs.ok_or("it has no programs that steer")?.stand_by(uid, port, backlog))
        });
        match made.unwrap_or_else(|| Err("the helper ends".to_owned()))? {
            Ok(socket) => Ok((Reply::done(true), vec![socket])),
            Err(error) => alone(failed(&error)),
        }
    }

    fn bind(&self, transport: Transport, way: BindWay, address: BindAddress, port: u16) -> Outcome {
        if !self.shared.policy.serves(address, port) {
            let at = match address {
                BindAddress::Any => "every address".to_owned(),
                BindAddress::Ip(ip) => ip.to_string(),
            };
            return Err(format!("port {port} of {at} is not one that this helper binds"));
        }
        let uid = self.shared.uid;
        let bound = match (transport, way) {
            (Transport::Tcp, way) => bind_for(uid, way, address, port),
            (Transport::Udp, BindWay::Shared) => bind_udp_for(uid, address, port),
            (Transport::Udp, BindWay::Held) => return Err("no UDP port is held".to_owned()),
        };
        match bound {
            Ok(socket) => Ok((Reply::done(true), vec![socket])),
            Err(error) => alone(failed(&error)),
        }
    }

    fn must_assign(&self, ip: IpAddr) -> Result<(), String> {
        let assigns = self.shared.policy.assigns(ip);
        if assigns { Ok(()) } else { Err(format!("{ip} is no address that this helper assigns")) }
    }
}

fn alone(reply: Reply) -> Outcome {
    Ok((reply, Vec::new()))
}

fn said(done: Result<bool, String>) -> Outcome {
    alone(done.map_or_else(|reason| Reply::Failed { errno: 0, reason }, Reply::done))
}

fn failed(error: &io::Error) -> Reply {
    Reply::Failed { errno: error.raw_os_error().unwrap_or(0), reason: error.to_string() }
}

/// True if the other side has closed its end.
fn has_left(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
