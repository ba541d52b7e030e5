//! The command line: subcommands, and the settings as flags of those that read them.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::flags::{Inputs, Resolved, SettingError, TABLE, resolve};

/// Sluice: an edge gateway for Kubernetes and for a directory of Gateway API resources.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, propagate_version = true, subcommand_required = true)]
#[command(
    after_help = "Exit codes: 0 done; 1 the resources have errors or the command failed; 2 bad flags or settings."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the resources of a directory.
    Run(RunArgs),
    /// Check the resources of a directory; exit 1 if they have errors.
    Check(CheckArgs),
    /// Print what a directory's resources mean: routing, endpoints and status.
    Translate(TranslateArgs),
    /// Say which rule a request would meet, and why the others do not match.
    Explain(ExplainArgs),
    /// Show what a running Sluice serves.
    Status(StatusArgs),
    /// Remove what a crashed Sluice left in the kernel and on disk.
    Cleanup(CleanupArgs),
    /// Serve an httpbin-like backend to try routes against.
    Echo(crate::echo::EchoArgs),
    /// Check settings without starting.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the versions of Sluice and of Gateway API.
    Version(VersionArgs),
}

/// `sluice run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Directory of resources; the same as --config-dir.
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<All>,
}

/// `sluice check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Directory of resources.
    pub(crate) dir: PathBuf,
    /// Count warnings as errors.
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<Meaning>,
}

/// `sluice translate`.
#[derive(Debug, Args)]
pub(crate) struct TranslateArgs {
    /// Directory of resources.
    pub(crate) dir: PathBuf,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Document::Yaml)]
    pub(crate) output: Document,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<Meaning>,
}

/// `sluice explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Directory of resources.
    pub(crate) dir: PathBuf,
    /// Request method.
    pub(crate) method: String,
    /// Absolute URL, such as http://www.example.com/cart?id=1; its port chooses the listener.
    pub(crate) url: String,
    /// Request header as NAME: VALUE; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// Local address that the connection arrives at, if listeners have addresses of their own.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) address: std::net::IpAddr,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<Meaning>,
}

/// `sluice status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<Admin>,
}

/// `sluice cleanup`.
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    #[command(flatten)]
    pub(crate) settings: SettingFlags<Places>,
}

/// `sluice config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check flags, environment and file, and print every setting in force with its source.
    Check(ConfigCheckArgs),
}

/// `sluice config check`.
#[derive(Debug, Args)]
pub(crate) struct ConfigCheckArgs {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<All>,
}

/// `sluice version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// Formats that hold a whole document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// Formats of commands that people and programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns.
    Table,
    /// Aligned columns with more of them.
    Wide,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// Which settings a subcommand has flags for; environment and file may hold the others too.
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

impl Subset for All {
    const FIELDS: Option<&'static [&'static str]> = None;
}
impl Subset for Meaning {
    const FIELDS: Option<&'static [&'static str]> = Some(&["controller_name"]);
}
impl Subset for Admin {
    const FIELDS: Option<&'static [&'static str]> = Some(&["admin_address"]);
}
impl Subset for Places {
    const FIELDS: Option<&'static [&'static str]> = Some(&["state_dir", "bpffs"]);
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

    /// Sets a flag that the subcommand also takes as an argument.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.flags.insert(name.to_owned(), value);
    }
}

fn rows<S: Subset>() -> impl Iterator<Item = &'static crate::flags::Setting> {
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let known = |subset: Option<&[&str]>| {
            subset.unwrap_or_default().iter().all(|field| TABLE.iter().any(|row| row.field == *field))
        };
        assert!(known(Meaning::FIELDS) && known(Admin::FIELDS) && known(Places::FIELDS));
    }

    #[test]
    fn help_says_default_environment_and_what_is_traded() {
        let mut command = Cli::command();
        let config = command.find_subcommand_mut("config").expect("config is a subcommand");
        let check = config.find_subcommand_mut("check").expect("config check is one");
        let help = check.render_long_help().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        for row in TABLE {
            assert!(help.contains(&format!("--{} <{}>", row.name(), row.unit)), "{}", row.field);
            assert!(
                help.contains(&format!("[default: {}] [env: {}]", row.default, row.env())),
                "{}",
                row.field
            );
            assert!(help.contains(row.trade), "{}", row.field);
        }
    }

    #[test]
    fn flags_reach_resolve_as_text() {
        let cli =
            Cli::try_parse_from(["sluice", "run", "dir", "--workers", "x", "--io=epoll"]).expect("parses");
        let Command::Run(run) = cli.command else { panic!("run") };
        assert_eq!(run.dir.as_deref(), Some(std::path::Path::new("dir")));
        assert_eq!(run.settings.flags.get("workers").map(String::as_str), Some("x"));
        assert_eq!(run.settings.flags.get("io").map(String::as_str), Some("epoll"));
    }
}
