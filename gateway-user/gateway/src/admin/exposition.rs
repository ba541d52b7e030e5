//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write as _};

use bytes::Bytes;
use gateway_proxy::metrics::Histogram;

/// Length of a piece of the page in bytes. Readers share pieces: a reader that stops holds a few of them.
const PIECE: usize = 32 * 1024;

/// A page of metrics under construction. Every family is opened once and then gets its samples.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    /// Whole pieces.
    pieces: Vec<Bytes>,
    /// The piece under construction.
    text: String,
    family: String,
}

/// Label names with their values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Opens a family of counters; their names end in `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> &mut Self {
        self.open(name, "counter", help)
    }

    /// Opens a family of gauges.
    pub(super) fn gauge(&mut self, name: &str, help: &str) -> &mut Self {
        self.open(name, "gauge", help)
    }

    /// Opens a family of histograms.
    pub(super) fn histogram(&mut self, name: &str, help: &str) -> &mut Self {
        self.open(name, "histogram", help)
    }

    fn open(&mut self, name: &str, kind: &str, help: &str) -> &mut Self {
        // `write!` into a String never fails, here and below.
        let _ = writeln!(self.text, "# HELP {name} {}\n# TYPE {name} {kind}", help.replace('\n', " "));
        name.clone_into(&mut self.family);
        self
    }

    /// One sample of the open family.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// One histogram of the open family; `unit` is how many of the histogram's units make one of the
    /// metric's.
    pub(super) fn buckets(&mut self, labels: Labels<'_>, histogram: &Histogram, unit: f64) -> &mut Self {
        for (bound, count) in histogram.cumulative() {
            let bound = (bound as f64 / unit).to_string();
            self.line("_bucket", labels, Some(("le", &bound)), count);
        }
        self.line("_bucket", labels, Some(("le", "+Inf")), histogram.count());
        self.line("_sum", labels, None, histogram.sum() as f64 / unit);
        self.line("_count", labels, None, histogram.count());
        self
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, last: Option<(&str, &str)>, value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.family);
        for (index, (name, value)) in labels.iter().copied().chain(last).enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{name}=\"{}\"", escape(value));
        }
        let close = if labels.is_empty() && last.is_none() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
        if self.text.len() >= PIECE {
            self.end_piece();
        }
    }

    fn end_piece(&mut self) {
        let text = std::mem::replace(&mut self.text, String::with_capacity(PIECE + PIECE / 8));
        self.pieces.push(text.into());
    }

    /// The page, in pieces.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        self.end_piece();
        self.pieces
    }
}

/// Backslash, quote and line feed are escaped in label values.
fn escape(value: &str) -> std::borrow::Cow<'_, str> {
    if value.contains(['\\', '"', '\n']) {
        value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_samples_and_labels_are_written_as_prometheus_reads_them() {
        let mut page = Exposition::default();
        page.counter("a_total", "Help.").sample(&[], 3).sample(&[("x", "q\"\\\n")], 4);
        let mut histogram = Histogram::new(&[5_000, 10_000]);
        histogram.record(6_000);
        page.histogram("b_seconds", "Help.").buckets(&[("m", "GET")], &histogram, 1e6);
        assert_eq!(
            page.finish().concat(),
            b"# HELP a_total Help.\n# TYPE a_total counter\na_total 3\na_total{x=\"q\\\"\\\\\\n\"} 4\n\
             # HELP b_seconds Help.\n# TYPE b_seconds histogram\n\
             b_seconds_bucket{m=\"GET\",le=\"0.005\"} 0\nb_seconds_bucket{m=\"GET\",le=\"0.01\"} 1\n\
             b_seconds_bucket{m=\"GET\",le=\"+Inf\"} 1\nb_seconds_sum{m=\"GET\"} 0.006\nb_seconds_count{m=\"GET\"} 1\n"
        );
    }

    #[test]
    fn a_long_page_is_in_pieces() {
        let mut page = Exposition::default();
        page.gauge("a", "Help.");
        (0..20_000).for_each(|value| {
            page.sample(&[], value);
        });
        let pieces = page.finish();
        assert!(
            pieces.len() > 3 && pieces.iter().all(|piece| piece.len() <= PIECE + 100),
            "{}",
            pieces.len()
        );
        assert_eq!(pieces.concat().iter().filter(|byte| **byte == b'\n').count(), 20_002);
    }
}
