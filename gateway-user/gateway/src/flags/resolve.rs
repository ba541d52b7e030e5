//! One pass over flags, environment, file and defaults.

use std::collections::BTreeMap;
use std::fmt;

use super::file::FileSettings;
use super::table::{Setting, Settings, TABLE};
use super::value::{EncodedSeparators, Value};

/// Raw settings of the command line, the environment and the file.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// Flags by setting name (`ring-entries`), as text.
    pub(crate) flags: BTreeMap<String, String>,
    /// Environment by variable name; only those of the table are looked at.
    pub(crate) env: BTreeMap<String, String>,
    /// The file's path, as the user wrote it, and its text.
    pub(crate) file: Option<(String, String)>,
}

/// Checked settings, and where each came from.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The values.
    pub(crate) settings: Settings,
    /// One entry per setting, in the order of the table.
    pub(crate) effective: Vec<Effective>,
}

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Effective {
    /// `ring-entries`.
    pub(crate) name: String,
    /// As written.
    pub(crate) value: String,
    /// `--ring-entries`, `SLUICE_RING_ENTRIES`, `sluice.yaml:3:15` or `default`.
    pub(crate) source: String,
}

/// One mistake in the settings; its text names the place, the value and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingError(pub(crate) String);

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads all settings.
///
/// # Errors
/// Every mistake in flags, environment and file at once.
pub(crate) fn resolve(inputs: &Inputs) -> Result<Resolved, Vec<SettingError>> {
    let mut errors = Vec::new();
    let file = match &inputs.file {
        None => FileSettings::default(),
        Some((path, text)) => FileSettings::parse(path, text).unwrap_or_else(|lines| {
            errors.extend(lines.into_iter().map(SettingError));
            FileSettings::default()
        }),
    };
    let mut reader = Reader { inputs, file, errors, effective: Vec::with_capacity(TABLE.len()) };
    let settings = Settings::read(&mut reader);
    let Reader { mut errors, effective, .. } = reader;
    if let Some(settings) = &settings {
        errors.extend(contradictions(settings));
    }
    match settings {
        Some(settings) if errors.is_empty() => Ok(Resolved { settings, effective }),
        _ => Err(errors),
    }
}

/// Settings that are fine alone but not together.
fn contradictions(settings: &Settings) -> Vec<SettingError> {
    let mut found = Vec::new();
    if settings.drain_min.0 > settings.drain_max.0 {
        found.push("drain-min is longer than drain-max: raise drain-max or lower drain-min");
    }
    if settings.max_request_line.bytes() > settings.max_header_bytes.bytes() {
        found.push("max-request-line is above max-header-bytes, which includes it: raise max-header-bytes");
    }
    if settings.reject_encoded_slashes.on() && settings.encoded_separators == EncodedSeparators::Keep {
        found.push("reject-encoded-slashes is the old name of encoded-separators refuse, which is set to keep: leave one out");
    }
    let is_sealed = settings.last_good == super::Auto::Set(super::LastGood::Sealed);
    match &settings.last_good_key.0 {
        None if is_sealed => {
            found
                .push("last-good is sealed without a key: name a file with 32 random bytes by last-good-key");
        }
        Some(_) if !is_sealed && settings.last_good != super::Auto::Auto => {
            found.push("last-good-key is for last-good sealed, and another one is set: leave one out");
        }
        _ => {}
    }
    if let super::Auto::Set(share) = settings.max_series_per_namespace
        && share.get() > settings.max_series.get()
    {
        found.push("max-series-per-namespace is above max-series, which includes it: raise max-series");
    }
    found.into_iter().map(|text| SettingError(text.to_owned())).collect()
}

/// Finds each setting's text and notes what was wrong with it.
pub(super) struct Reader<'a> {
    inputs: &'a Inputs,
    file: FileSettings,
    errors: Vec<SettingError>,
    effective: Vec<Effective>,
}

impl Reader<'_> {
    /// The value of one setting, or `None` with an error noted.
    pub(super) fn value<T: Value>(&mut self, row: &Setting) -> Option<T> {
        let (source, text) = self.find(row);
        let value = T::parse(text.trim());
        if value.is_none() {
            let allowed = (row.allowed)();
            self.errors.push(SettingError(format!("{source}: {text:?} is not allowed: write {allowed}")));
        }
        self.effective.push(Effective { name: row.name(), value: text, source });
        value
    }

    /// Source and text: flag, then environment, then file, then default.
    fn find(&self, row: &Setting) -> (String, String) {
        let (name, env) = (row.name(), row.env());
        if let Some(text) = self.inputs.flags.get(&name) {
            return (format!("--{name}"), text.clone());
        }
        if let Some(text) = self.inputs.env.get(&env) {
            return (env, text.clone());
        }
        match (&self.inputs.file, self.file.values.get(&name)) {
            (Some((path, _)), Some((line, column, text))) => {
                (format!("{path}:{line}:{column}: {name}"), text.clone())
            }
            _ => ("default".to_owned(), row.default.to_owned()),
        }
    }
}
