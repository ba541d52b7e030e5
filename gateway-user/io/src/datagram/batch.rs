//! Datagrams received and sent on by as few calls as possible: recvmmsg(2), sendmmsg(2), and runs that the kernel joins and
//! cuts (UDP_GRO, UDP_SEGMENT; udp(7)).

use std::fmt;
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use libc::{c_int, c_uint, c_void, cmsghdr, iovec, mmsghdr, msghdr, sockaddr_storage, socklen_t};
use nix::sys::socket::{SockaddrLike, SockaddrStorage};

/// Most messages of one call. Each is a datagram, or several of one sender.
const MESSAGES: usize = 16;
/// Bytes of a message: no datagram is longer, and no run of them that the kernel joins.
const ROOM: usize = 1 << 16;
/// Bytes for control data: one header with a number, aligned.
const CONTROL: usize = 32;

/// Buffers for datagrams, and what was received into them last. Memory is touched as far as datagrams are long.
pub struct Batch {
    room: Box<[u8]>,
    messages: Vec<Message>,
}

/// One message.
#[derive(Clone, Copy)]
struct Message {
    length: usize,
    from: Option<SocketAddr>,
    /// Bytes of each datagram but the last, which may be shorter, if they are several.
    segment: Option<u16>,
}

/// The result of sending messages on.
#[derive(Debug, Default)]
pub struct Sent {
    /// Datagrams that the kernel took.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Datagrams that it did not take.
    pub lost: u64,
    /// The error of a connected socket that is no use any more.
    pub error: Option<io::Error>,
}

/// Memory of control data, aligned as its headers must be (cmsg(3)).
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl Default for Batch {
    fn default() -> Self {
        Self { room: vec![0; MESSAGES * ROOM].into_boxed_slice(), messages: Vec::with_capacity(MESSAGES) }
    }
}

impl Batch {
    /// Receives what is queued, as far as there is room, in place of what was received before. Says how many messages that
    /// are.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is queued; of a connected socket also what ICMP said of its peer, such as `ConnectionRefused`.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.messages.clear();
        // SAFETY: all three are plain C structures for which zero bytes are a value.
        let (mut names, mut headers): ([sockaddr_storage; MESSAGES], [mmsghdr; MESSAGES]) =
            unsafe { (zeroed(), zeroed()) };
        let mut controls = [Control([0; CONTROL]); MESSAGES];
        let mut parts = [iovec { iov_base: ptr::null_mut(), iov_len: 0 }; MESSAGES];
        let rooms = self.room.chunks_exact_mut(ROOM);
        let places = names.iter_mut().zip(&mut controls).zip(&mut parts).zip(rooms);
        for (header, (((name, control), part), room)) in headers.iter_mut().zip(places) {
            *part = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: ROOM };
            let message = &mut header.msg_hdr;
            message.msg_name = ptr::from_mut(name).cast();
            message.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
            (message.msg_iov, message.msg_iovlen) = (part, 1);
            message.msg_control = ptr::from_mut(control).cast();
            message.msg_controllen = CONTROL as _;
        }
        // SAFETY: every header names memory of its own that outlives the call, with its length.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                MESSAGES as c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for header in headers.iter().take(count) {
            let message = Message {
                length: (header.msg_len as usize).min(ROOM),
                from: sender(&header.msg_hdr),
                segment: segment(&header.msg_hdr),
            };
            self.messages.push(message);
        }
        Ok(count)
    }

    /// The sender of a message; `None` beyond the last one.
    pub fn sender(&self, index: usize) -> Option<SocketAddr> {
        self.messages.get(index)?.from
    }

    /// The number of datagrams in a message, and of their bytes.
    pub fn extent(&self, index: usize) -> (u64, u64) {
        self.messages.get(index).map_or((0, 0), |message| (message.datagrams(), message.length as u64))
    }

    /// Sends messages on, to `to` or the peer of a connected socket. A datagram for which the kernel has no room now is lost, as
    /// it is on any way.
    pub fn send(&self, range: std::ops::Range<usize>, socket: &UdpSocket, to: Option<SocketAddr>) -> Sent {
        let mut sent = Sent::default();
        let mut next = range.start;
        while next < range.end && sent.error.is_none() {
            match self.send_some(next..range.end, socket, to) {
                Ok(count) => {
                    for index in next..next + count {
                        let (datagrams, bytes) = self.extent(index);
                        sent.datagrams += datagrams;
                        sent.bytes += bytes;
                    }
                    // A call that takes none is not documented; it must not go on for ever.
                    next += count.max(1);
                }
                Err(error) => {
                    self.send_cut(next, socket, to, error, &mut sent);
                    next += 1;
                }
            }
        }
        (next..range.end).for_each(|index| sent.lost += self.extent(index).0);
        sent
    }

    /// The messages from the range's first one on that one call takes.
    fn send_some(
        &self,
        range: std::ops::Range<usize>,
        socket: &UdpSocket,
        to: Option<SocketAddr>,
    ) -> io::Result<usize> {
        let name = to.map(SockaddrStorage::from);
        // SAFETY: a plain C structure for which zero bytes are a value.
        let mut headers: [mmsghdr; MESSAGES] = unsafe { zeroed() };
        let mut controls = [Control([0; CONTROL]); MESSAGES];
        let mut parts = [iovec { iov_base: ptr::null_mut(), iov_len: 0 }; MESSAGES];
        let mut count: c_uint = 0;
        let places = headers.iter_mut().zip(&mut controls).zip(&mut parts);
        for (index, ((header, control), part)) in range.zip(places) {
            let Some(message) = self.messages.get(index) else { break };
            let data = self.data(index, message);
            *part = iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
            let out = &mut header.msg_hdr;
            if let Some(name) = &name {
                (out.msg_name, out.msg_namelen) = (name.as_ptr().cast_mut().cast(), name.len());
            }
            (out.msg_iov, out.msg_iovlen) = (part, 1);
            if let Some(segment) = message.segment {
                put_segment(out, control, segment);
            }
            count += 1;
        }
        // SAFETY: every header names memory that outlives the call, with its length; sendmmsg(2) reads it.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Sends a message that was not taken, cut into its datagrams if it has several: the device may not cut, or one may be too
    /// long for the way.
    fn send_cut(
        &self,
        index: usize,
        socket: &UdpSocket,
        to: Option<SocketAddr>,
        error: io::Error,
        sent: &mut Sent,
    ) {
        let Some(message) = self.messages.get(index) else { return };
        let segment = match message.segment {
            Some(segment) if is_uncut(&error) => usize::from(segment).max(1),
            _ => return sent.fail(error, message.datagrams(), to),
        };
        for datagram in self.data(index, message).chunks(segment) {
            let done = match to {
                Some(to) => socket.send_to(datagram, to),
                None => socket.send(datagram),
            };
            match done {
                Ok(length) => {
                    sent.datagrams += 1;
                    sent.bytes += length as u64;
                }
                Err(error) => sent.fail(error, 1, to),
            }
        }
    }

    fn data(&self, index: usize, message: &Message) -> &[u8] {
        let begin = index * ROOM;
        self.room.get(begin..begin + message.length).unwrap_or_default()
    }
}

impl Message {
    fn datagrams(&self) -> u64 {
        self.segment.map_or(1, |segment| self.length.div_ceil(usize::from(segment).max(1)) as u64)
    }
}

impl Sent {
    fn fail(&mut self, error: io::Error, datagrams: u64, to: Option<SocketAddr>) {
        self.lost += datagrams;
        // An error of a socket that sends to many is one of a datagram, and so is one of its length or of a full queue.
        let of_datagram =
            [libc::EAGAIN, libc::ENOBUFS, libc::ENOMEM, libc::EMSGSIZE, libc::EPERM, libc::EINTR];
        if to.is_none() && !error.raw_os_error().is_some_and(|code| of_datagram.contains(&code)) {
            self.error = Some(error);
        }
    }
}

/// True if a run of datagrams may be taken one by one: errors of UDP_SEGMENT (udp_send_skb in net/ipv4/udp.c).
fn is_uncut(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE))
}

fn sender(header: &msghdr) -> Option<SocketAddr> {
    // SAFETY: the kernel wrote an address of that length, within the storage that the header names.
    let name = unsafe { SockaddrStorage::from_raw(header.msg_name.cast(), Some(header.msg_namelen)) }?;
    let v4 = name.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    v4.or_else(|| {
        let v6 = name.as_sockaddr_in6()?;
        // With its interface, without which a reply to an address of one link finds no way.
        Some(std::net::SocketAddrV6::new(v6.ip(), v6.port(), 0, v6.scope_id()).into())
    })
}

/// The size of the datagrams that a message was joined of.
fn segment(header: &msghdr) -> Option<u16> {
    // SAFETY: the kernel wrote headers of control data into the memory that the header names, and their length beside it;
    // CMSG_FIRSTHDR gives the first one or null.
    let first = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    if (first.cmsg_level, first.cmsg_type) != (libc::SOL_UDP, libc::UDP_GRO) {
        return None;
    }
    // SAFETY: control data of this type is one int (udp_cmsg_recv in include/linux/udp.h), which need not be aligned.
    let size = unsafe { ptr::read_unaligned(libc::CMSG_DATA(first).cast::<c_int>()) };
    u16::try_from(size).ok().filter(|size| *size > 0)
}

/// Has the kernel cut a message.
fn put_segment(header: &mut msghdr, control: &mut Control, segment: u16) {
    // SAFETY: computes lengths from a length.
    let (space, length) =
        unsafe { (libc::CMSG_SPACE(size_of::<u16>() as c_uint), libc::CMSG_LEN(size_of::<u16>() as c_uint)) };
    let memory: *mut c_void = ptr::from_mut(control).cast();
    (header.msg_control, header.msg_controllen) = (memory, space as _);
    let mut head = MaybeUninit::<cmsghdr>::zeroed();
    // SAFETY: the memory is aligned and longer than a header with its data (CONTROL), so both writes are within it.
    unsafe {
        let head = head.assume_init_mut();
        head.cmsg_len = length as _;
        (head.cmsg_level, head.cmsg_type) = (libc::SOL_UDP, libc::UDP_SEGMENT);
        let place = memory.cast::<cmsghdr>();
        ptr::write(place, *head);
        ptr::write_unaligned(libc::CMSG_DATA(place).cast::<u16>(), segment);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}
