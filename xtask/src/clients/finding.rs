//! What became of a client's tries, and the verdict over all.

use std::collections::BTreeMap;

use serde::Serialize;

use super::job::Job;
use super::observation::Observation;

/// A client on this machine.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
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
pub(super) struct Finding {
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

impl Finding {
    /// Judges the tries that a client made of a job. Tries without a result are lost.
    pub(super) fn of<'a>(
        client: &'static str,
        job: &Job,
        observations: impl Iterator<Item = &'a Observation>,
    ) -> Self {
        let (mut made, mut seen, mut errors) = (0, 0, BTreeMap::new());
        for observation in observations.take(job.tries as usize) {
            made += 1;
            match job.complaint(observation) {
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

/// Every reason why the run fails. A client that is not there never passes: it has no finding, and where it was asked
/// for by name that is a reason.
pub(super) fn complaints(standings: &[Standing], findings: &[Finding]) -> Vec<String> {
    let mut all = Vec::new();
    for Standing { client, version, named, .. } in standings {
        match version {
            None if *named => all.push(format!("{client} is not installed, so it was not judged")),
            Some(_) if !findings.iter().any(|finding| finding.client == *client) => {
                all.push(format!("{client} made none of these cases"));
            }
            _ => {}
        }
    }
    if findings.is_empty() {
        all.push("no client was judged".to_owned());
    }
    let failed = findings.iter().filter(|finding| !finding.passed()).count();
    if failed > 0 {
        all.push(format!("{failed} of {} cells are not whole", findings.len()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::case::CASES;
    use super::super::content;
    use super::super::transport::Transport;
    use super::*;

    fn finding(tries: u32, observations: &[Observation]) -> Finding {
        Finding::of("curl", &Job::new(&CASES[0], Transport::Clear, 0, tries), observations.iter())
    }

    fn standing(version: Option<&str>, named: bool) -> Standing {
        Standing { client: "curl", version: version.map(str::to_owned), source: "", named }
    }

    fn good() -> Observation {
        Observation::of(200, content::TEXT)
    }

    #[test]
    fn every_try_must_be_good_and_have_a_result() {
        assert!(finding(2, &[good(), good()]).passed());
        let lost = finding(3, &[good(), Observation::failed("EPIPE")]);
        assert_eq!((lost.seen, lost.passed()), (1, false));
        assert_eq!(lost.errors, BTreeMap::from([("EPIPE".to_owned(), 1), ("no result".to_owned(), 1)]));
        assert!(!finding(2, &[]).passed());
    }

    #[test]
    fn zero_tries_never_pass() {
        assert!(!finding(0, &[]).passed());
        assert!(!finding(0, &[good()]).passed());
        let run = complaints(&[standing(Some("8"), false)], &[finding(0, &[])]);
        assert_eq!(run, ["1 of 1 cells are not whole"]);
    }

    #[test]
    fn a_client_that_is_not_there_never_passes() {
        let passed = || finding(1, &[good()]);
        assert!(complaints(&[standing(Some("8"), true)], &[passed()]).is_empty());
        let absent = Standing { client: "nc", ..standing(None, false) };
        assert!(
            complaints(&[standing(Some("8"), false), absent], &[passed()]).is_empty(),
            "others were judged"
        );
        assert_eq!(complaints(&[standing(None, false)], &[]), ["no client was judged"]);
        assert_eq!(complaints(&[standing(None, true)], &[]).len(), 2);
        assert_eq!(complaints(&[standing(Some("8"), false)], &[]).len(), 2, "it is there and was not judged");
    }

    #[test]
    fn one_lost_try_fails_the_run() {
        let lost = finding(3, &[good(), good(), Observation::failed("EPIPE")]);
        let run = complaints(&[standing(Some("8"), false)], &[finding(1, &[good()]), lost]);
        assert_eq!(run, ["1 of 2 cells are not whole"]);
    }
}
