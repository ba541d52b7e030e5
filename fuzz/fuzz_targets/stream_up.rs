//! Bytes of a node, which may be in a stranger's hands, to a controller: it ends the connection or goes on, and nothing that
//! a node says has it believe in more than one node with a name of ordinary length.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use gateway_ir::ObjectName;
use gateway_sync::frame::{Ack, Hello, Probe, Probed};
use gateway_sync::item::Desired;
use gateway_sync::server::{Leading, Nodes, SharedTable, serve};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

/// Names that were believed, and how often each is there.
#[derive(Default)]
struct Seen {
    joined: RefCell<BTreeSet<String>>,
    open: RefCell<usize>,
}

impl Nodes for &Seen {
    async fn joins(&self, hello: &Hello) -> Result<String, String> {
        if hello.node.is_empty() || hello.node.len() > 253 {
            return Err("no name".to_owned());
        }
        self.joined.borrow_mut().insert(hello.node.clone());
        *self.open.borrow_mut() += 1;
        Ok(hello.node.clone())
    }

    fn acknowledges(&self, node: &str, _: Ack) {
        assert!(self.joined.borrow().contains(node));
    }

    fn hears(&self, node: &str) {
        assert!(self.joined.borrow().contains(node));
    }

    fn withdraws(&self, node: &str) {
        assert!(self.joined.borrow().contains(node));
    }

    fn leaves(&self, _: &str) {
        *self.open.borrow_mut() -= 1;
    }

    fn questions(&self, node: &str) -> mpsc::Receiver<Probe> {
        assert!(self.joined.borrow().contains(node));
        mpsc::channel(1).1
    }

    fn probed(&self, node: &str, _: &Probed) {
        assert!(self.joined.borrow().contains(node));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let table = SharedTable::new(7);
        let gateways = Arc::new([(ObjectName::new("edge", "gw"), "mark".to_owned())].into());
        table.update(Desired { gateways, ..Desired::default() });
        let (_leads, leading) = watch::channel(Leading::Here { term: 0 });
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let seen = Seen::default();
        let nodes = &seen;
        let sending = async {
            // A longer input than the pipe holds ends when the other side does.
            let _ = far.write_all(bytes).await;
            let _ = far.shutdown().await;
            let _ = far.read_to_end(&mut Vec::new()).await;
        };
        let (_ended, ()) = tokio::join!(serve(near, &table, leading, &nodes, "0"), sending);
        assert!(seen.joined.borrow().len() <= 1);
        assert_eq!(*seen.open.borrow(), 0, "who joins leaves");
    });
});
