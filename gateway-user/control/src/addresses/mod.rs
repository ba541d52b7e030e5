//! Addresses of a pool: which Gateway has which, and on which node's interface it is.
//!
//! [`allocate`] decides (pure), a [`book`] remembers across restarts, and a [`link`] puts what is this node's on its
//! interface. Translation is told who has what; it never chooses.

pub mod allocate;
pub mod book;
pub mod link;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_ir::BindAddress;
use gateway_steer::SteerPlan;
use gateway_translate::{AddressWant, Assignments};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, info};

use self::book::LocalBook;
use self::link::Link;
use crate::cluster::pool::{Given, Wants};

/// How long the cluster may take to say what it has given.
const PATIENCE: Duration = Duration::from_secs(5);

/// The addresses of this node's Gateways.
#[derive(Debug)]
pub struct Pool {
    book: Book,
    link: Link,
    node: String,
    assignments: Arc<Assignments>,
    trouble: String,
}

/// Who decides.
#[derive(Debug)]
pub enum Book {
    /// This process, which serves alone.
    Local(LocalBook),
    /// The leader of the cluster: it is told what is wanted, and says what is given.
    Shared(SharedBook),
}

/// This process's side of what the cluster decides.
#[derive(Debug)]
pub struct SharedBook {
    /// What Gateways ask for.
    pub wants: watch::Sender<Wants>,
    /// What they have.
    pub given: watch::Receiver<Given>,
}

impl Pool {
    /// Addresses that `book` gives, those of `node` on `link`.
    pub fn new(book: Book, link: Link, node: String) -> Self {
        Self { book, link, node, assignments: Arc::default(), trouble: String::new() }
    }

    /// Asks for what is wanted, and puts on the interface what this node is to have. Addresses that it has no more stay
    /// until [`Pool::withdraw`].
    pub async fn provide(&mut self, wants: Vec<AddressWant>) -> Arc<Assignments> {
        let mut trouble = Vec::new();
        let assignments = match &mut self.book {
            Book::Local(book) => {
                let (assignments, failed) = book.turn(&wants);
                trouble.extend(failed);
                assignments
            }
            Book::Shared(book) => {
                book.wants.send_if_modified(|known| {
                    let differs = known.as_ref().is_none_or(|known| **known != wants);
                    *known = Some(Arc::new(wants));
                    differs
                });
                // A process that begins must not go live without addresses that its Gateways have.
                let read = timeout(PATIENCE, book.given.wait_for(|given| given.read)).await.is_ok();
                if !read {
                    trouble.push("the cluster does not say who has which".to_owned());
                }
                Arc::clone(&book.given.borrow_and_update().assignments)
            }
        };
        self.assignments = Arc::clone(&assignments);
        let own = self.own();
        trouble.extend(self.link.add(&own).await.err());
        self.say(trouble.join("; "));
        assignments
    }

    /// Takes off the interface what this node had and has no more. To be called when nothing is steered to it.
    pub async fn withdraw(&mut self) {
        let own = self.own();
        if let Err(error) = self.link.retain(&own).await {
            self.say(error);
        }
    }

    /// Puts on the interface again what somebody may have taken off.
    pub async fn mend(&mut self) {
        self.link.forget();
        let own = self.own();
        if let Err(error) = self.link.add(&own).await {
            self.say(error);
        }
    }

    /// The plan but for addresses that other nodes have.
    pub fn here(&self, mut plan: SteerPlan) -> SteerPlan {
        let elsewhere: BTreeSet<IpAddr> = self.addresses(|node| node != self.node);
        plan.binds.retain(|bind| match bind.address {
            BindAddress::Ip(ip) => !elsewhere.contains(&ip),
            BindAddress::Any => true,
        });
        plan
    }

    /// From here on no other process serves with the same record of addresses.
    pub(crate) fn settle(&mut self) {
        self.link.settle();
    }

    fn own(&self) -> BTreeSet<IpAddr> {
        self.addresses(|node| node == self.node)
    }

    fn addresses(&self, of: impl Fn(&str) -> bool) -> BTreeSet<IpAddr> {
        let given = self.assignments.given.values().flatten();
        given.filter(|one| of(&one.node)).map(|one| one.address).collect()
    }

    fn say(&mut self, trouble: String) {
        if trouble == self.trouble {
            return;
        }
        if trouble.is_empty() {
            info!("addresses: all is well again");
        } else {
            error!("addresses: {trouble}");
        }
        self.trouble = trouble;
    }
}
