//! A service manager's end of sd_notify(3): a datagram socket that keeps what it hears, with who said it.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part, and there is nobody to publish to

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{io::IoSliceMut, thread};

use gateway_testkit::wait;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};

/// The socket and what it has heard so far.
pub struct Manager {
    name: String,
    heard: Arc<Mutex<Vec<Message>>>,
}

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its sender, as the kernel says.
    pub pid: u32,
    text: String,
}

impl Message {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

impl Manager {
    /// Listens at a path.
    pub fn at_path(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        // As systemd's: services of any user speak to it.
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        Self::hear(path.display().to_string(), socket)
    }

    /// Listens at a name in the abstract namespace, which is written with an `@` before it.
    pub fn at_abstract_name(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        Self::hear(format!("@{name}"), UnixDatagram::bind_addr(&address).unwrap())
    }

    fn hear(name: String, socket: UnixDatagram) -> Self {
        setsockopt(&socket, sockopt::PassCred, &true).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ours = Arc::clone(&heard);
        // Ends with the test's process; its socket is the only thing it holds.
        thread::spawn(move || {
            while let Some(message) = receive(&socket) {
                ours.lock().unwrap().push(message);
            }
        });
        Self { name, heard }
    }

    /// The value of NOTIFY_SOCKET.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything so far, oldest first.
    pub fn heard(&self) -> Vec<Message> {
        self.heard.lock().unwrap().clone()
    }

    /// The first message with this field.
    #[track_caller]
    pub fn wait_for(&self, field: &str) -> Message {
        let at = self.wait_until(field, |message| message.field(field).is_some());
        self.heard().swap_remove(at)
    }

    /// The place of the first message like this.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is: impl Fn(&Message) -> bool) -> usize {
        self.wait_until_after(0, what, is)
    }

    /// The place of the first message like this from `place` on.
    #[track_caller]
    pub fn wait_until_after(&self, place: usize, what: &str, is: impl Fn(&Message) -> bool) -> usize {
        wait::until(&format!("{what} in {:?}", self.heard()), || {
            self.heard().iter().enumerate().skip(place).find(|(_, message)| is(message)).map(|(at, _)| at)
        })
    }
}

fn receive(socket: &UnixDatagram) -> Option<Message> {
    use std::os::fd::AsRawFd as _;

    let mut text = [0; 4096];
    let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let mut parts = [IoSliceMut::new(&mut text)];
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).ok()?;
    let pid = received.cmsgs().ok()?.find_map(|beside| match beside {
        ControlMessageOwned::ScmCredentials(who) => Some(who.pid().cast_unsigned()),
        _ => None,
    })?;
    let length = received.bytes;
    Some(Message { pid, text: String::from_utf8_lossy(text.get(..length)?).into_owned() })
}
