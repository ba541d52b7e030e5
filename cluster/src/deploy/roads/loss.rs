//! Evidence by which controllers found a node to be lost, from their metrics.

use anyhow::{Context, Result, ensure};

use crate::enter;
use crate::handle::Cluster;
use crate::kubectl::NAMESPACE;
use crate::metrics::Page;
use crate::process::until;

/// Nodes that are asked after a lost one each time, as docs/addresses.md has it.
const WITNESSES: u64 = 2;
/// Times that they are asked, three seconds apart, within which a lost node must be found to be.
const ROUNDS: u64 = 3;

/// Answers of nodes whether they reach another one, and what followed, of all controllers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    reached: u64,
    not_reached: u64,
    unanswered: u64,
    lost: u64,
}

impl Evidence {
    /// Asks the controllers.
    ///
    /// # Errors
    /// None runs, or one does not say.
    pub(super) fn of(cluster: &Cluster) -> Result<Self> {
        let selector = "--selector=app.kubernetes.io/name=sluice-controller";
        let path = "--output=jsonpath={.items[*].status.podIP}";
        let addresses = cluster.say_in(NAMESPACE, &["get", "pods", selector, path])?;
        let pages: Vec<_> =
            addresses.split_whitespace().map(|address| page(cluster, address)).collect::<Result<_>>()?;
        ensure!(!pages.is_empty(), "no controller runs");
        Ok(Self::read(&pages))
    }

    /// The same once each node was reached by another one, without which none is found to be lost.
    ///
    /// # Errors
    /// That does not come to be.
    pub(super) fn settled(cluster: &Cluster) -> Result<Self> {
        let nodes = cluster.nodes()?.len() as u64;
        until("nodes have reached each other", || {
            let evidence = Self::of(cluster)?;
            Ok((evidence.reached >= nodes).then_some(evidence))
        })
    }

    /// One node must have been lost since `before`, within as many questions as that may take.
    ///
    /// # Errors
    /// It was otherwise.
    pub(super) fn judge(&self, before: &Self) -> Result<()> {
        let lost = self.lost.saturating_sub(before.lost);
        ensure!(lost == 1, "one node was cut off, and {lost} were found to be lost: {before:?}, {self:?}");
        let asked =
            (self.not_reached + self.unanswered).saturating_sub(before.not_reached + before.unanswered);
        ensure!(
            asked <= WITNESSES * ROUNDS,
            "the node was lost only after {asked} questions: {before:?}, {self:?}"
        );
        println!("found to be lost after {asked} questions");
        Ok(())
    }

    fn read(pages: &[Page]) -> Self {
        let sum = |name: &str, labels: &[&str]| {
            pages.iter().map(|page| page.series(name, labels)).sum::<f64>() as u64
        };
        let probes = |outcome: &str| sum("sluice_node_probes_total", &[&format!("outcome=\"{outcome}\"")]);
        Self {
            reached: probes("reached"),
            not_reached: probes("not_reached"),
            unanswered: probes("unanswered"),
            lost: sum("sluice_nodes_lost_total", &[]),
        }
    }
}

fn page(cluster: &Cluster, address: &str) -> Result<Page> {
    let url = format!("http://{address}:19001/metrics");
    let mut curl = enter::network(cluster, "curl")?;
    let output = curl.args(["--silent", "--show-error", "--fail", "--max-time", "5", &url]).output()?;
    ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(Page::from(String::from_utf8(output.stdout).context(url)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(not_reached: u64, unanswered: u64, lost: u64) -> Evidence {
        let page = |text: String| Page::from(text);
        let own = format!(
            "sluice_node_probes_total{{outcome=\"reached\"}} 3\n\
             sluice_node_probes_total{{outcome=\"not_reached\"}} {not_reached}\n\
             sluice_node_probes_total{{outcome=\"unanswered\"}} {unanswered}\nsluice_nodes_lost_total {lost}\n"
        );
        Evidence::read(&[page(own), page("sluice_nodes_lost_total 0\n".to_owned())])
    }

    #[test]
    fn one_node_is_lost_within_three_rounds_of_questions() {
        let before = evidence(0, 1, 0);
        evidence(2, 1, 1).judge(&before).unwrap();
        evidence(4, 3, 1).judge(&before).unwrap();
        assert!(evidence(4, 4, 1).judge(&before).is_err(), "a seventh question");
        assert!(evidence(2, 1, 0).judge(&before).is_err(), "none was lost");
        assert!(evidence(2, 1, 2).judge(&before).is_err(), "a node that is there was lost too");
    }
}
