//! The settings as flags of a subcommand.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};

use super::{Inputs, Resolved, Setting, SettingError, TABLE, resolve};

/// The settings that a subcommand has flags for; environment and file may hold the others too.
pub(crate) trait Subset {
    /// Field names; `None` is all of them.
    const FIELDS: Option<&'static [&'static str]>;
}

/// All settings.
#[derive(Debug)]
pub(crate) struct All;
/// Settings that change what resources mean.
#[derive(Debug)]
pub(crate) struct Meaning;
/// Where the admin server is.
#[derive(Debug)]
pub(crate) struct Admin;
/// Where state is kept.
#[derive(Debug)]
pub(crate) struct Places;

/// Settings of a helper: what it does for others, and where.
#[derive(Debug)]
pub(crate) struct Rights;

impl Subset for All {
    const FIELDS: Option<&'static [&'static str]> = None;
}
impl Subset for Meaning {
    const FIELDS: Option<&'static [&'static str]> = Some(&[
        "controller_name",
        "underscore_headers",
        "merge_slashes",
        "encoded_separators",
        "backend_networks",
        "node_endpoints",
        "health_address",
        "metrics_address",
        "admin_address",
        "address_ownership",
        "host_ownership",
        "max_request_line",
        "max_header_bytes",
        "regex_bytes",
        "regex_route_bytes",
        "regex_namespace_bytes",
        "regex_scan_bytes",
        "reserved_ports",
        "allowed_ports",
        "address_mode",
        "address_pool",
        "gateway_addresses",
    ]);
}
impl Subset for Admin {
    const FIELDS: Option<&'static [&'static str]> = Some(&["state_dir", "admin_address"]);
}
impl Subset for Places {
    const FIELDS: Option<&'static [&'static str]> = Some(&["state_dir", "bpffs"]);
}

impl Subset for Rights {
    const FIELDS: Option<&'static [&'static str]> = Some(&[
        "address_pool",
        "address_interface",
        "state_dir",
        "probe_socket",
        "seccomp",
        "reserved_ports",
        "allowed_ports",
        "bpffs",
        "log",
    ]);
}

/// The settings given as flags, as text: [`resolve`] checks them together with environment and file.
#[derive(Debug)]
pub(crate) struct SettingFlags<S> {
    flags: BTreeMap<String, String>,
    config: Option<PathBuf>,
    subset: PhantomData<S>,
}

impl<S: Subset> SettingFlags<S> {
    /// Checks flags, the process's environment and the file.
    ///
    /// # Errors
    /// Every mistake at once.
    pub(crate) fn resolve(self) -> Result<Resolved, Vec<SettingError>> {
        let env = TABLE.iter().filter_map(|row| Some((row.env(), std::env::var(row.env()).ok()?))).collect();
        let config = self.config.or_else(|| std::env::var_os("SLUICE_CONFIG").map(PathBuf::from));
        let file = match config {
            None => None,
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Some((path.display().to_string(), text)),
                Err(error) => {
                    let line = format!("--config {}: {error}: name a readable YAML file", path.display());
                    return Err(vec![SettingError(line)]);
                }
            },
        };
        resolve(&Inputs { flags: self.flags, env, file })
    }

    /// The text of a flag, if it was given.
    #[cfg(test)]
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.get(name).map(String::as_str)
    }

    /// Sets a flag that the subcommand also takes as an argument.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.flags.insert(name.to_owned(), value);
    }
}

fn rows<S: Subset>() -> impl Iterator<Item = &'static Setting> {
    TABLE.iter().filter(|row| S::FIELDS.is_none_or(|fields| fields.contains(&row.field)))
}

impl<S: Subset> FromArgMatches for SettingFlags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = rows::<S>()
            .filter_map(|row| Some((row.name(), matches.get_one::<String>(&row.name())?.clone())))
            .collect();
        Ok(Self { flags, config: matches.get_one::<PathBuf>("config").cloned(), subset: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<S: Subset> Args for SettingFlags<S> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("YAML file of settings [env: SLUICE_CONFIG]")
            .help_heading("Configuration");
        rows::<S>().fold(command.arg(config), |command, row| {
            let facts = format!("[default: {}] [env: {}]", row.default, row.env());
            command.arg(
                Arg::new(row.name())
                    .long(row.name())
                    .value_name(row.unit)
                    .action(ArgAction::Set)
                    .allow_hyphen_values(true)
                    .help(format!("{} {facts}", row.about))
                    .long_help(format!("{}. {}. Write {}. {facts}", row.about, row.trade, (row.allowed)()))
                    .help_heading(row.group),
            )
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_name_settings_that_exist() {
        let known = |subset: Option<&[&str]>| {
            subset.unwrap_or_default().iter().all(|field| TABLE.iter().any(|row| row.field == *field))
        };
        assert!(known(Meaning::FIELDS) && known(Admin::FIELDS) && known(Places::FIELDS));
        assert!(known(Rights::FIELDS));
    }
}
