//! `openssl s_client`, one call for each connection.

use anyhow::Result;

use super::call::{CallResult, Input, call};
use super::case::Action;
use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::testbed::{HOST, Testbed};

pub(super) fn attempt(testbed: &Testbed, program: &Program, job: &Job) -> Result<Observation> {
    let session = testbed.dir().join("session");
    let session = session.display().to_string();
    match job.case.action {
        Action::Resume => {
            let first = connect(testbed, program, job, &["-sess_out", &session])?;
            let second = connect(testbed, program, job, &["-sess_in", &session])?;
            let (first, mut seen) =
                (observe(&first), Observation { resumed: resumed(&second), ..observe(&second) });
            seen.statuses.splice(0..0, first.statuses);
            seen.error = first.error.or(seen.error);
            Ok(seen)
        }
        Action::Http10 => Ok(observe(&connect(testbed, program, job, &["-alpn", "http/1.0"])?)),
        _ => Ok(observe(&connect(testbed, program, job, &[])?)),
    }
}

fn connect(testbed: &Testbed, program: &Program, job: &Job, flags: &[&str]) -> Result<CallResult> {
    let mut command = program.call();
    command.args(["s_client", "-ign_eof", "-connect", &format!("{HOST}:{}", job.port())]);
    command
        .args(["-servername", job.server_name()])
        .args(job.transport.choose("-tls1_2", "-tls1_3"))
        .args(flags);
    let text = match job.case.action {
        Action::Http10 => job.text("").replacen("HTTP/1.1", "HTTP/1.0", 1),
        _ => job.text("Connection: close\r\n"),
    };
    call(testbed.dir(), &mut command, &Input::Whole(&text))
}

/// The response among all that is printed of the connection.
fn observe(result: &CallResult) -> Observation {
    match result.output.find("HTTP/1.1 ") {
        Some(at) => Observation::of_bytes(result.output.get(at..).unwrap_or_default().as_bytes()),
        None => Observation::failed(alert(result)),
    }
}

/// The alert without its numbers, which differ from call to call.
fn alert(result: &CallResult) -> String {
    let line = result.stderr.lines().find(|line| line.contains("alert"));
    let words = line.and_then(|line| line.split(':').find(|word| word.contains("alert")));
    words.map_or_else(|| result.error(), str::to_owned)
}

/// The line about the session that was made or taken.
fn resumed(result: &CallResult) -> Option<bool> {
    let line =
        result.output.lines().find(|line| line.starts_with("New, ") || line.starts_with("Reused, "))?;
    Some(line.starts_with("Reused"))
}
