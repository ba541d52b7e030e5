//! The clients, and the cases that each of them can make.

use std::process::Command;

use anyhow::Result;

use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::testbed::Testbed;
use super::transport::Transport;
use super::{chromium, curl, h2load, nghttp, openssl, pipes, script, wget};

/// Makes every try of jobs that are all over one transport; gives what each saw, with the number of its job.
type Run = fn(&Testbed, &Program, Transport, &[Job]) -> Result<Vec<(usize, Observation)>>;

/// A client that this command knows.
pub(super) struct Client {
    pub(super) name: &'static str,
    /// How to get it where it is missing.
    pub(super) source: &'static str,
    pub(super) transports: &'static [Transport],
    /// Names of cases.
    pub(super) cases: &'static [&'static str],
    /// Those that it cannot make in clear text.
    pub(super) not_in_clear: &'static [&'static str],
    /// It speaks HTTP/2: with prior knowledge in clear text, by ALPN over TLS.
    pub(super) http2: bool,
    invocation: Invocation,
}

/// How a client is called.
enum Invocation {
    /// Once for each try.
    Tool(fn(&Testbed, &Program, &Job) -> Result<Observation>),
    /// Once for a transport, with a file of all jobs.
    Jobs(Run),
}

const WHOLE: &[&str] = &["get", "head", "keep", "gzip", "download", "upload"];
const EARLY: &[&str] = &["post-404", "post-301", "post-401", "post-413", "post-503"];

/// The names of two or more lists.
macro_rules! cases {
    ($($list:expr),+) => {{
        const LISTS: &[&[&str]] = &[$($list),+];
        const COUNT: usize = length(LISTS);
        const NAMES: [&str; COUNT] = join::<COUNT>(LISTS);
        &NAMES
    }};
}

const fn length(lists: &[&[&str]]) -> usize {
    let (mut list, mut sum) = (0, 0);
    while list < lists.len() {
        sum += lists[list].len();
        list += 1;
    }
    sum
}

const fn join<const COUNT: usize>(lists: &[&[&'static str]]) -> [&'static str; COUNT] {
    let mut names = [""; COUNT];
    let (mut list, mut at) = (0, 0);
    while list < lists.len() {
        let mut name = 0;
        while name < lists[list].len() {
            names[at] = lists[list][name];
            at += 1;
            name += 1;
        }
        list += 1;
    }
    names
}

const CHUNKED: &[&str] = &["upload-chunked", "chunked-404"];
const LIBRARY: &[&str] = cases!(WHOLE, EARLY, CHUNKED);
const HALF_CLOSE: &[&str] = &["half-close", "half-close-stream"];
const BROWSER: &[&str] = &["assets", "pieces", "websocket"];
const EXPECT: &[&str] = &["upload-expect", "expect-404"];
const WEBSOCKET: &[&str] =
    &["websocket", "websocket-fragments", "websocket-text", "websocket-pings", "websocket-close"];
const PACKAGES: &str = "apt: python3-venv, and the package index";

const WITHOUT_KEEP: &[&str] = &["get", "head", "gzip", "download", "upload"];
const GO: &str = "go.dev/doc/install, 1.24 or newer";
const JDK: &str = "apt: default-jdk-headless";
const JAVA: &[&str] = cases!(&["get", "head", "download", "upload"], EARLY, CHUNKED, &["upload-expect"]);

pub(super) const CLIENTS: &[Client] = &[
    tool("curl", "apt: curl", cases!(LIBRARY, EXPECT, &["expect-empty", "http10", "h2c"]), curl::attempt),
    Client {
        // Before 8.0 it cannot use a connection twice that it knew to speak HTTP/2 (curl/curl#10634).
        not_in_clear: &["keep", "assets"],
        ..http2(tool(
            "curl-http2",
            "apt: curl",
            cases!(LIBRARY, EXPECT, &["assets", "trailers"]),
            curl::attempt,
        ))
    },
    Client {
        transports: Transport::NEWEST,
        ..http2(tool(
            "nghttp",
            "apt: nghttp2-client",
            cases!(WITHOUT_KEEP, EARLY, CHUNKED, EXPECT, &["assets", "trailers"]),
            nghttp::attempt,
        ))
    },
    Client {
        transports: Transport::NEWEST,
        ..http2(tool("h2load", "apt: nghttp2-client", &["get", "upload", "assets"], h2load::attempt))
    },
    tool("wget", "apt: wget", cases!(WHOLE, EARLY), wget::attempt),
    Client {
        transports: Transport::TLS,
        ..tool("openssl", "apt: openssl", &["get", "http10", "final-dot", "resume"], openssl::attempt)
    },
    Client { transports: Transport::CLEAR, ..tool("nc", "apt: netcat-openbsd", HALF_CLOSE, pipes::netcat) },
    tool("socat", "apt: socat", HALF_CLOSE, pipes::socat),
    jobs(
        "socket",
        "apt: python3",
        cases!(HALF_CLOSE, EXPECT, &["get", "expect-empty", "final-dot", "resume"]),
        script::run,
    ),
    jobs("http.client", "apt: python3", LIBRARY, script::run),
    jobs("requests", PACKAGES, LIBRARY, script::run),
    jobs("httpx", PACKAGES, LIBRARY, script::run),
    http2(jobs("httpx-http2", PACKAGES, LIBRARY, script::run)),
    jobs("aiohttp", PACKAGES, cases!(LIBRARY, EXPECT), script::run),
    jobs("websockets", PACKAGES, WEBSOCKET, script::run),
    jobs("go", GO, cases!(LIBRARY, EXPECT, &["resume"]), script::run),
    http2(jobs("go-http2", GO, cases!(LIBRARY, EXPECT, &["resume", "assets", "trailers"]), script::run)),
    jobs("node-http", "apt: nodejs", cases!(LIBRARY, EXPECT, &["resume"]), script::run),
    http2(jobs(
        "node-http2",
        "apt: nodejs",
        cases!(WHOLE, EARLY, CHUNKED, EXPECT, &["assets", "trailers"]),
        script::run,
    )),
    // One pool serves the whole process, and opens connections as it likes.
    jobs("node-fetch", "apt: nodejs, 18 or newer", cases!(WITHOUT_KEEP, EARLY, CHUNKED), script::run),
    // It cannot tell connections apart, does not undo compression, and waits for 100 (Continue) even
    // after a refusal.
    jobs("java", JDK, JAVA, script::run),
    // In clear text it knows the offer by `Upgrade` alone, which is no HTTP/2 here.
    Client { transports: Transport::TLS, ..http2(jobs("java-http2", JDK, JAVA, script::run)) },
    jobs("chromium", "apt: chromium", cases!(WHOLE, EARLY, BROWSER), chromium::run),
];

const fn tool(
    name: &'static str,
    source: &'static str,
    cases: &'static [&'static str],
    attempt: fn(&Testbed, &Program, &Job) -> Result<Observation>,
) -> Client {
    Client {
        name,
        source,
        transports: Transport::ALL,
        cases,
        not_in_clear: &[],
        http2: false,
        invocation: Invocation::Tool(attempt),
    }
}

const fn jobs(name: &'static str, source: &'static str, cases: &'static [&'static str], run: Run) -> Client {
    Client {
        name,
        source,
        transports: Transport::ALL,
        cases,
        not_in_clear: &[],
        http2: false,
        invocation: Invocation::Jobs(run),
    }
}

/// The same client over HTTP/2.
const fn http2(client: Client) -> Client {
    Client { http2: true, ..client }
}

impl Client {
    /// Every try of these jobs, which are all over one transport, with the number of its job.
    pub(super) fn run(
        &self,
        testbed: &Testbed,
        program: &Program,
        transport: Transport,
        jobs: &[Job],
    ) -> Result<Vec<(usize, Observation)>> {
        let attempt = match self.invocation {
            Invocation::Tool(attempt) => attempt,
            Invocation::Jobs(run) => return run(testbed, program, transport, jobs),
        };
        let mut seen = Vec::new();
        for (number, job) in jobs.iter().enumerate() {
            for _ in 0..job.tries {
                seen.push((number, attempt(testbed, program, job)?));
            }
        }
        Ok(seen)
    }
}

impl Program {
    /// A call of it.
    pub(super) fn call(&self) -> Command {
        let mut words = self.command.iter();
        let mut command = Command::new(words.next().cloned().unwrap_or_default());
        command.args(words);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::CASES;
    use super::*;

    #[test]
    fn clients_make_cases_that_are_there() {
        for client in CLIENTS {
            let mut names = client.cases.to_vec();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), client.cases.len(), "{}", client.name);
            for name in names {
                assert!(CASES.iter().any(|case| case.name == name), "{}: {name}", client.name);
            }
        }
        for case in CASES {
            assert!(CLIENTS.iter().any(|client| client.cases.contains(&case.name)), "{}", case.name);
        }
    }
}
