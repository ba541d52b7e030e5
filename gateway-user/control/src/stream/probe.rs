//! Probes among nodes: a datagram that a node sends to another one at its controller's word, and the other's response. They
//! say that the other node serves, whatever became of its stream (decision 274).

mod answer;

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gateway_sync::frame::{Probe, Probed};
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout_at};

pub use answer::ProbeAnswers;
pub(super) use answer::answer;

/// Length of both datagrams: a response is no longer than what asked for it.
const LENGTH: usize = 32;
/// First bytes of a question, and of a response: a response to a response is never sent.
const QUESTION: [u8; 8] = *b"sluice?1";
const RESPONSE: [u8; 8] = *b"sluice!1";
/// Times at which datagrams are sent, by the pause after each: the last one has its time as well.
const DATAGRAM_INTERVAL: Duration = Duration::from_millis(500);
const DATAGRAMS: u32 = 4;
/// Most addresses of a question.
const MAX_TARGETS: usize = 8;
/// Questions at once.
const MAX_QUESTIONS: usize = 8;

/// Asks other nodes, for a controller.
#[derive(Clone, Debug)]
pub(super) struct Prober(Arc<Semaphore>);

impl Default for Prober {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_QUESTIONS)))
    }
}

impl Prober {
    /// Finds the answer to a question and puts it into `answers`. With too many under way there is none.
    pub(super) fn ask(&self, probe: Probe, answers: &mpsc::Sender<Probed>) {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else { return };
        let answers = answers.clone();
        tokio::spawn(async move {
            let _place = place;
            let targets: Vec<_> = probe.targets.iter().filter_map(|text| target(text)).collect();
            let reached = reach(targets.get(..MAX_TARGETS).unwrap_or(&targets), probe.nonce).await;
            // The connection may be gone by now.
            let _ = answers.send(Probed { id: probe.id, reached }).await;
        });
    }
}

/// An address that is one node's.
fn target(text: &str) -> Option<SocketAddr> {
    let target: SocketAddr = text.parse().ok()?;
    let ip = target.ip();
    let is_ones = !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST);
    (is_ones && target.port() != 0).then_some(target)
}

fn datagram(kind: [u8; 8], nonce: u64, random: [u8; 16]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let (head, tail) = bytes.split_at_mut(16);
    let (first, second) = head.split_at_mut(8);
    first.copy_from_slice(&kind);
    second.copy_from_slice(&nonce.to_be_bytes());
    tail.copy_from_slice(&random);
    bytes
}

/// The response to what arrived, if that is a question.
fn response(bytes: &[u8]) -> Option<[u8; LENGTH]> {
    let mut response: [u8; LENGTH] = bytes.try_into().ok()?;
    let kind = response.first_chunk_mut::<8>().filter(|kind| **kind == QUESTION)?;
    *kind = RESPONSE;
    Some(response)
}

/// True as soon as any of them responds; false once all had their time.
async fn reach(targets: &[SocketAddr], nonce: u64) -> bool {
    let random = random();
    let question = datagram(QUESTION, nonce, random);
    let awaited = datagram(RESPONSE, nonce, random);
    let (four, six): (Vec<_>, Vec<_>) = targets.iter().partition(|target| target.is_ipv4());
    tokio::select! {
        true = reach_by("0.0.0.0:0", &four, &question, &awaited) => true,
        true = reach_by("[::]:0", &six, &question, &awaited) => true,
        else => false,
    }
}

async fn reach_by(
    from: &str,
    targets: &[SocketAddr],
    question: &[u8; LENGTH],
    awaited: &[u8; LENGTH],
) -> bool {
    if targets.is_empty() {
        return false;
    }
    let Ok(socket) = UdpSocket::bind(from).await else { return false };
    let begun = Instant::now();
    for round in 1..=DATAGRAMS {
        for target in targets {
            // No route, or nobody who says where the address is: not reached either.
            let _ = socket.send_to(question, target).await;
        }
        let until = begun + DATAGRAM_INTERVAL * round;
        while let Ok(received) = timeout_at(until, receive(&socket)).await {
            if received == Some(*awaited) {
                return true;
            }
        }
    }
    false
}

/// The next datagram; `None` for one of another length, or word that one of ours could not be delivered.
async fn receive(socket: &UdpSocket) -> Option<[u8; LENGTH]> {
    // One byte more tells what is too long from what is not.
    let mut room = [0; LENGTH + 1];
    match socket.recv_from(&mut room).await {
        Ok((length, _)) => room.get(..length)?.try_into().ok(),
        Err(_) => {
            sleep(Duration::from_millis(1)).await;
            None
        }
    }
}

/// Numbers that nobody can guess who does not see the datagram.
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    let (one, other) = bytes.split_at_mut(8);
    one.copy_from_slice(&RandomState::new().hash_one(1).to_ne_bytes());
    other.copy_from_slice(&RandomState::new().hash_one(2).to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_question_alone_gets_a_response_and_it_is_as_long() {
        let question = datagram(QUESTION, 7, [9; 16]);
        let found = response(&question).unwrap();
        assert_eq!(found, datagram(RESPONSE, 7, [9; 16]));
        assert_eq!(response(&found), None, "two nodes do not talk for ever");
        for length in (0..LENGTH).chain([LENGTH + 1, 1500]) {
            let mut other = question.to_vec();
            other.resize(length, 0);
            assert_eq!(response(&other), None, "{length} bytes");
        }
        // Every question is one by its first bytes alone, and nothing else is.
        for seed in 0..100_000_u64 {
            let bytes: Vec<u8> = (0..4)
                .flat_map(|part| fastrand::Rng::with_seed(seed * 4 + part).u64(..).to_le_bytes())
                .collect();
            assert_eq!(response(&bytes), None);
            let nonce = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            let random = bytes[8..24].try_into().unwrap();
            let found = response(&datagram(QUESTION, nonce, random));
            assert_eq!(found, Some(datagram(RESPONSE, nonce, random)));
        }
    }

    #[test]
    fn nobody_is_asked_at_an_address_of_many() {
        for text in
            ["0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1", "192.0.2.7:0", "x:1"]
        {
            assert_eq!(target(text), None, "{text}");
        }
        assert_eq!(target("192.0.2.7:15011"), Some(([192, 0, 2, 7], 15011).into()));
        assert!(target("[2001:db8::7]:15011").is_some());
    }

    /// A socket that says anything but the right thing, and a node that stops serving.
    #[tokio::test]
    async fn a_node_is_reached_while_it_serves() {
        let found = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = found.local_addr().unwrap();
        drop(found);
        let is_serving = Arc::new(AtomicBool::new(true));
        let serves = Arc::clone(&is_serving);
        let serves = Arc::new(move || serves.load(Ordering::SeqCst));
        let answering = tokio::spawn(answer(ProbeAnswers { address, serves }));
        let liar = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let lies_at = liar.local_addr().unwrap();
        let lying = tokio::spawn(async move {
            let mut room = [0; LENGTH];
            while let Ok((_, from)) = liar.recv_from(&mut room).await {
                for lie in [room, datagram(RESPONSE, 7, [0; 16])] {
                    let _ = liar.send_to(&lie, from).await;
                }
            }
        });
        assert!(!reach(&[lies_at], 7).await);
        assert!(reach(&[lies_at, address], 7).await);
        is_serving.store(false, Ordering::SeqCst);
        assert!(!reach(&[address], 7).await);
        assert!(!reach(&[], 7).await);
        is_serving.store(true, Ordering::SeqCst);
        let (answers, mut answered) = mpsc::channel(1);
        Prober::default().ask(Probe { id: 3, targets: vec![address.to_string()], nonce: 1 }, &answers);
        assert_eq!(answered.recv().await, Some(Probed { id: 3, reached: true }));
        answering.abort();
        lying.abort();
    }
}
