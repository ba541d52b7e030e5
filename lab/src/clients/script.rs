//! Clients that read a file of jobs and print a line for each try.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::content;
use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::testbed::Testbed;
use super::transport::Transport;
use crate::process::Process;

/// Time for a client's start, and for each try and each MB of it. A try that fails by time takes longer, so a
/// client that meets many of these is ended, and what it has not done is lost.
const START: Duration = Duration::from_secs(60);
const TRY: Duration = Duration::from_secs(1);
const MEGABYTE: Duration = Duration::from_millis(200);

/// One line of output.
#[derive(Deserialize)]
struct Line {
    job: usize,
    #[serde(flatten)]
    seen: Observation,
}

pub(super) fn run(
    testbed: &Testbed,
    program: &Program,
    transport: Transport,
    jobs: &[Job],
) -> Result<Vec<(usize, Observation)>> {
    let path = testbed.dir().join("jobs");
    fs::write(&path, lines(jobs))?;
    let mut command = program.call();
    command.arg(&path);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("NODE_TLS_REJECT_UNAUTHORIZED", "0").env("NODE_NO_WARNINGS", "1");
    let version = ["--tls-min-v1.2 --tls-max-v1.2", "--tls-min-v1.3 --tls-max-v1.3"];
    if let Some(options) = transport.choose(version[0], version[1]) {
        command.env("NODE_OPTIONS", options);
    }
    let mut process = Process::spawn("client", testbed.dir(), &mut command)?;
    let ended = process.wait_within(limit(jobs))?;
    if !ended.is_some_and(|status| status.success()) {
        eprintln!("a client did not end well ({ended:?}): {}", process.stderr());
    }
    Ok(process.output().lines().filter_map(parse).collect())
}

/// The file of jobs.
pub(super) fn lines(jobs: &[Job]) -> String {
    jobs.iter().enumerate().map(|(number, job)| job.line(number) + "\n").collect()
}

/// A try out of its line. The last line of a client that was ended may be cut: then its try has no result.
pub(super) fn parse(line: &str) -> Option<(usize, Observation)> {
    let Line { job, seen } = serde_json::from_str(line).ok()?;
    Some((job, seen))
}

/// Time for all of these.
pub(super) fn limit(jobs: &[Job]) -> Duration {
    let each = |job: &Job| (TRY + MEGABYTE * (job.size / 1_000_000) as u32) * job.tries;
    START + jobs.iter().map(each).sum::<Duration>()
}

/// A file with a request's content, made once for each size.
pub(super) fn content_file(testbed: &Testbed, size: usize) -> Result<PathBuf> {
    let path = testbed.dir().join(format!("content-{size}"));
    if !path.exists() {
        fs::write(&path, content::pattern(size))?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_job() {
        let (job, seen) = parse(r#"{"job":7,"statuses":[200],"length":0,"sha256":""}"#).unwrap();
        assert_eq!((job, seen.statuses.as_slice()), (7, [200].as_slice()));
        assert_eq!(parse(r#"{"job":7,"sta"#), None);
    }
}
