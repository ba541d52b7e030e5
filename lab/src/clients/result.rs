//! Results of a client's tries, and the verdict over all.

use std::collections::BTreeMap;

use serde::Serialize;

use super::job::Job;
use super::observation::Observation;

/// A client on this machine.
#[derive(Debug, Serialize)]
pub(super) struct ClientStatus {
    pub(super) client: &'static str,
    /// Absent if the client is not installed.
    pub(super) version: Option<String>,
    /// How to get it.
    pub(super) source: &'static str,
    /// True if it was asked for by name.
    #[serde(skip)]
    pub(super) named: bool,
}

/// The tries of one client at one job.
#[derive(Debug, Serialize)]
pub(super) struct CaseResult {
    pub(super) client: &'static str,
    pub(super) case: &'static str,
    pub(super) transport: &'static str,
    /// Bytes of the content; 0 for a case without.
    pub(super) size: usize,
    pub(super) tries: u32,
    /// Tries in which the client saw the whole response.
    pub(super) seen: u32,
    /// How often it saw what instead.
    pub(super) errors: BTreeMap<String, u32>,
}

impl CaseResult {
    /// Judges the tries that a client made of a job. Tries without a result are lost.
    pub(super) fn of<'a>(
        client: &'static str,
        job: &Job,
        observations: impl Iterator<Item = &'a Observation>,
    ) -> Self {
        let (mut made, mut seen, mut errors) = (0, 0, BTreeMap::new());
        for observation in observations.take(job.tries as usize) {
            made += 1;
            match job.failure(observation) {
                None => seen += 1,
                Some(error) => *errors.entry(error).or_insert(0) += 1,
            }
        }
        if made < job.tries {
            errors.insert("no result".to_owned(), job.tries - made);
        }
        let Job { case, transport, size, tries, .. } = *job;
        Self { client, case: case.name, transport: transport.name(), size, tries, seen, errors }
    }

    /// True if every try was good, and there was one.
    pub(super) fn passed(&self) -> bool {
        self.tries > 0 && self.seen == self.tries
    }
}

/// Every reason why the run fails. A client that is not there never passes: it has no finding, and where it
/// was asked for by name that is a reason.
pub(super) fn failures(statuses: &[ClientStatus], results: &[CaseResult]) -> Vec<String> {
    let mut all = Vec::new();
    for ClientStatus { client, version, named, .. } in statuses {
        match version {
            None if *named => all.push(format!("{client} is not installed, so it was not tested")),
            Some(_) if !results.iter().any(|result| result.client == *client) => {
                all.push(format!("{client} made none of these cases"));
            }
            _ => {}
        }
    }
    if results.is_empty() {
        all.push("no client was tested".to_owned());
    }
    let failed = results.iter().filter(|result| !result.passed()).count();
    if failed > 0 {
        all.push(format!("{failed} of {} cells are not whole", results.len()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::case::CASES;
    use super::super::content;
    use super::super::transport::Transport;
    use super::*;

    fn result(tries: u32, observations: &[Observation]) -> CaseResult {
        CaseResult::of("curl", &Job::new(&CASES[0], Transport::Clear, 0, tries), observations.iter())
    }

    fn status(version: Option<&str>, named: bool) -> ClientStatus {
        ClientStatus { client: "curl", version: version.map(str::to_owned), source: "", named }
    }

    fn good() -> Observation {
        Observation::of(200, content::TEXT)
    }

    #[test]
    fn every_try_must_be_good_and_have_a_result() {
        assert!(result(2, &[good(), good()]).passed());
        let lost = result(3, &[good(), Observation::failed("EPIPE")]);
        assert_eq!((lost.seen, lost.passed()), (1, false));
        assert_eq!(lost.errors, BTreeMap::from([("EPIPE".to_owned(), 1), ("no result".to_owned(), 1)]));
        assert!(!result(2, &[]).passed());
    }

    #[test]
    fn zero_tries_never_pass() {
        assert!(!result(0, &[]).passed());
        assert!(!result(0, &[good()]).passed());
        let run = failures(&[status(Some("8"), false)], &[result(0, &[])]);
        assert_eq!(run, ["1 of 1 cells are not whole"]);
    }

    #[test]
    fn a_client_that_is_not_there_never_passes() {
        let passed = || result(1, &[good()]);
        assert!(failures(&[status(Some("8"), true)], &[passed()]).is_empty());
        let absent = ClientStatus { client: "nc", ..status(None, false) };
        assert!(failures(&[status(Some("8"), false), absent], &[passed()]).is_empty(), "others were tested");
        assert_eq!(failures(&[status(None, false)], &[]), ["no client was tested"]);
        assert_eq!(failures(&[status(None, true)], &[]).len(), 2);
        assert_eq!(failures(&[status(Some("8"), false)], &[]).len(), 2, "it is there and was not tested");
    }

    #[test]
    fn one_lost_try_fails_the_run() {
        let lost = result(3, &[good(), good(), Observation::failed("EPIPE")]);
        let run = failures(&[status(Some("8"), false)], &[result(1, &[good()]), lost]);
        assert_eq!(run, ["1 of 2 cells are not whole"]);
    }
}
