//! A gateway's page of metrics.

/// The text of `/metrics` at one time.
#[derive(Clone, Debug, Default)]
pub struct Page(String);

impl From<String> for Page {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Page {
    /// Sum of the samples whose labels contain all of `labels`.
    pub fn series(&self, name: &str, labels: &[&str]) -> f64 {
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let rest = series.strip_prefix(name)?;
            let ours = rest.is_empty() || rest.starts_with('{');
            (ours && labels.iter().all(|label| rest.contains(label))).then(|| value.parse::<f64>().ok())?
        };
        self.0.lines().filter_map(value).sum()
    }
}
