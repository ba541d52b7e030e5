//! Reading the gateway's metrics.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use gateway_testkit::http::Client;

use super::case::Metric;
use super::testbed::operator;
use crate::metrics::Page;
use crate::process::until;

/// The gateway's metrics, on a connection that is kept for as long as the gateway keeps it: beside many
/// scrapers it may have to make room.
pub(super) struct MetricsReader {
    to: SocketAddr,
    client: Option<Client>,
}

/// The route metrics' name of the other tenant's route.
const OTHER: &str = "other/";

impl MetricsReader {
    pub(super) fn connect(to: &str) -> Result<Self> {
        let to: SocketAddr = to.parse()?;
        let client = Some(operator(to).context("connecting to the metrics")?);
        Ok(Self { to, client })
    }

    pub(super) fn read(&mut self) -> Result<Page> {
        until("the metrics are read", || {
            let Some(mut client) = self.client.take().or_else(|| operator(self.to).ok()) else {
                return Ok(None);
            };
            let Ok(response) = client.get("localhost", "/metrics") else { return Ok(None) };
            anyhow::ensure!(response.status == 200, "the metrics gave {}", response.status);
            self.client = Some(client);
            Ok(Some(Page::from(response.text())))
        })
    }
}

impl Metric {
    /// Sum of its samples on a page of metrics.
    pub(super) fn sum_in(self, page: &Page) -> f64 {
        match self {
            Self::Reason(code) => {
                let reason = format!("error_type=\"{code}\"");
                page.series("http_server_request_duration_seconds_count", &[&reason, OTHER])
            }
            Self::Counter(name) | Self::Peak(name) => match name.split_once(' ') {
                Some((name, label)) => page.series(name, &[label]),
                None => page.series(name, &[]),
            },
        }
    }
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
        assert_eq!(Metric::Counter("sluice_overloaded_total").sum_in(&page), 12.0);
        assert_eq!(Metric::Peak("sluice_overloaded_total").sum_in(&page), 12.0);
        assert_eq!(Metric::Reason("overload_pending").sum_in(&page), 3.0);
        let heads = "http_server_request_duration_seconds_count error_type=\"request_header_timeout\"";
        assert_eq!(Metric::Counter(heads).sum_in(&page), 5.0);
        assert_eq!(Metric::Counter("nothing").sum_in(&page), 0.0);
    }
}
