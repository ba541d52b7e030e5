//! h2load, one call for each try: as many streams at once as the gateway takes. It shows statuses and lengths alone.

use std::fs;

use anyhow::{Context as _, Result};

use super::call::{Input, call};
use super::case::Body;
use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::script::content_file;
use super::testbed::Testbed;

/// Streams at a time on its connection.
const STREAMS: &str = "100";

pub(super) fn attempt(testbed: &Testbed, program: &Program, job: &Job) -> Result<Observation> {
    let log = testbed.dir().join("log");
    if log.exists() {
        // It would write behind what is there.
        fs::remove_file(&log)?;
    }
    let times = job.case.times();
    let mut command = program.call();
    command.args(["--clients=1", "--threads=1", "--max-concurrent-streams", STREAMS]);
    command.arg(format!("--requests={times}")).arg(format!("--log-file={}", log.display()));
    if job.case.body != Body::None {
        command.arg(format!("--data={}", content_file(testbed, job.size)?.display()));
    }
    let result = call(testbed.dir(), command.arg(job.url()), &Input::None)?;
    if !result.status.is_some_and(|status| status.success()) {
        return Ok(Observation::failed(result.error()));
    }
    let statuses = statuses(&fs::read_to_string(&log).context("h2load wrote no log")?);
    Ok(observe(&result.output, statuses, times as usize))
}

/// The second column of its log.
fn statuses(log: &str) -> Vec<u16> {
    log.lines().filter_map(|line| line.split('\t').nth(1)?.parse().ok()).collect()
}

fn observe(output: &str, statuses: Vec<u16>, times: usize) -> Observation {
    let bytes = data(output).unwrap_or_default();
    // Contents have one length; if one has not, none is right.
    let length = if bytes.is_multiple_of(times) { bytes / times } else { bytes };
    let spoken = output.lines().find_map(|line| line.strip_prefix("Application protocol: "));
    let version = spoken.map(|name| if matches!(name, "h2" | "h2c") { "2" } else { name }.to_owned());
    Observation { statuses, length, version, ..Observation::default() }
}

/// Bytes of content: in `…, 23.44KB (24000) data` the number in brackets.
fn data(output: &str) -> Option<usize> {
    let traffic = output.lines().find_map(|line| line.strip_prefix("traffic: "))?;
    let part = traffic.split(", ").find_map(|part| part.strip_suffix(" data"))?;
    part.split_once('(')?.1.strip_suffix(')')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Application protocol: h2c
finished in 134.39ms, 14881.95 req/s, 1.12MB/s
traffic: 154.43KB (158132) total, 95.70KB (98000) headers (space savings 50.51%), 11.72KB (12000) data
";

    #[test]
    fn its_account_is_understood() {
        let seen = observe(OUTPUT, statuses("1\t200\t5\n2\t200\t6\n"), 200);
        assert_eq!((seen.statuses.as_slice(), seen.length), ([200, 200].as_slice(), 60));
        assert_eq!((seen.version.as_deref(), seen.sha256.as_str()), (Some("2"), ""));
        assert_eq!(observe(&OUTPUT.replace("12000", "12001"), Vec::new(), 200).length, 12001);
        assert_eq!(
            observe(&OUTPUT.replace("h2c", "http/1.1"), Vec::new(), 1).version.as_deref(),
            Some("http/1.1")
        );
    }
}
