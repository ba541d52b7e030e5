//! The state of the checkout that an image is made of.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sluice_tooling::cargo::workspace;

/// A commit and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The commit in hexadecimal digits, with `-dirty` where tracked files differ from it.
    pub revision: String,
    /// Its time (RFC 3339), or that of `SOURCE_DATE_EPOCH`.
    pub created: String,
}

impl Source {
    /// The checkout's.
    ///
    /// # Errors
    /// It is no git checkout, or `SOURCE_DATE_EPOCH` is no number.
    pub fn of_checkout() -> Result<Self> {
        let mut revision = git(&["rev-parse", "HEAD"])?;
        if !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
            revision.push_str("-dirty");
        }
        let epoch = match env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => git(&["log", "-1", "--format=%ct"])?,
        };
        Ok(Self { revision, created: date(&epoch)? })
    }

    /// That of sources without a history.
    pub fn unknown() -> Self {
        Self { revision: "unknown".to_owned(), created: "1970-01-01T00:00:00Z".to_owned() }
    }
}

/// Seconds since 1970 as a date.
fn date(epoch: &str) -> Result<String> {
    let seconds =
        epoch.parse().with_context(|| format!("SOURCE_DATE_EPOCH={epoch}: write seconds since 1970"))?;
    let time = jiff::Timestamp::from_second(seconds).with_context(|| format!("SOURCE_DATE_EPOCH={epoch}"))?;
    Ok(time.to_string())
}

/// The output of git in the checkout.
pub(crate) fn git(words: &[&str]) -> Result<String> {
    let output = Command::new("git").current_dir(workspace()).args(words).output().context("starting git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "an image names the commit it is made of; git {}: {}",
        words.join(" "),
        said.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_in_utc_and_has_no_fractions() {
        assert_eq!(date("1795990351").unwrap(), "2026-11-29T22:12:31Z");
        assert!(date("yesterday").unwrap_err().to_string().contains("SOURCE_DATE_EPOCH=yesterday"));
    }
}
