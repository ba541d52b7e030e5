//! Programs that connect their input to a socket: its end is the end of the request.

use std::process::Command;

use anyhow::Result;

use super::call::{Input, call};
use super::case::Action;
use super::content;
use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::testbed::{HOST, Testbed};

/// netcat of OpenBSD, which half-closes with `-N`.
pub(super) fn netcat(testbed: &Testbed, program: &Program, job: &Job) -> Result<Observation> {
    let mut command = program.call();
    attempt(testbed, command.args(["-N", "-w", "20", HOST, &job.port().to_string()]), job)
}

/// socat, which half-closes by itself and then waits so many seconds for more.
pub(super) fn socat(testbed: &Testbed, program: &Program, job: &Job) -> Result<Observation> {
    let port = job.port();
    let address = match job.transport.choose("TLS1.2", "TLS1.3") {
        None => format!("TCP:{HOST}:{port}"),
        Some(version) => format!(
            "OPENSSL:{HOST}:{port},verify=0,openssl-min-proto-version={version},openssl-max-proto-version={version}"
        ),
    };
    let mut command = program.call();
    attempt(testbed, command.args(["-t", "20", "STDIO", &address]), job)
}

fn attempt(testbed: &Testbed, command: &mut Command, job: &Job) -> Result<Observation> {
    let text = job.text("");
    let begun = std::str::from_utf8(content::PIECE)?;
    let input = match job.case.action {
        Action::HalfCloseStream => Input::Until(&text, begun),
        _ => Input::Whole(&text),
    };
    let result = call(testbed.dir(), command, &input)?;
    Ok(match result.status {
        Some(status) if status.success() => Observation::of_bytes(result.output.as_bytes()),
        _ => Observation::failed(result.error()),
    })
}
