//! wget, one call for each try.

use std::fs;

use anyhow::Result;

use super::call::{CallResult, Input, call};
use super::case::Body;
use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::script::content_file;
use super::testbed::Testbed;

/// Exit codes (wget(1)) of a whole response: good, login refused, any other that is not good.
const RESPONDED: [i32; 3] = [0, 6, 8];

pub(super) fn attempt(testbed: &Testbed, program: &Program, job: &Job) -> Result<Observation> {
    let response = testbed.dir().join("response");
    let mut command = program.call();
    command.args(["--no-config", "--server-response", "--content-on-error", "--no-check-certificate"]);
    command.args(["--tries=1", "--timeout=20", "--max-redirect=0", "--no-proxy", "--progress=dot:giga"]);
    command.args(job.transport.choose("--secure-protocol=TLSv1_2", "--secure-protocol=TLSv1_3"));
    command.arg("--output-document").arg(&response).arg(format!("--method={}", job.case.method));
    if job.case.gzip {
        command.arg("--compression=gzip");
    }
    if job.case.body != Body::None {
        command.arg("--body-file").arg(content_file(testbed, job.size)?);
    }
    let urls = vec![job.url(); job.case.times() as usize];
    let result = call(testbed.dir(), command.args(urls), &Input::None)?;
    let code = result.status.and_then(|status| status.code());
    let statuses = statuses(&result);
    if statuses.is_empty() || !code.is_some_and(|code| RESPONDED.contains(&code)) {
        return Ok(Observation::failed(error(&result)));
    }
    let content = fs::read(&response)?;
    // One behind the other.
    let last = content.len() - content.len() / statuses.len();
    let reused = result.stderr.matches("Reusing existing connection").count();
    let connections = u32::try_from(statuses.len().saturating_sub(reused)).ok();
    Ok(Observation { statuses, connections, ..Observation::of(0, content.get(last..).unwrap_or_default()) })
}

fn statuses(result: &CallResult) -> Vec<u16> {
    let lines = result.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("HTTP/1.1 "));
    lines.filter_map(|line| line.get(..3)?.parse().ok()).filter(|status| *status >= 200).collect()
}

/// The line that names an error, if there is one.
fn error(result: &CallResult) -> String {
    let mut lines = result.stderr.lines().rev();
    let named = lines.find(|line| ["ailed", "rror", "reset"].iter().any(|word| line.contains(word)));
    named.map_or_else(|| result.error(), |line| line.trim().to_owned())
}
