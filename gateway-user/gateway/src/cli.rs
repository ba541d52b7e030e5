//! The command line: subcommands, and the settings as flags of those that read them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::flags::{Admin, All, Meaning, Places, Rights, SettingFlags, Value, Wait};

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

/// The command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the resources of a directory.
    Run(RunArgs),
    /// Watch and translate resources, and tell nodes what to serve; has no data plane.
    Controller(ControllerArgs),
    /// Serve what a controller says; needs no token and no client of a cluster.
    Node(NodeArgs),
    /// Replace the running process by a new one with these flags, without losing requests; returns once it
    /// serves.
    Upgrade(UpgradeArgs),
    /// Check resources; exit 1 if they have errors.
    Check(CheckArgs),
    /// Print the translation of a directory's resources: routing, endpoints and status.
    Translate(TranslateArgs),
    /// Show which rule a request matches, and why the others do not.
    Explain(ExplainArgs),
    /// Show the status of a running Sluice.
    Status(StatusArgs),
    /// Ask the process of this pod, over its own socket (--probe-socket), if it is ready or alive; exit 1 if not.
    Probe(ProbeArgs),
    /// Remove the leftovers of a crashed Sluice from the kernel and the disk.
    Cleanup(CleanupArgs),
    /// Hold the rights of a Sluice that runs as a user without any (`run --helper`): load kernel programs, bind
    /// ports, put addresses on an interface.
    Helper(HelperArgs),
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
    /// Process that started this one and then ends; set by `sluice upgrade`.
    #[arg(long, hide = true)]
    pub(crate) started_by: Option<u32>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<All>,
}

/// `sluice controller`.
#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    /// Directory of resources; the same as --config-dir.
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<All>,
}

/// `sluice node`.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    pub(crate) settings: SettingFlags<All>,
}

/// `sluice upgrade`.
#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    /// Start the new process and end at once; set by `sluice upgrade`.
    #[arg(long, hide = true)]
    pub(crate) apart: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// `sluice check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Directories and files of resources, read together; - is standard input.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Count warnings as errors.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    pub(crate) format: CheckFormat,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<Meaning>,
}

/// `sluice translate`.
#[derive(Debug, Args)]
pub(crate) struct TranslateArgs {
    /// Directory or file of resources; - is standard input.
    pub(crate) dir: PathBuf,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Document::Yaml)]
    pub(crate) output: Document,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<Meaning>,
}

/// A cluster in place of files.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Read the resources of the cluster that kubectl would use (KUBECONFIG, ~/.kube/config), with the rights of its user.
    #[arg(long)]
    pub(crate) cluster: bool,
    /// A context of the kubeconfig; means --cluster.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

impl ClusterArgs {
    /// The context, if a cluster is to be read: of the kubeconfig's, or the current one.
    pub(crate) fn asked_for(&self) -> Option<Option<&str>> {
        (self.cluster || self.context.is_some()).then_some(self.context.as_deref())
    }
}

/// `sluice explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Directory or file of resources, or - for standard input; left out with --cluster. Then a request: its method and absolute
    /// URL, such as GET http://www.example.com/cart?id=1; its port chooses the listener. Or a connection that is not looked into:
    /// tcp://HOST:PORT, or tls://HOST:PORT by its server name; or a datagram: udp://HOST:PORT.
    #[arg(required = true, num_args = 1..=3, value_names = ["DIR", "METHOD", "URL"])]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Request header as NAME: VALUE; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// Local address that the connection arrives at, if listeners have addresses of their own; one of the only Gateway with
    /// the port by default. Of tcp:// the host is, if it is an address.
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<std::net::IpAddr>,
    /// Server name that the connection of an https:// request asks for, if not the URL's host: of a connection that is used for
    /// several hosts.
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,
    /// A document for programs in place of lines.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Document>,
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

/// `sluice probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// ready: it serves, and not the process that it is to replace; live: it needs no new start.
    #[arg(value_enum)]
    pub(crate) of: ProbeOf,
    /// Its --probe-socket [default: /run/sluice-probe/socket] [env: SLUICE_PROBE_SOCKET].
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

/// Questions of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProbeOf {
    /// Readiness.
    Ready,
    /// Liveness.
    Live,
}

/// `sluice cleanup`.
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    #[command(flatten)]
    pub(crate) settings: SettingFlags<Places>,
}

/// `sluice helper`.
#[derive(Debug, Args)]
pub(crate) struct HelperArgs {
    /// Where to listen: a Unix socket that is made, in a directory that nobody else writes to.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,
    /// User that is served besides root: the one that `sluice run --helper` runs as.
    #[arg(long, value_name = "UID")]
    pub(crate) node_uid: u32,
    /// Time for which new connections wait for the next gateway when one was killed, instead of being refused; 0s refuses
    /// them at once.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = value::<Wait>)]
    pub(crate) hold_connections: Wait,
    #[command(flatten)]
    pub(crate) settings: SettingFlags<Rights>,
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

/// A flag's value in the form that settings have.
fn value<V: Value>(text: &str) -> Result<V, String> {
    V::parse(text.trim()).ok_or_else(|| format!("write {}", V::allowed()))
}

/// Formats that hold a whole document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// Formats of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// A line for each, as compilers print them.
    Text,
    /// JSON.
    Json,
    /// SARIF 2.1.0, for code scanning and editors.
    Sarif,
    /// Workflow commands of GitHub Actions.
    Github,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::flags::TABLE;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
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
    fn run_takes_a_directory_and_every_setting() {
        let cli =
            Cli::try_parse_from(["sluice", "run", "dir", "--workers", "x", "--io=epoll"]).expect("parses");
        let Command::Run(run) = cli.command else { panic!("run") };
        assert_eq!(run.dir.as_deref(), Some(std::path::Path::new("dir")));
        assert_eq!(run.settings.flag("workers"), Some("x"), "checked later, with all the others");
        assert_eq!(run.settings.flag("io"), Some("epoll"));
    }
}
