//! Workers and steering that record the calls they get.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use gateway_control::publish::Workers;
use gateway_control::steer::Steer;
use gateway_proxy::worker::{PrepareError, WorkerCommand};
use gateway_steer::{Prepared, Rejection, RejectionReason, SteerBind, SteerError, SteerPlan};

/// Recorded calls, in order, and injected errors.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) lines: Vec<String>,
    pub(crate) refuse_prepare: bool,
    pub(crate) dead: Option<usize>,
    pub(crate) refuse_port: Option<u16>,
    pub(crate) refuse_apply: bool,
    /// Times that ports were checked.
    pub(crate) checks: usize,
}

impl Recorder {
    pub(crate) fn note(&self, line: String) {
        self.0.lock().unwrap().lines.push(line);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Recorded)) {
        change(&mut self.0.lock().unwrap());
    }
}

pub(crate) fn ports(plan: &SteerPlan) -> String {
    plan.binds.iter().map(|bind| bind.port.to_string()).collect::<Vec<_>>().join(",")
}

impl Workers for Recorder {
    fn count(&self) -> usize {
        2
    }

    fn send(&self, worker: usize, command: WorkerCommand) -> bool {
        if self.0.lock().unwrap().dead == Some(worker) {
            return false;
        }
        match command {
            WorkerCommand::Prepare { generation, reply, .. } => {
                self.note(format!("{worker} prepare {generation}"));
                let refused = self.0.lock().unwrap().refuse_prepare && worker == 1;
                let _ = reply.send(if refused { Err(PrepareError::Draining) } else { Ok(()) });
            }
            WorkerCommand::Commit { generation, reply, .. } => {
                self.note(format!("{worker} commit {generation}"));
                let _ = reply.send(true);
            }
            WorkerCommand::Abort { generation } => self.note(format!("{worker} abort {generation}")),
            WorkerCommand::Endpoints { table, reply } => {
                let all: Vec<String> = table
                    .clusters
                    .iter()
                    .map(|(key, list)| format!("{}={}", key.service.name, list.len()))
                    .collect();
                self.note(format!("{worker} endpoints {}", all.join(" ")));
                let _ = reply.send(());
            }
            other => panic!("not expected: {other:?}"),
        }
        true
    }
}

impl Steer for Recorder {
    fn check(&mut self, plan: &SteerPlan) -> Vec<Rejection> {
        let refused = {
            let mut recorded = self.0.lock().unwrap();
            recorded.checks += 1;
            recorded.refuse_port
        };
        let refuse = |bind: &SteerBind| Rejection {
            bind: *bind,
            reason: RejectionReason::InUse,
            message: "nginx (pid 7) listens there".to_owned(),
        };
        plan.binds.iter().filter(|bind| Some(bind.port) == refused).map(refuse).collect()
    }

    fn prepare(&mut self, plan: &SteerPlan) -> Prepared {
        self.note(format!("sockets for {}", ports(plan)));
        Prepared { listeners: vec![Vec::new(), Vec::new()], datagrams: Vec::new(), refused: Vec::new() }
    }

    fn retiring(&mut self, _: &SteerPlan) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn retiring_datagrams(&mut self, _: &SteerPlan) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn is_behind(&mut self) -> bool {
        false
    }

    fn abandon(&mut self) {
        self.note("no sockets after all".to_owned());
    }

    fn refill(&mut self, worker: usize) -> Result<Vec<TcpListener>, SteerError> {
        self.note(format!("sockets of {worker}"));
        Ok(Vec::new())
    }

    fn refill_datagrams(&mut self, _: usize) -> Result<Vec<UdpSocket>, SteerError> {
        Ok(Vec::new())
    }

    fn apply(&mut self, plan: &SteerPlan) -> Result<Vec<Rejection>, SteerError> {
        self.note(format!("steer {}", ports(plan)));
        if self.0.lock().unwrap().refuse_apply {
            return Err(SteerError::Kernel { what: "map".into(), reason: "full".into() });
        }
        Ok(Vec::new())
    }
}
