//! Counts of HAProxy for each server, from its socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Counts of all servers at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statistics(Vec<Server>);

/// One server of one `listen` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Server {
    name: String,
    is_up: bool,
    /// Connections or requests that it was given.
    sessions: u64,
    /// Attempts to connect after one that failed, to the same server or another one.
    again: u64,
}

impl Statistics {
    /// Reads them.
    ///
    /// # Errors
    /// The socket does not respond, or with something else.
    pub(super) fn of(socket: &Path) -> Result<Self> {
        let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"show stat -1 4 -1\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).context("reading HAProxy's counts")?;
        Self::read(&text).with_context(|| format!("HAProxy's counts: {text}"))
    }

    /// From CSV with a line of names, columns of numbers and words before any of text.
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let names: Vec<_> = lines.next()?.trim_start_matches("# ").split(',').collect();
        let column = |name: &str| names.iter().position(|one| *one == name);
        let (name, status, sessions) = (column("svname")?, column("status")?, column("stot")?);
        let (retries, redispatches) = (column("wretr")?, column("wredis")?);
        let server = |line: &str| {
            let cells: Vec<_> = line.split(',').collect();
            let count = |at: usize| cells.get(at)?.parse::<u64>().ok();
            Some(Server {
                name: (*cells.get(name)?).to_owned(),
                // Between two states it is written as `UP 1/2`.
                is_up: cells.get(status)?.starts_with("UP"),
                sessions: count(sessions)?,
                again: count(retries)? + count(redispatches)?,
            })
        };
        let servers: Vec<_> = lines.filter(|line| !line.is_empty()).map(server).collect::<Option<_>>()?;
        (!servers.is_empty()).then_some(Self(servers))
    }

    /// True if every section sends to the node; false if none does.
    pub(super) fn is_up(&self, node: &str) -> Option<bool> {
        let mut states = self.of_node(node).map(|server| server.is_up);
        let first = states.next()?;
        states.all(|state| state == first).then_some(first)
    }

    /// Connections and requests that the node was given.
    pub(super) fn sessions(&self, node: &str) -> u64 {
        self.of_node(node).map(|server| server.sessions).sum()
    }

    /// Connections that could not be made at once.
    pub(super) fn again(&self) -> u64 {
        self.0.iter().map(|server| server.again).sum()
    }

    fn of_node(&self, node: &str) -> impl Iterator<Item = &Server> {
        self.0.iter().filter(move |server| server.name == node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# pxname,svname,stot,wretr,wredis,status,\n\
        connections,node1,10,0,0,UP,\nconnections,node2,20,1,2,UP 1/2,\n\
        requests,node1,5,0,0,UP,\nrequests,node2,7,0,0,DOWN,\n\n";

    #[test]
    fn counts_are_of_all_sections() {
        let counts = Statistics::read(TEXT).unwrap();
        assert_eq!((counts.sessions("node1"), counts.sessions("node2"), counts.again()), (15, 27, 3));
        assert_eq!(counts.is_up("node1"), Some(true));
        assert_eq!(counts.is_up("node2"), None, "its sections disagree");
        assert_eq!(counts.is_up("node3"), None);
        let down = Statistics::read(&TEXT.replace("UP 1/2", "DOWN 1/2")).unwrap();
        assert_eq!(down.is_up("node2"), Some(false));
    }

    #[test]
    fn other_text_is_no_count() {
        for text in ["", "Unknown command\n", "# pxname,svname,stot,wretr,wredis,status,\n"] {
            assert_eq!(Statistics::read(text), None, "{text}");
        }
        assert_eq!(Statistics::read(&TEXT.replace("10", "x")), None);
    }
}
