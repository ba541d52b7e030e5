//! Machines that a bridge joins: a network namespace each, with what runs in it, and one more in the middle, where the
//! controller and the clients are.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;

/// Work to do in a place.
type Order = Box<dyn FnOnce(&Inside, &mut Machine) + Send>;

/// Processes of a place.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) backend: Option<Guarded>,
    pub(crate) helper: Option<Guarded>,
    pub(crate) gateway: Option<Guarded>,
}

/// A machine of its own.
pub(crate) struct Place {
    pub(crate) number: u8,
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn ip(args: &str) -> String {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Has the calling thread's namespace be the middle.
pub(crate) fn bridge() {
    ip("link add br0 type bridge forward_delay 0 mcast_snooping 0");
    ip("addr add 192.0.2.254/24 dev br0");
    ip("link set br0 up");
}

impl Place {
    /// A place with the address 192.0.2.NUMBER on the bridge of the calling thread's namespace.
    pub(crate) fn new(number: u8) -> Self {
        let (orders, taken) = channel::<Order>();
        let (says, is_there) = channel();
        let label = format!("place-{number}");
        let thread = thread::spawn(move || netns::run(&label, move |inside| serve(inside, &says, &taken)));
        let id: i32 = is_there.recv().unwrap();
        ip(&format!(
            "link add port{number} type veth peer name near{number} address 02:00:00:00:00:0{number}"
        ));
        ip(&format!("link set near{number} netns {id}"));
        ip(&format!("link set port{number} master br0"));
        let place = Self { number, orders: Some(orders), thread: Some(thread) };
        place.link(true);
        place.run(move |_, _| {
            ip(&format!("link set near{number} name near"));
            ip("link set near up");
            ip(&format!("addr add 192.0.2.{number}/24 dev near"));
        });
        place
    }

    pub(crate) fn name(&self) -> String {
        format!("edge-{}", self.number)
    }

    /// Plugs the place's cable into the bridge, or pulls it out. For the middle to call.
    pub(crate) fn link(&self, plugged: bool) {
        ip(&format!("link set port{} {}", self.number, if plugged { "up" } else { "down" }));
    }

    /// Does something there.
    #[track_caller]
    pub(crate) fn run<T: Send + 'static>(
        &self,
        order: impl FnOnce(&Inside, &mut Machine) -> T + Send + 'static,
    ) -> T {
        let (says, said) = channel();
        let order = move |inside: &Inside, machine: &mut Machine| says.send(order(inside, machine)).unwrap();
        self.orders.as_ref().unwrap().send(Box::new(order)).unwrap();
        said.recv().expect("what was to be done is done")
    }

    /// Addresses of the pool that are on its interface.
    pub(crate) fn pool(&self) -> BTreeSet<IpAddr> {
        let listed = self.run(|_, _| ip("-o addr show near"));
        let words = listed.split_whitespace().filter_map(|word| word.strip_suffix("/32")?.parse().ok());
        words.collect()
    }

    /// The output of its gateway.
    pub(crate) fn log(&self) -> String {
        self.run(|_, machine| machine.gateway.as_ref().map(Guarded::output).unwrap_or_default())
    }
}

fn serve(inside: &Inside, says: &Sender<i32>, orders: &Receiver<Order>) {
    says.send(nix::unistd::gettid().as_raw()).unwrap();
    let mut machine = Machine::default();
    orders.iter().for_each(|order| order(inside, &mut machine));
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
