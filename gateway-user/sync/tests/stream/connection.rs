//! Both sides over a connection.

use std::sync::{Arc, Mutex};

use gateway_sync::client::{FollowError, Follower, Identity, Terms, follow};
use gateway_sync::codec;
use gateway_sync::frame::{Ack, Alive, Hello, Probe, Probed, Up, UpFrame};
use gateway_sync::item::Desired;
use gateway_sync::replica::Replica;
use gateway_sync::server::{Leading, Nodes, ServeError, SharedTable, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

use crate::plans::Plan;

/// Words of nodes.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Nodes for &Heard {
    async fn joins(&self, hello: &Hello) -> Result<String, String> {
        self.push(format!("{} joins at {}", hello.node, hello.at));
        if hello.node == "stranger" { Err("not one of ours".to_owned()) } else { Ok(hello.node.clone()) }
    }

    fn acknowledges(&self, node: &str, ack: Ack) {
        self.push(format!("{node} has {}", ack.version));
    }

    fn hears(&self, _: &str) {}

    fn withdraws(&self, node: &str) {
        self.push(format!("{node} serves no more"));
    }

    fn leaves(&self, node: &str) {
        self.push(format!("{node} leaves"));
    }

    fn questions(&self, _: &str) -> mpsc::Receiver<Probe> {
        mpsc::channel(1).1
    }

    fn probed(&self, _: &str, _: &Probed) {}
}

/// Asks one thing, and takes the answer.
struct Asking {
    question: Mutex<Option<mpsc::Receiver<Probe>>>,
    answers: mpsc::UnboundedSender<Probed>,
}

impl Nodes for &Asking {
    async fn joins(&self, hello: &Hello) -> Result<String, String> {
        assert_eq!(hello.probe_at, ["192.0.2.7:15011"]);
        Ok(hello.node.clone())
    }

    fn acknowledges(&self, _: &str, _: Ack) {}

    fn hears(&self, _: &str) {}

    fn withdraws(&self, _: &str) {}

    fn leaves(&self, _: &str) {}

    fn questions(&self, _: &str) -> mpsc::Receiver<Probe> {
        self.question.lock().unwrap().take().unwrap()
    }

    fn probed(&self, node: &str, probed: &Probed) {
        assert_eq!(node, "edge-1");
        self.answers.send(probed.clone()).unwrap();
    }
}

/// Reaches what has an even number.
struct Answering;

impl Follower for Answering {
    fn welcomed(&mut self, _: &str) {}

    fn hears(&mut self) {}

    fn committed(&mut self, _: &Replica) {}

    fn asked(&mut self, probe: Probe, answers: &mpsc::Sender<Probed>) {
        answers.try_send(Probed { id: probe.id, reached: probe.nonce.is_multiple_of(2) }).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_answers_what_its_controller_asks() {
    let (asks, question) = mpsc::channel(2);
    let (answers, mut answered) = mpsc::unbounded_channel();
    let asking = Asking { question: Mutex::new(Some(question)), answers };
    let table = SharedTable::new(7);
    let (_leads, leading) = here();
    let (near, far) = tokio::io::duplex(1000);
    let (_acks, mut acked) = watch::channel(None);
    let (mut replica, mut terms, identity) = (Replica::default(), Terms::default(), identity("edge-1"));
    let mut answering = Answering;
    let serving = async {
        let nodes = &asking;
        serve(near, &table, leading, &nodes, "1.2.3").await
    };
    let following = follow(far, &identity, &mut replica, &mut terms, &mut acked, &mut answering);
    let reading = async {
        for (id, nonce) in [(1, 4), (2, 5)] {
            let targets = vec!["192.0.2.9:15011".to_owned()];
            asks.send(Probe { id, targets, nonce }).await.unwrap();
            assert_eq!(answered.recv().await, Some(Probed { id, reached: nonce == 4 }));
        }
    };
    tokio::select! {
        _ = async { tokio::join!(serving, following) } => unreachable!("both go on"),
        () = reading => {}
    }
}

/// Acknowledges what is committed, and ends by dropping the connection at a version.
struct Acking {
    acks: watch::Sender<Option<Ack>>,
    seen: Vec<Desired>,
}

impl Follower for Acking {
    fn welcomed(&mut self, version: &str) {
        assert_eq!(version, "1.2.3");
    }

    fn hears(&mut self) {}

    fn committed(&mut self, replica: &Replica) {
        self.seen.push(replica.desired().clone());
        self.acks.send_replace(Some(Ack { version: replica.version(), ..Ack::default() }));
    }
}

fn plan(clusters: &[u8]) -> Desired {
    let ports = [(80, vec![(1, false)])].into();
    Plan { ports, clusters: clusters.iter().map(|one| (*one, vec![1])).collect(), ..Plan::default() }
        .desired()
}

fn identity(node: &str) -> Identity {
    let probe_at = vec!["192.0.2.7:15011".to_owned()];
    let token = format!("{node}'s");
    Identity { node: node.to_owned(), version: "0".to_owned(), token, probe_at }
}

fn here() -> (watch::Sender<Leading>, watch::Receiver<Leading>) {
    watch::channel(Leading::Here { term: 3 })
}

#[tokio::test(start_paused = true)]
async fn a_node_follows_versions_and_says_what_it_has() {
    let table = Arc::new(SharedTable::new(7));
    let heard = Heard::default();
    let (leads, leading) = here();
    let (near, far) = tokio::io::duplex(1000);
    let (acks, mut acked) = watch::channel(None);
    let mut follower = Acking { acks, seen: Vec::new() };
    let (mut replica, mut terms) = (Replica::default(), Terms::default());
    let serving = async {
        let nodes = &heard;
        serve(near, &table, leading, &nodes, "1.2.3").await
    };
    let identity = identity("edge-1");
    let following = follow(far, &identity, &mut replica, &mut terms, &mut acked, &mut follower);
    let editing = async {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert!(
            heard.lines().iter().all(|line| !line.contains("has")),
            "nothing is said before there is something"
        );
        for version in 1..=3u8 {
            assert_eq!(table.update(plan(&(0..version).collect::<Vec<_>>())), u64::from(version));
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        leads.send_replace(Leading::Elsewhere { leader: "other".to_owned() });
    };
    let (served, followed, ()) = tokio::join!(serving, following, editing);
    assert!(matches!(served, Err(ServeError::Refused(reason)) if reason == "other leads"));
    assert!(matches!(followed, FollowError::Goodbye { leader, .. } if leader == "other"));
    assert_eq!(terms.newest(), 3);
    assert_eq!(
        heard.lines(),
        ["edge-1 joins at 0", "edge-1 has 1", "edge-1 has 2", "edge-1 has 3", "edge-1 leaves"]
    );
    assert_eq!(follower.seen.last(), Some(&plan(&[0, 1, 2])));
}

#[tokio::test(start_paused = true)]
async fn who_is_not_followed_and_who_may_not_follow() {
    let table = SharedTable::new(7);
    table.update(plan(&[]));
    let heard = Heard::default();
    let go = async |node: &str, term: u64, terms: &mut Terms| {
        let (leads, leading) = watch::channel(Leading::Here { term });
        let (near, far) = tokio::io::duplex(1000);
        let (acks, mut acked) = watch::channel(None);
        let mut follower = Acking { acks, seen: Vec::new() };
        let mut replica = Replica::default();
        let (nodes, identity) = (&heard, identity(node));
        let serving = serve(near, &table, leading, &nodes, "1.2.3");
        let following = follow(far, &identity, &mut replica, terms, &mut acked, &mut follower);
        let ending = async {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            leads.send_replace(Leading::Elsewhere { leader: "next".to_owned() });
        };
        let (_, error, ()) = tokio::join!(serving, following, ending);
        error
    };
    let mut terms = Terms::default();
    let error = go("stranger", 3, &mut terms).await.to_string();
    assert_eq!(error, "not one of ours");
    assert!(
        matches!(go("edge-1", 4, &mut terms).await, FollowError::Goodbye { leader, .. } if leader == "next")
    );
    let error = go("edge-1", 3, &mut terms).await;
    assert!(matches!(error, FollowError::Stale { term: 3, known: 4 }), "{error}");
    // By now a leader that was replaced knows: this term is one of a Lease that was made anew.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(
        matches!(go("edge-1", 3, &mut terms).await, FollowError::Goodbye { leader, .. } if leader == "next")
    );
    assert_eq!(terms.newest(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_nobody_leads_a_node_waits_and_is_judged_by_the_next_leader() {
    let table = SharedTable::new(7);
    table.update(plan(&[]));
    let heard = Heard::default();
    let (leads, leading) = watch::channel(Leading::Elsewhere { leader: String::new() });
    let (near, far) = tokio::io::duplex(1000);
    let (acks, mut acked) = watch::channel(None);
    let mut follower = Acking { acks, seen: Vec::new() };
    let (mut replica, mut terms) = (Replica::default(), Terms::default());
    let (nodes, identity) = (&heard, identity("edge-1"));
    let serving = serve(near, &table, leading.clone(), &nodes, "1.2.3");
    let following = follow(far, &identity, &mut replica, &mut terms, &mut acked, &mut follower);
    let electing = async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert!(heard.lines().is_empty());
        leads.send_replace(Leading::Here { term: 9 });
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        leads.send_replace(Leading::Unknown);
        tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        assert!(!heard.lines().contains(&"edge-1 leaves".to_owned()), "who follows stays");
        leads.send_replace(Leading::Elsewhere { leader: "other".to_owned() });
    };
    let (_, error, ()) = tokio::join!(serving, following, electing);
    assert!(matches!(error, FollowError::Goodbye { leader, .. } if leader == "other"));
    assert_eq!(heard.lines().first().map(String::as_str), Some("edge-1 joins at 0"));
    assert_eq!(terms.newest(), 9);
    // A node that comes while another one leads is told so at once, and not judged; and after a while, that nobody does.
    for leads_now in [Leading::Elsewhere { leader: "other".to_owned() }, Leading::nobody(), Leading::Unknown]
    {
        let leader = if matches!(&leads_now, Leading::Elsewhere { leader } if leader == "other") {
            "other"
        } else {
            ""
        };
        leads.send_replace(leads_now);
        let (near, far) = tokio::io::duplex(1000);
        let serving = serve(near, &table, leading.clone(), &nodes, "1.2.3");
        let following = follow(far, &identity, &mut replica, &mut terms, &mut acked, &mut follower);
        let (_, error) = tokio::join!(serving, following);
        assert!(matches!(error, FollowError::Goodbye { leader: said, .. } if said == leader));
    }
    assert_eq!(heard.lines().iter().filter(|line| line.contains("joins")).count(), 1);
}

/// Bytes of a node to a server of a table; what becomes of it.
async fn sends(bytes: &[u8]) -> Result<(), ServeError> {
    let table = SharedTable::new(7);
    let heard = Heard::default();
    let (_leads, leading) = here();
    let (near, mut far) = tokio::io::duplex(1 << 20);
    far.write_all(bytes).await.unwrap();
    let nodes = &heard;
    let serving = serve(near, &table, leading, &nodes, "1.2.3");
    let reading = async {
        let mut all = Vec::new();
        let _ = far.read_to_end(&mut all).await;
    };
    tokio::select! { served = serving => served, () = reading => unreachable!("the server ends first") }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lies_is_ended() {
    let hello = |schema| UpFrame::Hello(Hello { schema, node: "edge-1".to_owned(), ..Hello::default() });
    let frame = |frame: UpFrame| codec::encode(&Up::from(frame)).to_vec();
    let good = frame(hello(gateway_sync::SCHEMA));
    let ends = async |bytes: Vec<u8>| sends(&bytes).await.unwrap_err().to_string();
    assert!(ends(frame(UpFrame::Alive(Alive {}))).await.contains("no hello"));
    assert!(ends([good.clone(), good.clone()].concat()).await.contains("a second hello"));
    assert!(ends(frame(hello(99))).await.contains("schema 99"));
    assert!(ends([good.clone(), vec![255; 100]].concat()).await.contains("longer than allowed"));
    assert!(ends([good.clone(), vec![0, 0, 0, 2, 255, 255]].concat()).await.contains("cannot be read"));
    assert!(ends(Vec::new()).await.contains("silent"));
    assert!(ends(good).await.contains("silent"), "no sign of life");
}
