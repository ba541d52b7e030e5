//! The files of `examples/exposing`, which docs/exposing.md shows.

use std::path::PathBuf;

use crate::cargo::workspace;

const DIR: &str = "examples/exposing";
/// Values of every installation.
pub(super) const VALUES: &str = "values.yaml";
/// Values for a Service of type LoadBalancer.
pub(super) const LOAD_BALANCER: &str = "load-balancer.yaml";
/// Values for load balancers that send PROXY headers.
pub(super) const PROXY_PROTOCOL: &str = "proxy-protocol.yaml";
/// Values for addresses of a pool.
pub(super) const POOL: &str = "pool.yaml";
/// Configuration of the load balancer.
pub(super) const HAPROXY: &str = "haproxy.cfg";

/// Its path.
pub(super) fn file(name: &str) -> PathBuf {
    workspace().join(DIR).join(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_page_shows_the_very_files() {
        let page = fs::read_to_string(workspace().join("docs/exposing.md")).unwrap();
        for name in [VALUES, LOAD_BALANCER, PROXY_PROTOCOL, POOL, HAPROXY] {
            let text = fs::read_to_string(file(name)).unwrap();
            assert!(page.contains(&text), "docs/exposing.md does not have {DIR}/{name} as it is");
            assert!(page.contains(&format!("{DIR}/{name}")), "docs/exposing.md does not name {DIR}/{name}");
        }
    }
}
