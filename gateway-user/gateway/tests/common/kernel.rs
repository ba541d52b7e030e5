//! Counters of the kernel for the calling thread's network namespace.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part, and there is nobody to publish to

/// A counter of `/proc/net/netstat` by its name without group, such as `TCPMigrateReqSuccess`.
pub fn netstat(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.chunks_exact(2).flat_map(|pair| pair[0].split(' ').zip(pair[1].split(' ')));
    let found = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value.parse().unwrap());
    found.last().unwrap_or_else(|| panic!("no {name} in /proc/net/netstat"))
}

/// Connections that are established and not yet accepted, for each listening socket that has any.
pub fn queues() -> Vec<usize> {
    ["tcp", "tcp6"].iter().flat_map(|file| queues_in(file)).filter(|queue| *queue > 0).collect()
}

fn queues_in(file: &str) -> Vec<usize> {
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    let queue = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let listens = fields.nth(3)? == "0A";
        // Of a listening socket the receive queue is its accept queue (tcp(7), /proc/net/tcp).
        let (_, queue) = fields.next()?.split_once(':')?;
        listens.then(|| usize::from_str_radix(queue, 16).unwrap())
    };
    text.lines().skip(1).filter_map(queue).collect()
}
