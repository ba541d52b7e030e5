//! Retired words: what this project once called by a word of its own has the field's word now
//! (docs/glossary.md). Each entry is a whole identifier or a phrase, never a common word alone.

use std::path::Path;
use std::process::Command;
use std::{fs, str};

/// An identifier of Rust code that is not used below a folder any more.
struct Identifier {
    /// Start of the paths that it is retired in; empty for all.
    below: &'static str,
    name: &'static str,
    instead: &'static str,
}

const fn retired(below: &'static str, name: &'static str, instead: &'static str) -> Identifier {
    Identifier { below, name, instead }
}

const PROXY: &str = "gateway-user/proxy/src/";
const IO: &str = "gateway-user/io/src/";
const STEER: &str = "gateway-user/steer/src/";
const CONTROL: &str = "gateway-user/control/src/";
const GATEWAY: &str = "gateway-user/gateway/src/";
const HTTP: &str = "gateway-user/http/src/";

/// Names that mean something else elsewhere are retired where they meant this.
const IDENTIFIERS: &[Identifier] = &[
    retired(PROXY, "Session", "h1::ServerConnection"),
    retired("", "Asked", "the name of the request that it is"),
    retired(PROXY, "Seat", "Permit"),
    retired(PROXY, "Visit", "InFlight"),
    retired("", "Patience", "SendTimeout"),
    retired(PROXY, "Pace", "MinRate"),
    retired(PROXY, "Turns", "CoopBudget"),
    retired("", "Estate", "FinalMetrics"),
    retired("", "LastWords", "ExitNotifier"),
    retired(PROXY, "Membership", "ConnectionSlot"),
    retired("", "owes_header", "expects_proxy_header"),
    retired("", "speak_for", "set_client"),
    retired("", "Secured", "TlsInfo"),
    retired("", "secured_by", "select_tls"),
    retired("", "HighWater", "MemoryTrimmer"),
    retired(PROXY, "CROWD", "TRIM_THRESHOLD"),
    retired("", "RequestEnd", "RequestRecord"),
    retired("", "Face", "GatewaySummary"),
    retired("", "Told", "the name of the message that it is"),
    retired(GATEWAY, "Crew", "Supervisor"),
    retired(GATEWAY, "Fleet", "Workers"),
    retired(GATEWAY, "Equipment", "WorkerTemplate"),
    retired(GATEWAY, "bury", "retire"),
    retired("", "Giver", "HandoffServer, or AssignmentWriter of addresses"),
    retired("", "Taker", "HandoffClient"),
    retired("", "Possessions", "HandoffState"),
    retired(GATEWAY, "retreat", "abort"),
    retired("", "FromGiver", "ServerMessage"),
    retired("", "FromTaker", "ClientMessage"),
    retired("", "may_let_go", "check_release"),
    retired("", "is_one_of_us", "is_trusted_peer"),
    retired("", "hear_no_more", "shut_down_receive"),
    retired("", "look_after", "supervise"),
    retired("", "is_planted", "is_injected"),
    retired("", "LastLines", "LogFlushGuard"),
    retired("", "LAST_LINES", "LOG_FLUSH_TIMEOUT"),
    retired(GATEWAY, "Surroundings", "Environment"),
    retired(STEER, "Road", "SteeringBackend"),
    retired(STEER, "Refusal", "Rejection"),
    retired(STEER, "Ground", "CheckContext"),
    retired(STEER, "InMap", "MapValue"),
    retired("", "may_pass", "is_transient"),
    retired("", "Bell", "TimeoutFlag"),
    retired("", "Nudge", "the name of the wake-up that it is"),
    retired(IO, "Sweep", "TimerTable"),
    retired("", "LocalBook", "LocalAssignmentStore"),
    retired("", "SharedBook", "ClusterAssignmentStore"),
    retired("", "BookFile", "AssignmentFile"),
    retired("", "Keeper", "LastGoodWriter"),
    retired(CONTROL, "Journal", "LogDeduplicator"),
    retired("", "Notebook", "Recorder"),
    retired("", "TELL_AFTER", "REPORT_DELAY"),
    retired("", "SILENCE", "REPORT_TIMEOUT"),
    retired("", "DEAF", "WATCH_TIMEOUT, or UNRESPONSIVE"),
    retired("", "BELIEVED", "MISSING_GRACE"),
    retired("", "PATIENCE", "a name that ends in _TIMEOUT"),
    retired("", "LOOK", "POLL_INTERVAL"),
    retired("", "PAUSE", "a name that ends in _INTERVAL or _DELAY"),
    retired("", "GOODBYE", "a name that begins with LINGER_"),
    retired("", "LAST_WORDS", "a name that begins with LINGER_"),
    retired("", "spelled", "normalize_route_path"),
    retired("", "Finding", "Diagnostic"),
    retired("", "Findings", "Diagnostics"),
    retired("", "Violation", "FieldDiagnostic"),
    retired("", "Trouble", "a module's Error"),
    retired("", "Complaint", "a module's Error"),
    retired("", "Judgement", "ExpressionUse"),
    retired("", "RefusedBind", "RejectedBind"),
    retired("", "RefusedReason", "RejectionReason"),
    retired("", "FieldFault", "FieldError"),
    retired("", "FramingFault", "FramingError"),
    retired(HTTP, "Answer", "LocalReply"),
    retired("", "Glimpse", "PartialHead"),
    retired("", "KeepTold", "KeepAlive"),
    retired("gateway-user/regex/src/", "Refusal", "Error"),
    retired("", "Narrator", "ExplainObserver"),
    retired("", "MAX_TOLD", "MAX_DIAGNOSTICS"),
    retired("", "TOLD_MAX", "MESSAGES_MAX"),
    retired("", "FINDINGS_MAX", "DIAGNOSTICS_MAX"),
    retired("bench/", "Witness", "Arrivals"),
    retired("bench/", "Ledger", "ArrivalLog"),
    retired("bench/", "Tally", "RunStats"),
    retired("", "Lane", "ClientTask"),
    retired("", "Contender", "Target"),
    retired("", "Manner", "Behavior"),
    retired("", "Felt", "ClientLatency"),
    retired("xtask/", "Stand", "Testbed"),
    retired("xtask/", "Course", "Run"),
    retired("xtask/", "Crowd", "Abusers"),
    retired("lab/", "Stand", "Testbed"),
    retired("lab/", "Course", "Run"),
    retired("lab/", "Crowd", "Abusers"),
];

/// Phrases of comments, messages and pages, in lower case, with what to write instead.
const PHRASES: &[(&str, &str)] = &[
    ("byte road", "data plane"),
    ("config road", "control plane"),
    ("two roads", "data plane and control plane"),
    ("octet", "byte"),
    ("octets", "bytes"),
    ("answer of our own", "local reply"),
    ("answers of our own", "local replies"),
    ("answer of ours", "local reply"),
    ("answers of ours", "local replies"),
    ("our own answer", "local reply"),
    ("our own answers", "local replies"),
    ("interim answer", "interim response"),
    ("interim answers", "interim responses"),
    ("backend's answer", "backend's response"),
    ("upstream's answer", "upstream response"),
    ("last words", "final log lines, or final metrics"),
    ("least rate", "minimum rate"),
    ("no good proxy header", "invalid PROXY header"),
    ("good proxy header", "valid PROXY header"),
    ("leads no more", "lost leadership to"),
    ("in its predecessor's place", "replacement worker is serving"),
    ("one spelling", "one normal form"),
    ("has no say any more", "is ignored"),
    ("planted", "injected"),
    ("who comes first", "the first"),
    ("where to read on", "documentation"),
];

/// Lines that may have a retired word, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("", ".octets()", "std's name for the bytes of an address"),
    ("docs/glossary.md", "octet", "tells what the RFCs' word is called here"),
];

/// Files of others, or that hold the words on purpose.
const NOT_READ: &[&str] =
    &["xtask/tests/words.rs", "Cargo.lock", "fuzz/Cargo.lock", "gateway-user/api/schemas/"];

/// Endings of files that people read and write.
const READ: &[&str] = &[
    ".rs", ".md", ".toml", ".yaml", ".yml", ".sh", ".service", ".env", ".py", ".mjs", ".go", ".java", "run",
];

/// Every tracked file that is read, with its text.
fn texts() -> Vec<(String, String)> {
    let top = Path::new("..");
    let output = Command::new("git").current_dir(top).args(["ls-files", "-z"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = str::from_utf8(&output.stdout).unwrap().split_terminator('\0');
    let read = names.filter(|name| {
        READ.iter().any(|end| name.ends_with(end)) && !NOT_READ.iter().any(|start| name.starts_with(start))
    });
    // A file that was removed and not yet committed is no file.
    read.filter_map(|name| Some((name.to_owned(), fs::read_to_string(top.join(name)).ok()?))).collect()
}

/// True if `word` stands in `text` with no letter, digit or `_` before or after it.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The code of a line of Rust, roughly: without what follows `//` and what stands between quotation marks.
fn code(line: &str) -> String {
    let code = line.split("//").next().unwrap_or_default();
    code.split('"').step_by(2).collect::<Vec<_>>().join(" ")
}

fn is_exempt(name: &str, line: &str) -> bool {
    EXCEPTIONS.iter().any(|(start, part, _)| name.starts_with(start) && line.contains(part))
}

/// One line for each retired word that is found.
fn found(texts: &[(String, String)]) -> Vec<String> {
    let mut all = Vec::new();
    for (name, text) in texts {
        let is_rust = name.ends_with(".rs");
        let here: Vec<&Identifier> =
            IDENTIFIERS.iter().filter(|entry| is_rust && name.starts_with(entry.below)).collect();
        for (number, line) in (1..).zip(text.lines()) {
            if is_exempt(name, line) {
                continue;
            }
            let code = code(line);
            let identifiers = here.iter().filter(|entry| has_word(&code, entry.name));
            let lower = line.to_ascii_lowercase();
            let phrases = PHRASES.iter().filter(|(phrase, _)| has_word(&lower, phrase));
            let words = identifiers.map(|entry| (entry.name, entry.instead)).chain(phrases.copied());
            all.extend(words.map(|(word, instead)| format!("{name}:{number}: {word}: write {instead}")));
        }
    }
    all
}

#[test]
fn retired_words_stay_out() {
    let found = found(&texts());
    assert!(found.is_empty(), "{} retired words:\n{}", found.len(), found.join("\n"));
}

#[test]
fn words_are_found_whole_and_where_they_are_retired() {
    let text = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
    let proxy = "gateway-user/proxy/src/conn.rs";
    assert_eq!(found(&text(proxy, "x\nstruct Seat;")), [format!("{proxy}:2: Seat: write Permit")]);
    assert_eq!(found(&text(proxy, "struct Seats; let seat = SEAT_Seat;")), Vec::<String>::new());
    assert_eq!(found(&text("gateway-user/ir/src/lib.rs", "struct Seat;")), Vec::<String>::new());
    assert_eq!(found(&text("docs/http.md", "Of Octets, and Seat")), ["docs/http.md:1: octets: write bytes"]);
    assert_eq!(found(&text("a.rs", "ip.octets()")), Vec::<String>::new());
    assert_eq!(found(&text(proxy, "// Seat\nsay(\"Seat\");")), Vec::<String>::new(), "code alone");
}

#[test]
fn every_exception_is_needed() {
    let texts = texts();
    for (start, part, reason) in EXCEPTIONS {
        let needed = texts.iter().any(|(name, text)| {
            let lower = |line: &str| line.to_ascii_lowercase();
            let has = |line: &str| PHRASES.iter().any(|(phrase, _)| has_word(&lower(line), phrase));
            name.starts_with(start) && text.lines().any(|line| line.contains(part) && has(line))
        });
        assert!(needed, "nothing needs the exception for {part:?} ({reason})");
    }
}

#[test]
fn documentation_has_no_example_that_nobody_runs() {
    // `cargo xtask test` runs test binaries: examples would be built once more, with all that they need.
    let with_examples = |(name, text): (String, String)| {
        let fences = text.lines().filter_map(|line| {
            let line = line.trim_start();
            line.strip_prefix("/// ```").or_else(|| line.strip_prefix("//! ```"))
        });
        // Every other one opens; a word behind it says that it is something else than an example, such as `text`.
        let runs = fences.step_by(2).any(|word| matches!(word, "" | "rust" | "no_run" | "should_panic"));
        (name.ends_with(".rs") && runs).then_some(name)
    };
    let fenced: Vec<_> = texts().into_iter().filter_map(with_examples).collect();
    assert!(fenced.is_empty(), "examples are tests of their own: {fenced:?}");
}
