//! Known advisories, by a database that somebody keeps on this machine: none is fetched here, so that a run
//! without a network says what it did not check.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use super::deny;
use crate::cargo::{must_succeed, workspace};

/// The name that this version of cargo-deny gives its copy of the RustSec database.
const FETCHED: &str = "advisory-db-3157b0e258782691";

/// Checks the lock file against a clone of the RustSec database; gives the day of its last commit, or `None`
/// if there is no database.
///
/// # Errors
/// `named` is no clone, or an advisory is about something that is built in.
pub(super) fn check(named: Option<&Path>) -> Result<Option<String>> {
    let Some(database) = named.map(Path::to_owned).or_else(fetched) else { return Ok(None) };
    let Some(date) = last_commit(&database) else {
        bail!("--advisory-db {}: is no git clone with a commit", database.display());
    };
    let dir = env::temp_dir().join(format!("sluice-advisories-{}", std::process::id()));
    let checked = copied(&database, &dir).and_then(|config| deny::check(&["advisories"], &config));
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    checked.map(|()| Some(date))
}

/// Puts a copy of `database` where cargo-deny looks for what it has fetched; gives its rules, which say so.
fn copied(database: &Path, dir: &Path) -> Result<PathBuf> {
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet"]).arg(database.canonicalize()?).arg(dir.join(FETCHED));
    must_succeed(&mut clone)?;
    let rules = fs::read_to_string(workspace().join("deny.toml")).context("deny.toml")?;
    let config = dir.join("deny.toml");
    fs::write(&config, rules.replace("[advisories]", &format!("[advisories]\ndb-path = {dir:?}")))?;
    Ok(config)
}

/// One that cargo-deny fetched earlier, where it keeps them.
fn fetched() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))?;
    let found = fs::read_dir(home.join("advisory-dbs")).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    found.filter(|path| path.join(".git").exists()).max()
}

/// The day of the last commit, as 2026-11-28.
fn last_commit(database: &Path) -> Option<String> {
    let said =
        Command::new("git").arg("-C").arg(database).args(["log", "-1", "--format=%cs"]).output().ok()?;
    let date = String::from_utf8(said.stdout).ok()?.trim().to_owned();
    (said.status.success() && !date.is_empty()).then_some(date)
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn a_copy_lies_where_the_rules_say() {
        let dir = Scratch::new("advisories").unwrap();
        let database = dir.join("database");
        let git = |words: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C")
                .arg(&database)
                .args(["-c", "user.name=a", "-c", "user.email=a@a.example"])
                .args(words);
            must_succeed(&mut git).unwrap();
        };
        fs::create_dir(&database).unwrap();
        git(&["init", "--quiet"]);
        git(&["commit", "--quiet", "--allow-empty", "--message=first"]);
        let copy = dir.join("copy");
        let rules = fs::read_to_string(copied(&database, &copy).unwrap()).unwrap();
        assert!(rules.contains(&format!("[advisories]\ndb-path = {copy:?}\n")), "{rules}");
        assert_eq!(last_commit(&copy.join(FETCHED)), last_commit(&database));
        assert!(last_commit(&database).is_some());
    }

    #[test]
    fn what_is_no_clone_is_refused_by_name() {
        let error = check(Some(Path::new("/nonexistent"))).unwrap_err().to_string();
        assert!(error.contains("--advisory-db /nonexistent"), "{error}");
    }
}
