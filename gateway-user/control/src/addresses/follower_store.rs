//! Assignments of a controller over a directory: among the nodes that follow it.

use std::path::PathBuf;
use std::sync::Arc;

use gateway_translate::{AddressWant, Assignments};
use ipnet::IpNet;
use tokio::sync::watch;

use super::allocate::allocate_with_keepers;
use super::assignment_store::AssignmentFile;
use crate::stream::Nodes;
use crate::stream::evidence::Placement;

/// The store of a controller that no other one stands beside: a file, as for a process that serves alone, and the nodes that
/// follow. An address moves when its node is found to be lost.
#[derive(Debug)]
pub struct FollowerAssignmentStore {
    pool: Vec<IpNet>,
    nodes: Arc<Nodes>,
    placement: watch::Receiver<Placement>,
    file: AssignmentFile,
    held: Arc<Assignments>,
}

impl FollowerAssignmentStore {
    /// Opens the store at `path`, which is created if missing. A file that cannot be read is replaced, and the reason is
    /// returned: Gateways may get other addresses then.
    pub fn open(path: PathBuf, pool: Vec<IpNet>, nodes: Arc<Nodes>) -> (Self, Option<String>) {
        let (file, held, why) = AssignmentFile::open(path);
        let placement = nodes.placement();
        (Self { pool, nodes, placement, file, held: held.unwrap_or_default() }, why)
    }

    /// Assigns addresses to these; the second result is an error of the write.
    pub(super) fn update(&mut self, wants: &[AddressWant]) -> (Arc<Assignments>, Option<String>) {
        self.nodes.owned(&self.held);
        let placement = self.placement.borrow_and_update().clone();
        let keepers = placement.keepers(&self.held);
        let next = allocate_with_keepers(&self.pool, &self.held, wants, &placement.here, &keepers);
        if next != *self.held {
            self.held = Arc::new(next);
            self.nodes.owned(&self.held);
        }
        (Arc::clone(&self.held), self.file.keep(&self.held))
    }
}

#[cfg(test)]
mod tests {
    use gateway_ir::ObjectName;
    use gateway_sync::frame::{Ack, Hello};
    use gateway_sync::server::Nodes as _;
    use gateway_testkit::scratch::Scratch;

    use futures_util::FutureExt as _;

    use super::*;

    fn shown(assignments: &Assignments) -> Vec<String> {
        let all =
            assignments.given.iter().flat_map(|(gateway, all)| all.iter().map(move |one| (gateway, one)));
        all.map(|(gateway, one)| format!("{} {} {}", gateway.name, one.address, one.node)).collect()
    }

    #[tokio::test]
    async fn nodes_that_follow_share_the_addresses_and_those_of_an_owner_that_is_away_stay() {
        let dir = Scratch::new("followers").unwrap();
        let want = |name: &str| AddressWant {
            gateway: ObjectName::new("edge", name),
            created: None,
            fixed: Vec::new(),
            free: true,
            nodes: None,
        };
        let wants = ["a", "b"].map(want);
        let join = |nodes: &Arc<Nodes>, name: &str| {
            let hello = Hello { node: name.to_owned(), ..Hello::default() };
            (&**nodes).joins(&hello).now_or_never().unwrap().unwrap();
            (&**nodes).acknowledges(name, Ack::default());
        };
        let open = |nodes: &Arc<Nodes>| {
            nodes.keep_evidence(15011);
            let pool = vec!["192.0.2.0/29".parse().unwrap()];
            FollowerAssignmentStore::open(dir.join("addresses"), pool, Arc::clone(nodes)).0
        };
        let nodes = Arc::<Nodes>::default();
        let mut store = open(&nodes);
        join(&nodes, "n");
        assert_eq!(shown(&store.update(&wants).0), Vec::<String>::new(), "others may come");
        join(&nodes, "m");
        nodes.complete();
        assert_eq!(shown(&store.update(&wants).0), ["a 192.0.2.1 m", "b 192.0.2.2 n"]);
        (&*nodes).leaves("m");
        let given = store.update(&[want("a"), want("b"), want("c")]).0;
        assert_eq!(shown(&given), ["a 192.0.2.1 m", "b 192.0.2.2 n", "c 192.0.2.3 n"]);
        // Another controller process, which has heard nobody.
        let nodes = Arc::<Nodes>::default();
        let mut store = open(&nodes);
        nodes.complete();
        assert_eq!(shown(&store.update(&wants).0), ["a 192.0.2.1 m", "b 192.0.2.2 n"]);
        join(&nodes, "o");
        (&*nodes).withdraws("m");
        assert_eq!(shown(&store.update(&wants).0), ["a 192.0.2.1 o", "b 192.0.2.2 n"], "m said so itself");
    }
}
