//! Finding the clients on this machine, and building those that are ours.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::program::Program;
use super::python;
use crate::cargo::workspace;
use crate::go;
use crate::needs::{
    self, CHROMIUM, CURL, H2LOAD, JAVA, NETCAT, NGHTTP, NODE, Need, OPENSSL, PYTHON, SOCAT, WGET,
};

/// Clients that every call installs where it may: they are small.
const SMALL: [Need; 6] = [CURL, WGET, OPENSSL, NETCAT, SOCAT, NGHTTP];
/// Clients that are installed on demand.
const HEAVY: [Need; 4] = [PYTHON, NODE, JAVA, CHROMIUM];

/// Installs clients; one that cannot be had is left out, and is not installed for all that follows.
pub(super) fn install(all: bool) {
    let heavy: &[Need] = if all { &HEAVY } else { &[] };
    for need in SMALL.iter().chain(heavy) {
        if let Err(error) = needs::ensure(&[*need]) {
            eprintln!("{} cannot be installed: {error:#}", need.program());
        }
    }
}

/// The client of this name, if it is there.
///
/// # Errors
/// One that is ours cannot be built.
pub(super) fn find(client: &str) -> Result<Option<Program>> {
    let folder = folder();
    Ok(match client {
        "curl" | "curl-http2" => tool(CURL, "--version"),
        "nghttp" => tool(NGHTTP, "--version"),
        "h2load" => tool(H2LOAD, "--version"),
        "wget" => tool(WGET, "--version"),
        "openssl" => tool(OPENSSL, "version"),
        "nc" => tool(NETCAT, "-h"),
        "socat" => tool(SOCAT, "-V"),
        "socket" | "http.client" => python::system().map(|python| script_of_python(&python, client)),
        "requests" | "httpx" | "httpx-http2" | "aiohttp" | "websockets" => {
            python::with_packages().map(|python| script_of_python(&python, client))
        }
        "go" | "go-http2" if go_is_there() => Some(go_client(&folder)?),
        "node-http" => script(NODE, "--version", &[folder.join("node/client.mjs"), "http".into()]),
        "node-http2" => script(NODE, "--version", &[folder.join("node/client.mjs"), "http2".into()]),
        "node-fetch" => script(NODE, "--version", &[folder.join("node/client.mjs"), "fetch".into()]),
        "java" | "java-http2" => script(JAVA, "--version", &[folder.join("java/Client.java")]),
        "chromium" => tool(CHROMIUM, "--version"),
        _ => None,
    })
}

/// Programs of ours that are clients.
pub(super) fn folder() -> PathBuf {
    workspace().join("lab/clients")
}

fn tool(need: Need, version: &str) -> Option<Program> {
    script(need, version, &[])
}

fn script(need: Need, version: &str, arguments: &[PathBuf]) -> Option<Program> {
    if !need.is_there() {
        return None;
    }
    let mut command = vec![OsString::from(need.program())];
    command.extend(arguments.iter().map(|argument| argument.clone().into()));
    Some(Program { version: version_of(Command::new(need.program()).arg(version)), command })
}

fn script_of_python(python: &Path, client: &str) -> Program {
    let command = [python.into(), folder().join("python/main.py").into(), client.into()].to_vec();
    Program { version: version_of(&mut python::version(python, client)), command }
}

fn go_is_there() -> bool {
    Command::new("go").arg("version").output().is_ok_and(|output| output.status.success())
}

fn go_client(folder: &Path) -> Result<Program> {
    let module = folder.join("go");
    let program = go::Program { module: &module, package: ".", name: "clients", tests: false, ldflags: "" };
    let command = vec![program.build()?.into()];
    Ok(Program { version: version_of(Command::new("go").arg("version")), command })
}

/// The first word with a digit and a dot in what a program says of itself.
fn version_of(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return String::new() };
    let text = [output.stdout, output.stderr].concat();
    version_in(&String::from_utf8_lossy(&text)).to_owned()
}

fn version_in(text: &str) -> &str {
    let is_version =
        |word: &&str| word.contains('.') && word.contains(|letter: char| letter.is_ascii_digit());
    let word = text.split_whitespace().find(is_version).unwrap_or_default();
    word.trim_start_matches(|letter: char| !letter.is_ascii_digit()).trim_end_matches([',', ';', ')'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_first_word_that_looks_like_one() {
        let said = [
            ("curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1", "7.88.1"),
            ("v20.20.2", "20.20.2"),
            ("go version go1.26.8 linux/amd64", "1.26.8"),
            ("openjdk 17.0.15 2025-04-15", "17.0.15"),
            ("OpenBSD netcat (Debian patchlevel 1.219-1)", "1.219-1"),
            ("nothing", ""),
        ];
        for (text, version) in said {
            assert_eq!(version_in(text), version);
        }
    }

    #[test]
    fn a_client_that_is_not_there_is_not_found() {
        assert_eq!(find("no such client").unwrap(), None);
    }
}
