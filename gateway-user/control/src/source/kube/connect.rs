//! Address and credentials of the API server.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// Address and credentials of an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Those of a kubeconfig file.
    Kubeconfig(PathBuf),
    /// Those that the kubelet gives to this process's pod.
    InCluster,
    /// Those that kubectl would use: of the files in `KUBECONFIG` or `~/.kube/config`, with this context or the current one. For
    /// commands that people type; without any such file it is the pod's cluster.
    AsKubectl {
        /// Name of a context.
        context: Option<String>,
    },
}

/// Directory of a pod's access to the API server.
const OF_POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Error that leaves no client of the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be used.
    #[error("--kubeconfig {0}: {1}")]
    Kubeconfig(PathBuf, String),
    /// There is no kubeconfig, or it cannot be used.
    #[error("kubeconfig: {0}; set KUBECONFIG, or name a context of it by --context")]
    AsKubectl(String),
    /// The pod's own files are of no use.
    #[error(
        "this pod's access to its API server: {0}; let the pod have a service account token \
         (automountServiceAccountToken), or set --kubeconfig"
    )]
    /// The pod's own files cannot be used.
    InCluster(String),
    /// No client can be made for the server at that address.
    #[error("client of the API server at {0}: {1}")]
    Client(String, String),
    /// The system gives no thread or runtime.
    #[error("thread of the API server's client: {0}")]
    Thread(#[from] std::io::Error),
}

impl Access {
    /// The cluster that this process runs in, if it runs in a pod.
    pub fn in_cluster() -> Option<Self> {
        std::env::var_os("KUBERNETES_SERVICE_HOST").map(|_| Self::InCluster)
    }

    /// The server's address, found without a request.
    ///
    /// # Errors
    /// The kubeconfig, or the pod's own files, cannot be read or name no server.
    pub fn server(&self) -> Result<String, ConnectError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let config = runtime.block_on(self.config())?;
        Ok(address(&config))
    }

    /// The files that are read to reach the server, now and whenever a token is renewed.
    ///
    /// # Errors
    /// The kubeconfig cannot be read, or gets its credentials from a program, which would run as the
    /// process's user.
    pub fn files(&self) -> Result<Vec<PathBuf>, ConnectError> {
        match self {
            Self::Kubeconfig(path) => {
                let wrong = |error: String| ConnectError::Kubeconfig(path.clone(), error);
                let file = Kubeconfig::read_from(path).map_err(|error| wrong(chain(&error)))?;
                let users = file.auth_infos.iter().filter_map(|user| user.auth_info.as_ref());
                let mut files = vec![path.clone()];
                for user in users {
                    let named = [&user.client_certificate, &user.client_key, &user.token_file];
                    files.extend(named.into_iter().flatten().map(PathBuf::from));
                }
                let clusters = file.clusters.iter().filter_map(|cluster| cluster.cluster.as_ref());
                files.extend(
                    clusters.filter_map(|cluster| cluster.certificate_authority.as_ref()).map(PathBuf::from),
                );
                Ok(files)
            }
            Self::InCluster => {
                Ok(["token", "ca.crt", "namespace"].map(|name| Path::new(OF_POD).join(name)).into())
            }
            // No process that gives up its rights uses it.
            Self::AsKubectl { .. } => Ok(Vec::new()),
        }
    }

    /// The program that gives the credentials, if one does: it reads its own files, as the user that this
    /// process is then.
    pub fn program(&self) -> Option<String> {
        let Self::Kubeconfig(path) = self else { return None };
        let file = Kubeconfig::read_from(path).ok()?;
        let mut programs = file.auth_infos.into_iter().filter_map(|user| user.auth_info?.exec?.command);
        programs.next()
    }

    /// The client's configuration.
    ///
    /// # Errors
    /// [`ConnectError`]: the kubeconfig, or the pod's own files, cannot be read or name no server.
    pub(super) async fn config(&self) -> Result<Config, ConnectError> {
        match self {
            Self::Kubeconfig(path) => of_file(path).await,
            Self::InCluster => Config::incluster().map_err(|error| ConnectError::InCluster(chain(&error))),
            Self::AsKubectl { context } => as_kubectl(context.as_deref()).await,
        }
    }
}

/// The server's address, for people.
pub(super) fn address(config: &Config) -> String {
    config.cluster_url.to_string().trim_end_matches('/').to_owned()
}

async fn of_file(path: &Path) -> Result<Config, ConnectError> {
    let wrong = |error: &dyn std::error::Error| ConnectError::Kubeconfig(path.to_owned(), chain(error));
    let file = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(file, &options).await.map_err(|error| wrong(&error))
}

async fn as_kubectl(context: Option<&str>) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    match (Config::from_kubeconfig(&options).await, context, Access::in_cluster()) {
        (Ok(config), ..) => Ok(config),
        (Err(_), None, Some(_)) => {
            Config::incluster().map_err(|error| ConnectError::InCluster(chain(&error)))
        }
        (Err(error), ..) => Err(ConnectError::AsKubectl(chain(&error))),
    }
}

/// An error with its causes: the outermost alone often says "client error (Connect)".
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}
