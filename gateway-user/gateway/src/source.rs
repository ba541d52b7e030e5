//! The source of what is served: a directory, a cluster, or a controller of one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway_control::engine::{DirectoryOptions, SourceOptions};
use gateway_control::kept::{KeptKeys, SealingKey};
use gateway_control::source::file::{Fingerprint, WriteDelays};
use gateway_control::source::kube::{Access, Cluster, ClusterOptions};
use gateway_control::stream::{ControllerAddress, FollowOptions, KeepOptions, NetworkAddress};
use gateway_sync::capability::Capabilities;

use crate::cmd::version::VERSIONS;
use crate::flags::{Auto, Controller, LastGood, Settings, UnfinishedWrites};
use crate::instance::Instance;
use crate::{fault, node};

/// Time that controllers have before a node serves its copy on disk.
const COPY_AFTER: Duration = Duration::from_secs(5);

/// Where resources come from, as the settings say.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Files.
    Directory(PathBuf),
    /// An API server.
    Cluster(ClusterOptions),
    /// A controller, which has translated already.
    Controller(ControllerAddress),
}

/// A source that is read.
pub(crate) enum Opened {
    /// Resources, and the cluster that they are from, if they are from one.
    Resources(Box<SourceOptions>, Option<Cluster>),
    /// A controller's stream, still to be followed.
    Stream(FollowOptions),
}

impl Source {
    /// The one that is asked for. A directory is served wherever the process runs; a pod that is told nothing
    /// serves its own cluster.
    ///
    /// # Errors
    /// None or two are asked for.
    pub(crate) fn of(settings: &Settings) -> anyhow::Result<Self> {
        let cluster = |access| {
            let namespaces = settings.watch_namespaces.0.clone();
            let keys = kept_keys(settings, LastGood::Keys);
            let controller_name = settings.controller_name.0.clone();
            Self::Cluster(ClusterOptions { access, namespaces, last_good: None, keys, controller_name })
        };
        let others = [(&settings.config_dir, "--config-dir"), (&settings.kubeconfig, "--kubeconfig")];
        if let Some(controller) = controller(settings)? {
            if let Some((_, other)) = others.into_iter().find(|(path, _)| path.0.is_some()) {
                bail!(
                    "--controller {controller} and {other} are two sources of which neither could overrule the other: leave \
                     one out"
                );
            }
            return Ok(Self::Controller(controller));
        }
        match (&settings.config_dir.0, &settings.kubeconfig.0) {
            (Some(dir), Some(file)) => bail!(
                "a directory ({}) and a cluster (--kubeconfig {}) are two sources of which neither could overrule the \
                 other: leave one out",
                dir.display(),
                file.display()
            ),
            (Some(dir), None) => Ok(Self::Directory(dir.clone())),
            (None, Some(file)) => Ok(cluster(Access::Kubeconfig(file.clone()))),
            (None, None) => match Access::in_cluster() {
                Some(access) => Ok(cluster(access)),
                None => bail!(
                    "nothing to serve: write `sluice run DIR`, or set --kubeconfig; a pod serves its own cluster"
                ),
            },
        }
    }

    /// True if it is a cluster, or a controller of one: among its nodes this one needs a name, and who writes its objects
    /// is not this node's operator.
    pub(crate) fn is_cluster(&self) -> bool {
        !matches!(self, Self::Directory(_))
    }

    /// Finds mistakes that can be found without disturbing anybody. Gives what it is, for people.
    ///
    /// # Errors
    /// It cannot be read, or nobody can tell where the cluster is.
    pub(crate) fn check(&self) -> anyhow::Result<String> {
        match self {
            Self::Directory(dir) => {
                std::fs::read_dir(dir)
                    .with_context(|| format!("{}: name a readable directory", dir.display()))?;
                Ok(dir.display().to_string())
            }
            Self::Cluster(options) => Ok(format!("the cluster at {}", options.access.server()?)),
            Self::Controller(controller) => Ok(format!("what the controller at {controller} says")),
        }
    }

    /// The program that gives the credentials for the cluster, if one does.
    pub(crate) fn program(&self) -> Option<String> {
        match self {
            Self::Directory(_) | Self::Controller(_) => None,
            Self::Cluster(options) => options.access.program(),
        }
    }

    /// Every file and directory that is there now and read again later.
    ///
    /// # Errors
    /// This process itself cannot list them.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        match self {
            Self::Directory(dir) => {
                Ok(Fingerprint::take(dir).with_context(|| "listing the resources".to_owned())?.paths(dir))
            }
            Self::Cluster(options) => Ok(options.access.files()?),
            Self::Controller(ControllerAddress::Local(_)) => Ok(Vec::new()),
            // A kubelet may bring them later than the pod's first process.
            Self::Controller(ControllerAddress::Network(network)) => {
                let files = [&network.authorities, &network.token];
                Ok(files.into_iter().filter(|file| file.exists()).cloned().collect())
            }
        }
    }

    /// Begins to read it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn open(self, settings: &Settings, instance: &Instance) -> anyhow::Result<Opened> {
        let usual = if matches!(self, Self::Controller(_)) { LastGood::NoKeys } else { LastGood::Keys };
        let last_good = (last_good(settings, usual) != LastGood::Off).then(|| instance.last_good());
        let keys = kept_keys(settings, usual);
        if let KeptKeys::Sealed(path) = &keys {
            // Found now rather than when the file is needed.
            SealingKey::read(path)?;
        }
        match self {
            Self::Directory(path) => {
                let quiet = settings.debounce.0;
                let delays = match settings.unfinished_writes {
                    UnfinishedWrites::Wait => WriteDelays::patient(quiet),
                    UnfinishedWrites::Read => WriteDelays::quiet_only(quiet),
                };
                let options = DirectoryOptions { path, delays, last_good, keys };
                Ok(Opened::Resources(Box::new(SourceOptions::Directory(options)), None))
            }
            Self::Cluster(options) => {
                // Another file than a directory's: one process may follow the other.
                let last_good = last_good.map(|path| path.with_file_name("last-good-cluster"));
                let cluster = Cluster::start(ClusterOptions { last_good, ..options })?;
                Ok(Opened::Resources(Box::new(SourceOptions::Cluster(cluster.clone())), Some(cluster)))
            }
            Self::Controller(controller) => {
                let path = last_good.map(|path| path.with_file_name("last-good-stream"));
                let keep = path.map(|path| KeepOptions { path, keys });
                Ok(Opened::Stream(FollowOptions {
                    controller,
                    node: node::name(settings)?,
                    version: VERSIONS.version.to_owned(),
                    known: Capabilities::without(&lacking()),
                    keep,
                    probe_at: node::probe_at(settings).iter().map(ToString::to_string).collect(),
                    takes_over: false,
                    copy_after: COPY_AFTER,
                }))
            }
        }
    }
}

/// The controller that is followed, if one is.
///
/// # Errors
/// Something that is needed for it is not set.
fn controller(settings: &Settings) -> anyhow::Result<Option<ControllerAddress>> {
    let files =
        [(&settings.controller_ca, "--controller-ca"), (&settings.controller_token, "--controller-token")];
    let (host, port) = match &settings.controller {
        Controller::Remote(host, port) => (host.clone(), *port),
        Controller::None | Controller::Socket(_) => {
            if let Some((_, flag)) = files.into_iter().find(|(file, _)| file.0.is_some()) {
                bail!(
                    "{flag} does nothing without a --controller in a network: name one, such as sluice-controller:15010, or leave it out"
                );
            }
            return Ok(match &settings.controller {
                Controller::Socket(path) => Some(ControllerAddress::Local(path.clone())),
                _ => None,
            });
        }
    };
    let [authorities, token] = files.map(|(file, flag)| {
        file.0
            .clone()
            .with_context(|| format!("--controller {host}:{port} is in a network: name the file for {flag}"))
    });
    let (authorities, token) = (authorities?, token?);
    Ok(Some(ControllerAddress::Network(NetworkAddress { host, port, authorities, token })))
}

/// The setting; else sealed if there is a key, or what is usual for the process.
fn last_good(settings: &Settings, usual: LastGood) -> LastGood {
    match settings.last_good {
        Auto::Set(mode) => mode,
        Auto::Auto if settings.last_good_key.0.is_some() => LastGood::Sealed,
        Auto::Auto => usual,
    }
}

fn kept_keys(settings: &Settings, usual: LastGood) -> KeptKeys {
    match (last_good(settings, usual), &settings.last_good_key.0) {
        (LastGood::Sealed, Some(key)) => KeptKeys::Sealed(key.clone()),
        // Without a key that is a contradiction, which is found before.
        (LastGood::NoKeys | LastGood::Off | LastGood::Sealed, _) => KeptKeys::LeftOut,
        (LastGood::Keys, _) => KeptKeys::Plain,
    }
}

/// Capabilities that a test takes away.
fn lacking() -> Vec<String> {
    fault::words().iter().filter_map(|word| Some(word.strip_prefix("lacks:")?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;

    fn source(flags: &[(&str, &str)]) -> anyhow::Result<Source> {
        Source::of(&settings(flags))
    }

    #[test]
    fn one_source_is_served_and_two_are_a_mistake() {
        assert!(matches!(source(&[("config-dir", "d")]).unwrap(), Source::Directory(dir) if dir == *"d"));
        let cluster = source(&[("kubeconfig", "k"), ("watch-namespaces", "b, a,b")]).unwrap();
        let Source::Cluster(ClusterOptions { access, namespaces, .. }) = cluster else {
            panic!("{cluster:?}")
        };
        assert_eq!(
            (access, namespaces.as_slice()),
            (Access::Kubeconfig("k".into()), &["a".to_owned(), "b".to_owned()][..])
        );
        let both = source(&[("config-dir", "d"), ("kubeconfig", "k")]).unwrap_err().to_string();
        assert!(both.contains("leave one out"), "{both}");
    }

    #[test]
    fn a_controller_in_a_network_needs_both_files_and_no_other_does() {
        let remote = ("controller", "sluice-controller:15010");
        let (ca, token) = (("controller-ca", "ca.crt"), ("controller-token", "token"));
        let all = source(&[remote, ca, token]).unwrap();
        assert!(matches!(all, Source::Controller(ControllerAddress::Network(one)) if one.port == 15010));
        let wrong = |flags: &[(&str, &str)]| source(flags).unwrap_err().to_string();
        assert!(wrong(&[remote, ca]).contains("--controller-token"));
        assert!(wrong(&[remote, token]).contains("--controller-ca"));
        assert!(wrong(&[("controller", "/run/nodes.sock"), ca]).contains("--controller-ca does nothing"));
        assert!(wrong(&[remote, ca, token, ("config-dir", "d")]).contains("leave one out"));
    }

    #[test]
    fn a_kubeconfig_that_is_none_is_found_before_anything_starts() {
        let dir = gateway_testkit::scratch::Scratch::new("kubeconfig").unwrap();
        dir.write("k", "apiVersion: v1\nkind: Config\n").unwrap();
        let path = dir.join("k").display().to_string();
        let error = format!("{:#}", source(&[("kubeconfig", &path)]).unwrap().check().unwrap_err());
        assert!(error.contains(&path), "{error}");
        let missing = source(&[("kubeconfig", "/nowhere/at/all")]).unwrap().check().unwrap_err();
        assert!(format!("{missing:#}").contains("/nowhere/at/all"), "{missing:#}");
    }
}
