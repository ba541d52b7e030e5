//! Flows of datagrams on their way to the next process, each with its socket beside it: a flow whose port changes towards its
//! backend is another one to DTLS, WireGuard and SIP.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use gateway_proxy::worker::HandedFlow;

use super::channel::Channel;
use super::flow_record::FlowRecord;
use super::message::ServerMessage;

/// Most flows of one message: names of 253 and 63 bytes (DNS names, RFC 1123) and numbers leave each below 1 KiB of JSON.
pub(super) const MAX_FLOWS: usize = 60;

/// Flows that were received.
#[derive(Debug, Default)]
pub(crate) struct ReceivedFlows {
    pub(crate) flows: Vec<HandedFlow>,
    /// Number of those whose sockets are of no use.
    pub(crate) broken: usize,
    /// Number of those that the old process keeps until they end.
    pub(crate) kept: usize,
    most: usize,
}

/// Sends flows, and how many are kept. Gives how many were sent, with the error that ended it.
pub(super) fn send<'a>(
    channel: &Channel,
    flows: impl Iterator<Item = &'a HandedFlow>,
    kept: usize,
) -> (usize, io::Result<()>) {
    let mut flows = flows.peekable();
    let mut count = 0;
    loop {
        let some: Vec<_> = flows.by_ref().take(MAX_FLOWS).collect();
        let records = some.iter().map(|flow| FlowRecord::of(flow)).collect();
        let descriptors: Vec<_> = some.iter().map(|flow| flow.socket.as_fd()).collect();
        if let Err(error) = channel.send(&ServerMessage::Flows { flows: records, kept }, &descriptors) {
            return (count, Err(error));
        }
        count += some.len();
        if flows.peek().is_none() {
            return (count, Ok(()));
        }
    }
}

impl ReceivedFlows {
    /// None yet, and so many at most.
    pub(super) fn at_most(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Takes the flows of one message.
    ///
    /// # Errors
    /// There are not as many descriptors as flows, or more flows than were asked for.
    pub(super) fn add(
        &mut self,
        records: Vec<FlowRecord>,
        kept: usize,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let count = self.flows.len() + self.broken + records.len();
        if records.len() != descriptors.len() || count > self.most {
            let (flows, sockets) = (records.len(), descriptors.len());
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{flows} flows with {sockets} sockets, where {} flows in all are taken", self.most),
            ));
        }
        self.kept = kept;
        for (record, descriptor) in records.into_iter().zip(descriptors) {
            match record.with(descriptor) {
                Some(flow) => self.flows.push(flow),
                None => self.broken += 1,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::time::Duration;

    use gateway_ir::{BackendProtocol, ClusterKey, ObjectName};
    use gateway_testkit::scratch::Scratch;

    use super::*;
    use crate::handoff::channel::listen;

    const LIMIT: Duration = Duration::from_secs(5);

    fn flow(number: u16, names: usize) -> HandedFlow {
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(target.local_addr().unwrap()).unwrap();
        let service =
            ObjectName { namespace: "n".repeat(names.min(63)).into(), name: "s".repeat(names).into() };
        HandedFlow {
            listener: u64::MAX,
            client: format!("[fe80::ffff:ffff:ffff:ffff%{}]:{number}", u32::MAX).parse().unwrap(),
            cluster: ClusterKey { service, port: 65_535, protocol: BackendProtocol::Udp, tls: false },
            replied: true,
            confirmed: number.is_multiple_of(2),
            idle: Duration::from_millis(u64::MAX),
            lasted: Duration::from_millis(u64::MAX),
            start_ms: u64::MAX,
            received: u64::MAX,
            sent: u64::MAX,
            socket,
        }
    }

    fn channels() -> (Channel, Channel) {
        let dir = Scratch::new("flows").unwrap();
        let listener = listen(&dir.join("s")).unwrap();
        let near = Channel::connect(&dir.join("s"), None).unwrap();
        (near, Channel::accept(listener.as_fd(), None).unwrap())
    }

    fn receive(channel: &Channel, all: &mut ReceivedFlows) -> io::Result<()> {
        match channel.receive(LIMIT)? {
            (ServerMessage::Flows { flows, kept }, descriptors) => all.add(flows, kept, descriptors),
            (other, _) => panic!("{other:?}"),
        }
    }

    /// As large as any can be, over several messages.
    #[test]
    fn flows_arrive_with_their_sockets() {
        let (near, far) = channels();
        let sent: Vec<_> = (0..200).map(|number| flow(number, 253)).collect();
        let mut all = ReceivedFlows::at_most(200);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (count, result) = send(&near, sent.iter(), 7);
                result.unwrap();
                assert_eq!(count, 200);
            });
            while all.flows.len() < 200 {
                receive(&far, &mut all).unwrap();
            }
        });
        assert_eq!((all.kept, all.broken), (7, 0));
        for (one, other) in sent.iter().zip(&all.flows) {
            assert_eq!(FlowRecord::of(one), FlowRecord::of(other));
            assert_eq!(one.socket.local_addr().unwrap(), other.socket.local_addr().unwrap());
        }
        let (count, result) = send(&near, std::iter::empty(), 3);
        assert_eq!((count, result.is_ok()), (0, true));
        receive(&far, &mut all).unwrap();
        assert_eq!((all.flows.len(), all.kept), (200, 3), "none is told as well");
    }

    #[test]
    fn more_flows_than_were_asked_for_or_without_sockets_are_refused() {
        let record = FlowRecord::of(&flow(1, 3));
        let descriptor = || OwnedFd::from(flow(1, 3).socket);
        let add = |records: usize, descriptors: usize| {
            let descriptors = (0..descriptors).map(|_| descriptor()).collect();
            ReceivedFlows::at_most(2).add(vec![record.clone(); records], 0, descriptors)
        };
        assert!(add(2, 2).is_ok() && add(0, 0).is_ok());
        assert!(add(3, 3).is_err() && add(2, 1).is_err() && add(0, 1).is_err());
    }

    #[test]
    fn sockets_of_another_kind_are_no_flows() {
        let record = FlowRecord::of(&flow(1, 3));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let unconnected = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (unix, _peer) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let others: Vec<OwnedFd> = vec![listener.into(), unconnected.into(), unix.into(), file.into()];
        let mut all = ReceivedFlows::at_most(10);
        all.add(vec![record; others.len()], 0, others).unwrap();
        assert_eq!((all.flows.len(), all.broken), (0, 4));
    }

    /// A promise to every version that sends flows at all: never change this text.
    #[test]
    fn a_flow_is_byte_for_byte_what_it_always_was() {
        let mut one = flow(7, 1);
        (one.listener, one.client) = (9, "192.0.2.1:7".parse().unwrap());
        (one.idle, one.lasted) = (Duration::from_millis(3), Duration::from_millis(4));
        (one.start_ms, one.received, one.sent) = (5, 6, 8);
        let message = ServerMessage::Flows { flows: vec![FlowRecord::of(&one)], kept: 2 };
        let text = concat!(
            r#"{"kind":"flows","flows":[{"listener":9,"client":"192.0.2.1:7","namespace":"n","service":"s","port":65535,"#,
            r#""replied":true,"idle_ms":3,"lasted_ms":4,"start_ms":5,"received":6,"sent":8}],"kept":2}"#
        );
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert_eq!(serde_json::from_str::<ServerMessage>(text).unwrap(), message);
    }

    #[test]
    fn broken_records_are_unknown_messages() {
        for text in [
            r#"{"kind":"flows","flows":[{}],"kept":0}"#,
            r#"{"kind":"flows","flows":[{"listener":-1}],"kept":0}"#,
            r#"{"kind":"flows","flows":7,"kept":0}"#,
            r#"{"kind":"flows","kept":0}"#,
        ] {
            assert!(serde_json::from_str::<ServerMessage>(text).is_err(), "{text}");
        }
    }
}
