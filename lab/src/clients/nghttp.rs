//! nghttp, one call for each try: a client of HTTP/2 alone, made of the library that most others use.

use std::fs;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::call::{CallResult, Input, call};
use super::case::{Action, Body, Content};
use super::content;
use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::script::content_file;
use super::testbed::Testbed;

/// The archive of a try (HAR 1.2), as far as it is read.
#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    #[serde(rename = "httpVersion")]
    version: String,
}

pub(super) fn attempt(testbed: &Testbed, program: &Program, job: &Job) -> Result<Observation> {
    let archive = testbed.dir().join("archive");
    let mut command = program.call();
    command.args(["--timeout=20", "--no-verify-peer"]);
    command.arg(format!("--har={}", archive.display())).args(flags(job));
    if job.case.body != Body::None {
        command.arg(format!("--data={}", content_file(testbed, job.size)?.display()));
    }
    let result = call(testbed.dir(), command.arg(job.url()), &Input::None)?;
    if !result.status.is_some_and(|status| status.success()) {
        return Ok(Observation::failed(result.error()));
    }
    let read = fs::read(&archive).context("nghttp wrote no archive")?;
    let Archive { log: Log { entries } } = serde_json::from_slice(&read).context("nghttp's archive")?;
    Ok(observe(job, &result, &entries))
}

fn flags(job: &Job) -> Vec<String> {
    let case = job.case;
    let mut flags = Vec::new();
    match case.action {
        Action::AtOnce => flags.push(format!("--multiply={}", case.times())),
        // Trailers are seen in its account of frames alone.
        Action::Trailers => flags.push("--verbose".to_owned()),
        _ => {}
    }
    if case.method == "HEAD" {
        flags.push("--header=:method: HEAD".to_owned());
    }
    if case.body == Body::Chunked {
        flags.push("--no-content-length".to_owned());
    }
    if case.expect {
        flags.push("--expect-continue".to_owned());
    }
    flags
}

fn observe(job: &Job, result: &CallResult, entries: &[Entry]) -> Observation {
    let statuses: Vec<u16> = entries.iter().map(|entry| entry.response.status).collect();
    let all_http2 = !entries.is_empty() && entries.iter().all(|entry| entry.response.version == "HTTP/2.0");
    let (content, trailer) = match job.case.action {
        Action::Trailers => (text_in(&result.bytes), content::trailer_in(&result.output)),
        // Contents stand one behind the other.
        _ => (last(&result.bytes, entries.len()), None),
    };
    let content = if job.case.content == Content::Nothing { &[] } else { content };
    Observation {
        statuses,
        version: all_http2.then(|| "2".to_owned()),
        trailer,
        ..Observation::of(0, content)
    }
}

/// The backend's text among the lines of an account.
fn text_in(bytes: &[u8]) -> &[u8] {
    bytes.windows(content::TEXT.len()).find(|window| window == content::TEXT).unwrap_or_default()
}

/// The last one of so many contents of one size.
fn last(bytes: &[u8], count: usize) -> &[u8] {
    let size =
        if bytes.len().is_multiple_of(count.max(1)) { bytes.len() / count.max(1) } else { bytes.len() };
    bytes.get(bytes.len() - size..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_a_status_for_each_request() {
        let text =
            r#"{"log":{"version":"1.2","entries":[{"response":{"status":200,"httpVersion":"HTTP/2.0"}}]}}"#;
        let archive: Archive = serde_json::from_str(text).unwrap();
        assert_eq!(archive.log.entries[0].response.status, 200);
    }

    #[test]
    fn the_last_content_is_one_of_equal_ones() {
        assert_eq!(last(b"abcabc", 2), b"abc");
        assert_eq!(last(b"abcab", 2), b"abcab", "one is not whole");
        assert_eq!(last(b"", 0), b"");
        assert_eq!(text_in(&[b"[1] recv\n", &content::TEXT[..], b"[2]"].concat()), content::TEXT);
        assert_eq!(text_in(b"short"), b"");
    }
}
