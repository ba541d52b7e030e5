//! A case: the abuse of the gateway, and the counters that must show that it was stopped.

use sluice_bench::abusers::Behavior;

use crate::bars::{Bar, Overload};

pub(super) use super::cases::CASES;

/// One excess.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// For `--only` and the table.
    pub(super) name: &'static str,
    /// Settings beside the defaults: limits that the abusers reach, times that end within a short run.
    pub(super) flags: &'static [&'static str],
    /// The gateway's limit of open files, if it is a small one.
    pub(super) open_files: Option<u32>,
    /// The abusers, all of them at once.
    pub(super) abuser_groups: &'static [Abusers],
    pub(super) neighbour: Neighbour,
    pub(super) environment: Environment,
    /// The neighbour's 99th percentile must stay below so many times what it is without, if that is asked.
    pub(super) below: Option<fn(&Overload) -> Bar>,
    /// Counters that show that the case came about; each must be reached.
    pub(super) proofs: &'static [Proof],
}

/// Clients of the other tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abusers {
    pub(super) behavior: Behavior,
    pub(super) connections: u32,
    /// The port that they come to.
    pub(super) to: To,
    /// A path that leads to the other tenant's backend; `/deaf` leads to one that never responds.
    pub(super) target: &'static str,
    /// Milliseconds between two requests or bytes of a connection; 0 asks once.
    pub(super) every_ms: u32,
    /// Makes each target 6,000 bytes long.
    pub(super) long: bool,
}

/// Ports of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The listener that both tenants share.
    Listener,
    /// The listener over TLS of [`Environment::Secure`].
    Secure,
    /// Where probes are served.
    Health,
    /// Where scrapers get the metrics.
    Metrics,
}

/// Which of the neighbour's clients can be served at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// Kept connections and a connection for each request; the abusers are there first.
    Any,
    /// This many kept connections, made before the abusers come, who take the room for new ones.
    Inside(u32),
}

/// Unusual surroundings of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Environment {
    Usual,
    /// Sockets with small buffers, so that transfers stall in the gateway and not in the kernel.
    SmallBuffers,
    /// The access log is a pipe that nobody reads.
    StalledLog,
    /// An HTTPS listener of the other tenant's is there, with a certificate of RSA-2048; the neighbour is measured without and
    /// with the abusers in turn.
    Secure,
    /// The other tenant's backend is a TLS server with a certificate of RSA-2048, which closes each connection after a request
    /// and resumes no session; the neighbour is measured in turn, too.
    SecureBackend,
    /// The other tenant has routes with regular expressions, as costly as the budgets let in; see
    /// [`super::rounds`].
    Expressions,
}

/// A metric that has to move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    /// For the table: a reason code, or what is counted.
    pub(super) label: &'static str,
    pub(super) metric: Metric,
    /// Least growth, or least height, that shows that the case came about.
    pub(super) least: f64,
}

/// Where a proof is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Metric {
    /// Growth of a counter.
    Counter(&'static str),
    /// Growth of the count of requests of the other tenant that ended for this reason.
    Reason(&'static str),
    /// Greatest height of a gauge.
    Peak(&'static str),
}

/// The cases that `--only` names, in order; all if it names none.
///
/// # Errors
/// A name that no case has.
pub(super) fn chosen(only: &[String]) -> anyhow::Result<Vec<Case>> {
    let known = || CASES.map(|case| case.name).join(", ");
    if let Some(name) = only.iter().find(|name| CASES.iter().all(|case| case.name != name.as_str())) {
        anyhow::bail!("--only {name}: there is no such case; write some of {}", known());
    }
    let wanted = |case: &Case| only.is_empty() || only.iter().any(|name| name == case.name);
    Ok(CASES.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_name() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            chosen(&only).map(|cases| cases.iter().map(|case| case.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), CASES.len());
        assert_eq!(names(&["idle", "connections"]).unwrap(), ["connections", "idle"]);
        let error = names(&["idle", "idel"]).unwrap_err().to_string();
        assert!(error.contains("--only idel") && error.contains("mute-backend"), "{error}");
    }

    #[test]
    fn every_case_has_a_crowd_and_a_proof_that_nothing_does_not_reach() {
        for case in CASES {
            assert!(!case.abuser_groups.is_empty() && !case.proofs.is_empty(), "{}", case.name);
            assert!(case.proofs.iter().all(|proof| proof.least > 0.0), "{}", case.name);
        }
    }
}
