//! The requests of `examples/shared-gateway`, and what must come of each.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A request path and what must come of it: a status, and the URL path that the backend saw.
pub const CASES: &[(&str, u16, Option<&str>)] = &[
    ("/httpbin/get", 200, Some("/get")),
    ("/httpbin/get?a=1&b=%20x", 200, Some("/get?a=1&b=%20x")),
    ("/httpbin", 200, Some("/")),
    ("/httpbin/", 200, Some("/")),
    ("/httpbin?q=1", 200, Some("/?q=1")),
    ("/httpbin//get", 200, Some("/get")),
    ("/httpbinx", 404, None),
    ("/", 404, None),
    ("/httpbin/status/418", 418, None),
];

/// Makes every request of [`CASES`] of a server, each by a new connection; gives their number. `curl` makes the command
/// that curl's arguments are added to.
///
/// # Errors
/// curl cannot be started, or a response is not as it should be.
pub fn check(base: &str, mut curl: impl FnMut() -> Result<Command>) -> Result<u64> {
    for (target, status, seen) in CASES {
        check_one(curl()?, &format!("{base}{target}"), *status, *seen)?;
    }
    Ok(CASES.len() as u64)
}

fn check_one(mut curl: Command, url: &str, status: u16, seen: Option<&str>) -> Result<()> {
    let output = curl
        .args(["--silent", "--show-error", "--globoff", "--path-as-is", "--max-time", "30"])
        .args(["--write-out", "\n%{http_code}", url])
        .output()
        .context("starting curl")?;
    ensure!(output.status.success(), "curl {url}: {}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8_lossy(&output.stdout);
    let (body, code) = text.rsplit_once('\n').context("curl printed no status")?;
    println!("curl {url} → {code}");
    ensure!(code == status.to_string(), "curl {url}: expected {status}, got {code}: {body}");
    if let Some(path) = seen {
        let document: Value = serde_json::from_str(body).with_context(|| format!("curl {url}: {body}"))?;
        let url_seen = document["url"].as_str().unwrap_or_default();
        ensure!(
            url_seen.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| &rest[at..]))
                == Some(path),
            "curl {url}: the backend should have seen {path}, it saw {url_seen}"
        );
    }
    Ok(())
}
