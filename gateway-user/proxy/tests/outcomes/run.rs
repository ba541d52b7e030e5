//! One case after the other, on gateways with the limits that their faults need.

use std::time::Duration;

use gateway_io::Driver;
use gateway_ir::Timeouts as RuleTimeouts;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::wait::until;

use crate::backend::Backend;
use crate::case::{Case, Fault, Lease, Outcome, Request, Stage};
use crate::client::Client;
use crate::support::Gateway;
use crate::support::ir::Config;

/// A limit short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);

pub(crate) struct Runner {
    driver: Driver,
    backend: Backend,
}

impl Runner {
    pub(crate) fn new(driver: Driver) -> Self {
        Self { driver, backend: Backend::start() }
    }

    /// Runs cases of one fault on one gateway.
    pub(crate) fn run(&self, cases: &[Case]) -> Vec<Outcome> {
        let Some(fault) = cases.first().map(|case| case.fault) else { return Vec::new() };
        let gateway = self.gateway(fault);
        let numbered = cases.iter().enumerate();
        let mut outcomes: Vec<_> =
            numbered.map(|(number, case)| self.play(&gateway, *case, &path(number))).collect();
        for (number, outcome) in outcomes.iter_mut().enumerate() {
            outcome.reason = reason(&gateway, &path(number));
        }
        outcomes
    }

    fn play(&self, gateway: &Gateway, case: Case, path: &str) -> Outcome {
        if case.lease == Lease::Reused {
            assert_eq!(gateway.get("/first").status, 200);
            finished(gateway);
        }
        self.backend.play(case);
        let mut client = Client::connect(gateway.address);
        client.request(case.request, path);
        let drained = self.backend_and_client_do(gateway, &mut client, case);
        if case.fault == Fault::ClientReset {
            client.reset();
            finished(gateway);
            let backend = self.backend_fate(gateway);
            return Outcome::new("-".to_owned(), "none", "gone", backend, self.backend.attempts());
        }
        let (status, response) = client.response();
        let backend = if drained {
            "gone"
        } else {
            finished(gateway);
            self.backend_fate(gateway)
        };
        let attempts = self.backend.attempts();
        Outcome::new(status, response, client.fate(case.request), backend, attempts)
    }

    /// Does what a fault of the client or of the process needs; true if the gateway has ended.
    fn backend_and_client_do(&self, gateway: &Gateway, client: &mut Client, case: Case) -> bool {
        let ends_by_time = matches!(
            case.fault,
            Fault::None | Fault::BackendSilent | Fault::RequestTimeout | Fault::BackendRequestTimeout
        );
        if !ends_by_time {
            self.backend.wait_for_stage();
            // What the backend has sent of a response has reached the client.
            let seen = match case.stage {
                Stage::Nothing | Stage::HalfHead => 0,
                Stage::Interim if case.request == Request::Old => 0,
                Stage::Interim => 10,
                _ => 50,
            };
            client.read_at_least(seen);
        }
        match case.fault {
            Fault::ClientFin => {
                client.half_close();
                self.backend.go_on();
                false
            }
            Fault::DrainMax => {
                drop(gateway.send(|reply| gateway_proxy::worker::WorkerCommand::Drain {
                    limits: gateway_proxy::worker::DrainLimits {
                        accept: Duration::ZERO,
                        idle: Duration::ZERO,
                        max: Duration::ZERO,
                    },
                    reply,
                }));
                true
            }
            _ => {
                self.backend.go_on();
                false
            }
        }
    }

    fn gateway(&self, fault: Fault) -> Gateway {
        let mut timeouts = Timeouts { half_close: SHORT, ..Timeouts::default() };
        let mut rule = RuleTimeouts::default();
        match fault {
            Fault::BackendSilent => (timeouts.response_header, timeouts.upstream_idle_body) = (SHORT, SHORT),
            Fault::RequestTimeout => rule.request_ms = Some(SHORT.as_millis() as u64),
            Fault::BackendRequestTimeout => rule.backend_request_ms = Some(SHORT.as_millis() as u64),
            _ => {}
        }
        let config = Config::to(self.backend.address).timeouts(rule);
        Gateway::with(self.driver, &config, ProxyConfig { timeouts, ..ProxyConfig::default() })
    }

    /// True if the backend's last connection carries the next request. It carries no other one after that.
    fn backend_fate(&self, gateway: &Gateway) -> &'static str {
        let before = self.backend.last_connection();
        // Where limits are short a busy machine may miss one.
        until("a response", || (gateway.get("/last").status == 200).then_some(()));
        if self.backend.last_connection() == before { "kept" } else { "closed" }
    }
}

/// The target of one case's request.
fn path(number: usize) -> String {
    format!("/case/{number}")
}

/// Waits until no request is under way: connections are back in their pools, and the log has its lines.
fn finished(gateway: &Gateway) {
    gateway.until("no request under way", |counters| counters.active_requests == 0);
}

/// The reason in the access log of the request for `path`.
fn reason(gateway: &Gateway, path: &str) -> String {
    let line = until("the case's line in the log", || {
        gateway.log_lines(1).into_iter().find(|line| line["path"] == path)
    });
    line["reason"].as_str().unwrap_or("-").to_owned()
}
