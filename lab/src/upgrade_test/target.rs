//! The proxies that are tested, each in one set-up.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use sluice_bench::load::Mode;

use crate::peers::caddy::Caddy;
use crate::peers::envoy::Envoy;
use crate::peers::haproxy::{Haproxy, Reload};
use crate::peers::nginx::Nginx;
use crate::peers::programs::Program;
use crate::peers::sluice::{Io, Pods, Sluice, Steering};
use crate::peers::{Proxy, Setup};

/// A choice on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Peer {
    /// All of them.
    All,
    /// In each chosen steering and I/O.
    Sluice,
    /// `nginx -s reload`.
    Nginx,
    /// `haproxy -sf`, with and without handing over its listening sockets.
    Haproxy,
    /// Envoy's hot restart.
    Envoy,
    /// `caddy reload`: its process stays, and loads a changed configuration.
    Caddy,
}

/// One proxy in one set-up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Sluice(Steering, Io, Pods),
    Nginx,
    Haproxy(Reload),
    Envoy,
    Caddy,
}

pub(super) const SLUICE: &str = "sluice";

/// Ours first; none named is all.
pub(super) fn chosen(peers: &[Peer], (steering, io, pods): (&[Steering], &[Io], &[Pods])) -> Vec<Target> {
    let wants = |peer| peers.is_empty() || peers.contains(&peer) || peers.contains(&Peer::All);
    let mut chosen = Vec::new();
    if wants(Peer::Sluice) {
        let pairs = steering.iter().flat_map(|steering| io.iter().map(move |io| (*steering, *io)));
        let each = |(steering, io)| pods.iter().map(move |pods| Target::Sluice(steering, io, *pods));
        chosen.extend(pairs.flat_map(each));
    }
    if wants(Peer::Nginx) {
        chosen.push(Target::Nginx);
    }
    if wants(Peer::Haproxy) {
        chosen.extend([Target::Haproxy(Reload::Rebind), Target::Haproxy(Reload::PassSockets)]);
    }
    if wants(Peer::Envoy) {
        chosen.push(Target::Envoy);
    }
    if wants(Peer::Caddy) {
        chosen.push(Target::Caddy);
    }
    chosen
}

impl Target {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sluice(..) => SLUICE,
            Self::Nginx => "nginx",
            Self::Haproxy(_) => "haproxy",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
        }
    }

    /// The way it is set up and replaced.
    pub(super) fn variant(&self) -> String {
        match self {
            Self::Sluice(steering, io, pods) => format!("{}/{}{}", steering.name(), io.name(), pods.name()),
            Self::Nginx | Self::Caddy => "reload".to_owned(),
            Self::Envoy => "hot restart".to_owned(),
            Self::Haproxy(Reload::Rebind) => "-sf".to_owned(),
            Self::Haproxy(Reload::PassSockets) => "-sf -x".to_owned(),
        }
    }

    pub(super) fn is_sluice(&self) -> bool {
        matches!(self, Self::Sluice(..))
    }

    /// True if it is configured for these requests.
    pub(super) fn serves(&self, mode: Mode) -> bool {
        match self {
            Self::Sluice(..) | Self::Nginx | Self::Haproxy(_) => true,
            Self::Envoy | Self::Caddy => Mode::HTTP1.contains(&mode),
        }
    }

    /// The peer's program.
    pub(super) fn program(&self) -> Option<Program> {
        match self {
            Self::Sluice(..) => None,
            Self::Nginx => Some(Program::Nginx),
            Self::Haproxy(_) => Some(Program::Haproxy),
            Self::Envoy => Some(Program::Envoy),
            Self::Caddy => Some(Program::Caddy),
        }
    }

    /// Sluice is `sluice`, in turn with the program of another version if there is one.
    pub(super) fn proxy(
        &self,
        setup: Setup,
        sluice: Option<&Path>,
        before: Option<&Path>,
    ) -> Result<Box<dyn Proxy>> {
        Ok(match self {
            Self::Sluice(steering, io, pods) => {
                let program = sluice.context("sluice was not built")?;
                let sluice = Sluice::new(setup, program.to_owned(), (*steering, *io, *pods));
                Box::new(sluice.starting_with(before.map(Path::to_owned)))
            }
            Self::Nginx => Box::new(Nginx::new(setup)),
            Self::Haproxy(reload) => Box::new(Haproxy::new(setup, *reload)),
            Self::Envoy => Box::new(Envoy::new(setup)),
            Self::Caddy => Box::new(Caddy::new(setup)),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.variant())
    }
}
