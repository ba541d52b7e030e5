//! Sockets for datagrams over hot restarts: both processes have the same ones, and one of them receives.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::{Datagrams, Group};
use crate::sockets;

impl Datagrams {
    /// Uses these sockets of another process for the addresses that they are bound to.
    pub(crate) fn inherit(&mut self, sockets: Group) {
        for socket in sockets {
            if let Ok(local) = socket.local_addr() {
                self.inherited.entry(local).or_default().push(socket);
            }
        }
    }

    /// Makes the sockets of the process that is taken over from `uid`'s, so that those which are made later can join them.
    pub(crate) fn give_to(&self, uid: u32) -> io::Result<()> {
        self.inherited.values().flatten().try_for_each(|socket| sockets::give(socket, uid))
    }

    /// Duplicates of all that are live, for a process that takes over.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn lend(&self) -> io::Result<Group> {
        self.live.values().flatten().map(UdpSocket::try_clone).collect()
    }

    /// The process before us lets go. Gives each worker its sockets of the addresses that were inherited, with new ones where
    /// there are fewer than workers, and the addresses where the system refuses.
    ///
    /// The sockets that are there all stay in use: by their number and order the kernel chooses the one of a client.
    pub(crate) fn finish_takeover(&mut self) -> (Vec<Group>, Vec<(SocketAddr, io::Error)>) {
        let inherited = std::mem::take(&mut self.inherited);
        let mut workers: Vec<Group> = (0..self.workers).map(|_| Group::new()).collect();
        let mut failed = Vec::new();
        let groups = self.live.iter_mut().chain(&mut self.prepared);
        for (address, group) in groups.filter(|(address, _)| inherited.contains_key(address)) {
            while group.len() < self.workers {
                match self.ports.bind_udp(*address) {
                    Ok(socket) => group.push(socket),
                    Err(error) => {
                        failed.push((*address, error));
                        break;
                    }
                }
            }
            match group.iter().map(UdpSocket::try_clone).collect::<io::Result<Group>>() {
                Ok(duplicates) => deal(duplicates, &mut workers),
                Err(error) => failed.push((*address, error)),
            }
        }
        (workers, failed)
    }
}

/// Gives each worker its part, in turn.
fn deal(sockets: Group, workers: &mut [Group]) {
    let mut sockets = sockets.into_iter().peekable();
    while sockets.peek().is_some() {
        workers.iter_mut().zip(&mut sockets).for_each(|(worker, socket)| worker.push(socket));
    }
}
