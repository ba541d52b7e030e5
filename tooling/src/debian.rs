//! Debian's mirrors, as this machine's apt is configured.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cargo::must_succeed;

/// Addresses that apt installs Debian's packages from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrors {
    /// All releases, sid too.
    pub main: String,
    /// Security fixes of releases, if apt is configured with such a mirror.
    pub security: Option<String>,
}

/// The mirrors of this machine: one behind a mirror of its own uses that.
///
/// # Errors
/// apt is missing, or is configured with no mirror of Debian.
pub fn mirrors() -> Result<Mirrors> {
    let mut lists = lists()?;
    if lists.trim().is_empty() {
        // A machine that never fetched the package lists cannot tell whose a mirror is.
        must_succeed(Command::new("apt-get").arg("update"))?;
        lists = self::lists()?;
    }
    match mirrors_in(&lists) {
        Some(mirrors) => Ok(mirrors),
        None => bail!("apt is configured with no mirror of Debian"),
    }
}

/// The package lists that apt has, by origin, codename and address.
fn lists() -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)", "Created-By: Packages"]);
    let output = command.output().context("starting apt-get")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first whole release of Debian among lines of origin, codename and address: that of updates or of security fixes
/// has no other release; and the first of security fixes.
fn mirrors_in(text: &str) -> Option<Mirrors> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (origin, codename, address) = (words.next()?, words.next()?, words.next()?);
        (origin == "Debian").then_some((codename, address.to_owned()))
    });
    let (security, others): (Vec<_>, Vec<_>) = lines.partition(|(name, _)| name.ends_with("-security"));
    let main = others.into_iter().find(|(name, _)| !name.contains('-'))?.1;
    Some(Mirrors { main, security: security.into_iter().next().map(|(_, address)| address) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_a_whole_release_of_debian() {
        let lines = "Node nodistro https://c.example/
Debian bookworm-security http://b.example/debian-security/
Debian bookworm-updates http://u.example/debian/
Debian bookworm http://a.example/debian/
";
        let mirrors = mirrors_in(lines).unwrap();
        assert_eq!(mirrors.main, "http://a.example/debian/");
        assert_eq!(mirrors.security.as_deref(), Some("http://b.example/debian-security/"));
        assert_eq!(mirrors_in("Debian sid http://a.example/debian/").unwrap().security, None);
        assert_eq!(mirrors_in("Ubuntu noble http://u.example/ubuntu/\n\n"), None);
    }
}
