//! What the gateway counts, and what it costs.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use gateway_testkit::http::Client;

use super::case::Metric;

/// The gateway's metrics, on a connection that is there already: in some cases it has no descriptor for another one.
pub(super) struct Numbers(Client);

/// One look at them.
#[derive(Clone, Debug, Default)]
pub(super) struct Page(String);

/// What the route metrics call the other tenant's route.
const OTHER: &str = "other/";

impl Numbers {
    pub(super) fn connect(to: &str) -> Result<Self> {
        let to: SocketAddr = to.parse()?;
        Ok(Self(Client::connect(to).context("connecting to the metrics")?))
    }

    pub(super) fn look(&mut self) -> Result<Page> {
        let answer = self.0.get("localhost", "/metrics").context("reading the metrics")?;
        anyhow::ensure!(answer.status == 200, "the metrics answered {}", answer.status);
        Ok(Page(answer.text()))
    }
}

impl From<String> for Page {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Page {
    /// Sum of the samples of a metric.
    pub(super) fn sum(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Reason(code) => {
                let reason = format!("error_type=\"{code}\"");
                self.series("http_server_request_duration_seconds_count", &[&reason, OTHER])
            }
            Metric::Counter(name) | Metric::Peak(name) => match name.split_once(' ') {
                Some((name, label)) => self.series(name, &[label]),
                None => self.series(name, &[]),
            },
        }
    }

    /// Sum of the samples whose labels contain all of `labels`.
    fn series(&self, name: &str, labels: &[&str]) -> f64 {
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let rest = series.strip_prefix(name)?;
            let ours = rest.is_empty() || rest.starts_with('{');
            (ours && labels.iter().all(|label| rest.contains(label))).then(|| value.parse::<f64>().ok())?
        };
        self.0.lines().filter_map(value).sum()
    }
}

/// `VmRSS` in KiB (proc_pid_status(5)).
pub(super) fn rss_kib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmRSS:")
}

/// The largest `VmRSS` in KiB since [`forget_peak`].
pub(super) fn peak_kib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmHWM:")
}

/// Begins a new peak (proc_pid_clear_refs(5)).
pub(super) fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| path)
}

fn status_kib(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let value = value.with_context(|| format!("no {field} in {path}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# TYPE sluice_overloaded_total counter
sluice_overloaded_total 12
sluice_overloaded_total_more 100
http_server_request_duration_seconds_count{error_type=\"overload_pending\",sluice_route=\"other/all/0\"} 3
http_server_request_duration_seconds_count{error_type=\"overload_pending\",sluice_route=\"neighbour/all/0\"} 40
http_server_request_duration_seconds_count{error_type=\"request_header_timeout\"} 5
http_server_request_duration_seconds_count{sluice_route=\"other/all/0\"} 600
";

    #[test]
    fn metrics_are_summed_by_name_reason_and_tenant() {
        let page = Page::from(PAGE.to_owned());
        assert_eq!(page.sum(Metric::Counter("sluice_overloaded_total")), 12.0);
        assert_eq!(page.sum(Metric::Peak("sluice_overloaded_total")), 12.0);
        assert_eq!(page.sum(Metric::Reason("overload_pending")), 3.0);
        let heads = "http_server_request_duration_seconds_count error_type=\"request_header_timeout\"";
        assert_eq!(page.sum(Metric::Counter(heads)), 5.0);
        assert_eq!(page.sum(Metric::Counter("nothing")), 0.0);
    }

    #[test]
    fn our_own_memory_has_a_size_and_a_peak() {
        let pid = std::process::id();
        assert!(rss_kib(pid).unwrap() > 0);
        assert!(peak_kib(pid).unwrap() > 0);
    }
}
