//! Starting a cluster: its programs and images are built first where they are missing.

use std::path::PathBuf;

use anyhow::Result;
use sluice_tooling::needs::{self, CNI, CONTAINERD, CURL, IP, NFT, NSENTER, RUNC};

use crate::go::{self, Program};
use crate::handle::{self, Cluster};
use crate::image::Image;
use crate::launch::{self, Lifetime};
use crate::machines::Nodes;
use crate::node;
use crate::version::{self, Suite};

impl Cluster {
    /// Builds what is missing, starts the cluster and installs the suite's CRDs.
    ///
    /// # Errors
    /// A program is missing or cannot be built, a cluster of this name is up, or this one does not come up.
    pub fn start(&self, suite: Suite, nodes: Nodes, lifetime: Lifetime) -> Result<()> {
        needs::ensure(&[IP, CURL, NSENTER])?;
        let with_pods = nodes != Nodes::None;
        if with_pods {
            needs::ensure(&[CONTAINERD, RUNC, CNI, NFT])?;
        }
        handle::sweep()?;
        let program = kubernetes()?;
        let images = if with_pods { images(suite)? } else { Vec::new() };
        println!("starting the cluster {}", self.name());
        launch::start(self, program, images, nodes, lifetime)?;
        self.apply(&suite.crds()?)?;
        println!("installed the CRDs of Gateway API {suite}");
        Ok(())
    }
}

/// The program that is every component of Kubernetes.
pub(crate) fn kubernetes() -> Result<PathBuf> {
    let module = go::module("cluster");
    let version = go::version(&module, "k8s.io/kubernetes")?;
    Program {
        module: &module,
        package: ".",
        name: "cluster",
        tests: false,
        ldflags: &version::ldflags(&version)?,
    }
    .build()
}

/// Archives of all that a node of this suite runs.
pub(crate) fn images(suite: Suite) -> Result<Vec<PathBuf>> {
    let module = go::module("images");
    let program = |package, name| Program { module: &module, package, name, tests: false, ldflags: "-s -w" };
    let mut archives = Vec::new();
    let pause = program("./pause", "pause").build()?;
    archives.push(Image { program: &pause, names: &[node::PAUSE_IMAGE] }.write()?);
    let echo = suite.echo()?;
    archives.push(Image { program: &echo, names: suite.echo_images() }.write()?);
    if let Some(name) = suite.coredns_image() {
        let coredns = program("./coredns", "coredns").build()?;
        archives.push(Image { program: &coredns, names: &[name] }.write()?);
    }
    Ok(archives)
}
