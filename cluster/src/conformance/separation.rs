//! A node whose controller is another process: it has neither the account nor a connection to the API server.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::network::API_PORT;

/// Judges the process of a node.
///
/// # Errors
/// It has the account's file open, names it, or is connected to the API server.
pub(super) fn judge(pid: u32) -> Result<()> {
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{pid}/{file}"))?;
        ensure!(
            !String::from_utf8_lossy(&text).contains("kubeconfig"),
            "the node's {file} names a kubeconfig"
        );
    }
    let sockets = open_sockets(pid)?;
    let mut seen = 0;
    for table in ["tcp", "tcp6"] {
        for (inode, port) in connections(&fs::read_to_string(format!("/proc/{pid}/net/{table}"))?) {
            if port == API_PORT {
                seen += 1;
                ensure!(!sockets.contains(&inode), "the node is connected to the API server");
            }
        }
    }
    // The controller and Kubernetes itself are.
    ensure!(seen > 0, "no connection to port {API_PORT} is to be seen at all");
    println!("the node has no account, and none of {seen} connections to the API server");
    Ok(())
}

/// Inodes of a process's sockets.
fn open_sockets(pid: u32) -> Result<BTreeSet<u64>> {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).context("the node's descriptors")?;
    let links = all.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let inode =
        |link: std::path::PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    Ok(links.filter_map(inode).collect())
}

/// Inode and remote port of each row of `/proc/net/tcp` (proc(5)).
fn connections(table: &str) -> impl Iterator<Item = (u64, u16)> {
    table.lines().skip(1).filter_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let port = cells.get(2)?.rsplit(':').next()?;
        Some((cells.get(9)?.parse().ok()?, u16::from_str_radix(port, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_an_inode_and_a_remote_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: \
                     0100007F:1F90 0200000A:192B 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n";
        assert_eq!(connections(table).collect::<Vec<_>>(), [(4711, 6443)]);
    }
}
