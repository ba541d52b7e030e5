//! Redis: short commands one by one, thousands of them in a row, and a value of megabytes.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use gateway_testkit::process::Guarded;
use gateway_testkit::wait;

use crate::common::{metric, text, with_gateway};
use crate::{is_installed, tcp};

/// Bytes of a value that is moved and not copied.
const LARGE: usize = 8_000_000;

/// Output of `redis-cli` through the gateway, with `input` for it to read.
fn redis(host: &str, arguments: &[&str], input: &[u8]) -> io::Result<Vec<u8>> {
    let mut command = Command::new("redis-cli");
    command.args(["-h", host, "-p", "6379"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    let input = input.to_vec();
    let written = std::thread::spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(&input)));
    let output = child.wait_with_output()?;
    written.join().map_err(|_| io::Error::other("the writer"))??;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(io::Error::other(text(&output))),
    }
}

/// A command as the protocol has it.
fn command(words: &[&str]) -> String {
    let written: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{written}", words.len())
}

#[test]
fn redis_cli_asks_pipes_and_stores_megabytes() {
    if !is_installed("redis-server") || !is_installed("redis-cli") {
        return;
    }
    with_gateway("servers-redis", |_, running| {
        let mut server = Command::new("redis-server");
        server.args(["--port", "16379", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let mut server = Guarded::spawn(&mut server).unwrap();
        server.wait_for_output("Ready to accept connections");
        let resources = [tcp::gateway(&[("redis", 6379)]), tcp::route("team2", "redis", 16379, "")].concat();
        running.config.write("tcp.yaml", &resources).unwrap();
        wait::until("the listener", || {
            redis("127.0.0.1", &["ping"], b"").ok().filter(|pong| pong == b"PONG\n")
        });
        for host in ["127.0.0.1", "::1"] {
            redis(host, &["flushall"], b"").unwrap();
            let many: String = (0..20_000).map(|n| command(&["set", &format!("key{n}"), "x"])).collect();
            let piped = String::from_utf8(redis(host, &["--pipe"], many.as_bytes()).unwrap()).unwrap();
            assert!(piped.contains("errors: 0, replies: 20000"), "{piped}");
            assert_eq!(redis(host, &["dbsize"], b"").unwrap(), b"20000\n");
            let large: Vec<u8> = (0..LARGE).map(|at| b'a' + (at % 23) as u8).collect();
            assert_eq!(redis(host, &["-x", "set", "large"], &large).unwrap(), b"OK\n");
            let back = redis(host, &["get", "large"], b"").unwrap();
            assert!(back.strip_suffix(b"\n") == Some(&large), "{} bytes back", back.len());
        }
        assert!(metric("sluice_tunnel_bytes_spliced_total", &[]) >= LARGE as f64);
    });
}
