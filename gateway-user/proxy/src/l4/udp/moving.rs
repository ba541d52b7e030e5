//! Flows that may come to another worker than the one that has them. After a hot restart by a process with more workers the kernel
//! chooses among more sockets, and only a client's next datagram shows which; there are none at other times.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gateway_io::now;
use hashbrown::HashMap;

use super::handed::HandedFlow;

/// Flows of all workers by their ends. Cloning shares them.
#[derive(Clone, Default)]
pub struct MovingFlows(Arc<Shared>);

/// The client of a flow, and the address that it sends to.
type Ends = (SocketAddr, SocketAddr);

#[derive(Default)]
struct Shared {
    /// Number of them, by which a worker sees without a lock that there are none.
    count: AtomicUsize,
    flows: Mutex<HashMap<Ends, Moving>>,
}

struct Moving {
    flow: HandedFlow,
    since: Instant,
    moved: Arc<AtomicBool>,
}

/// The entry of a flow, for the worker that has it. Dropping it says that the flow stays, or is no more.
pub(super) struct Movable {
    ends: Ends,
    flows: MovingFlows,
    moved: Arc<AtomicBool>,
}

impl MovingFlows {
    /// Adds a flow to the address `local`, with a socket of its own.
    pub(super) fn add(&self, local: SocketAddr, flow: HandedFlow) -> Movable {
        let (ends, moved) = ((flow.client, local), Arc::default());
        let moving = Moving { flow, since: now(), moved: Arc::clone(&moved) };
        let mut flows = self.lock();
        flows.insert(ends, moving);
        self.0.count.store(flows.len(), Ordering::Release);
        Movable { ends, flows: self.clone(), moved }
    }

    /// Takes the flow of these ends away from the worker that has it.
    pub(super) fn take(&self, client: SocketAddr, local: SocketAddr) -> Option<HandedFlow> {
        if self.is_empty() {
            return None;
        }
        let Moving { mut flow, since, moved } = self.remove(&(client, local))?;
        moved.store(true, Ordering::Release);
        let later = now().saturating_duration_since(since);
        flow.lasted += later;
        flow.idle += later;
        Some(flow)
    }

    /// True if there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.count.load(Ordering::Acquire) == 0
    }

    fn remove(&self, ends: &Ends) -> Option<Moving> {
        let mut flows = self.lock();
        let removed = flows.remove(ends);
        self.0.count.store(flows.len(), Ordering::Release);
        removed
    }

    /// Also after a panic elsewhere: each flow is whole at any time.
    fn lock(&self) -> MutexGuard<'_, HashMap<Ends, Moving>> {
        self.0.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Movable {
    /// True if another worker has the flow now.
    pub(super) fn has_moved(&self) -> bool {
        self.moved.load(Ordering::Acquire)
    }
}

impl Drop for Movable {
    fn drop(&mut self) {
        if !self.has_moved() {
            // The socket is closed after the lock is released.
            drop(self.flows.remove(&self.ends));
        }
    }
}

impl fmt::Debug for MovingFlows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MovingFlows").field(&self.0.count).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use gateway_ir::{BackendProtocol, ClusterKey, ObjectName};

    use super::*;

    fn flow(client: SocketAddr) -> HandedFlow {
        let service = ObjectName { namespace: "apps".into(), name: "dns".into() };
        HandedFlow {
            listener: 1,
            client,
            cluster: ClusterKey { service, port: 53, protocol: BackendProtocol::Udp, tls: false },
            replied: true,
            confirmed: true,
            idle: Duration::ZERO,
            lasted: Duration::ZERO,
            start_ms: 0,
            received: 0,
            sent: 0,
            socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
        }
    }

    #[test]
    fn a_flow_is_taken_once_or_gone_with_its_worker() {
        let flows = MovingFlows::default();
        let [one, other, local] = [1, 2, 53].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(flows.take(one, local).is_none());
        let (moving, staying) = (flows.add(local, flow(one)), flows.add(local, flow(other)));
        assert!(flows.take(one, other).is_none(), "to another address");
        assert_eq!(flows.take(one, local).map(|flow| flow.client), Some(one));
        assert!(moving.has_moved() && !staying.has_moved() && flows.take(one, local).is_none());
        // Another one of the same ends is none of the first one's.
        let _later = flows.add(local, flow(one));
        drop(moving);
        drop(staying);
        assert!(flows.take(other, local).is_none() && flows.take(one, local).is_some() && flows.is_empty());
    }
}
