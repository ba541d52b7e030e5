//! Chromium without a window: a page makes the requests with fetch and reports what it saw.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::script::{limit, parse};
use super::testbed::Testbed;
use super::transport::Transport;
use crate::process::Process;

const PAGE: &str = include_str!("../../clients/chromium/page.html");
/// The place for the jobs in it.
const JOBS: &str = "[/* jobs */]";

const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--ignore-certificate-errors",
];

pub(super) fn run(
    testbed: &Testbed,
    program: &Program,
    transport: Transport,
    jobs: &[Job],
) -> Result<Vec<(usize, Observation)>> {
    let Some(first) = jobs.first() else { return Ok(Vec::new()) };
    show(testbed, program, transport, &page(first), jobs)
}

/// The page's URL; it has the origin of what it asks for.
fn page(job: &Job) -> String {
    let scheme = if job.transport == Transport::Clear { "http" } else { "https" };
    format!("{scheme}://{}:{}/page", job.server_name(), job.port())
}

fn show(
    testbed: &Testbed,
    program: &Program,
    transport: Transport,
    url: &str,
    jobs: &[Job],
) -> Result<Vec<(usize, Observation)>> {
    let browser = testbed.backend.browser();
    let described = jobs.iter().enumerate().map(|(number, job)| {
        json!({
            "job": number,
            "does": job.case.action.name(),
            "method": job.case.method,
            "target": job.target(),
            "body": job.case.body.name(),
            "size": job.size,
            "times": job.case.times(),
            "tries": job.tries,
        })
    });
    browser.show(PAGE.replace(JOBS, &serde_json::to_string(&described.collect::<Vec<_>>())?));
    let mut command = program.call();
    // One of its own each time: the browser before may still be letting go of its own.
    let profile = testbed.dir().join(format!("chromium-{}", url.replace(['/', ':'], "-")));
    command.args(FLAGS).arg(format!("--user-data-dir={}", profile.display()));
    command.args(transport.choose("--ssl-version-max=tls1.2", "--ssl-version-min=tls1.3"));
    command.arg("--host-resolver-rules=MAP * 127.0.0.1").arg(url);
    let mut process = Process::spawn("client", testbed.dir(), &mut command)?;
    let (wanted, end) =
        (jobs.iter().map(|job| job.tries as usize).sum::<usize>(), Instant::now() + limit(jobs));
    while browser.reports().len() < wanted && Instant::now() < end {
        if process.wait_within(POLL_INTERVAL)?.is_some() {
            eprintln!("chromium ended by itself: {}", process.stderr());
            break;
        }
    }
    Ok(browser.reports().iter().filter_map(|line| parse(line)).collect())
}

/// Between two readings of the reports.
const POLL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(50);
