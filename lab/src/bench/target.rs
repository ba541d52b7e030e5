//! The targets of the measurement: the same reverse proxy in several programs ([`crate::peers::Role::Measured`];
//! the floor sets no header).

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::peers::haproxy::Splice;
use crate::peers::programs::{Program, Programs as Peers};
use crate::peers::{self, Pass, Setup, caddy, envoy, haproxy, nginx, resources, sluice};

/// A program in a set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Sluice,
    /// Sluice with one route for everything, in a scenario where it has many.
    SluiceOneRoute,
    /// Another build of Sluice, or the same with other settings.
    SluiceBeside,
    Nginx,
    Haproxy,
    /// HAProxy that has the kernel move bytes.
    HaproxySplice,
    Envoy,
    Caddy,
    Floor,
}

/// The programs: ours, built, and those of peers.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) sluice: Variant,
    pub(super) beside: Option<Variant>,
    pub(super) floor: PathBuf,
    pub(super) bench: PathBuf,
    pub(super) peers: Peers,
}

/// A build of Sluice and what it is told beside what all are.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub(super) program: PathBuf,
    pub(super) flags: Vec<String>,
}

impl Target {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sluice => "sluice",
            Self::SluiceOneRoute => "sluice, one route",
            Self::SluiceBeside => "sluice, beside",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy, splice",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
            Self::Floor => "floor",
        }
    }

    /// The program of a peer.
    pub(super) fn peer(self) -> Option<Program> {
        match self {
            Self::Nginx => Some(Program::Nginx),
            Self::Haproxy | Self::HaproxySplice => Some(Program::Haproxy),
            Self::Envoy => Some(Program::Envoy),
            Self::Caddy => Some(Program::Caddy),
            Self::Sluice | Self::SluiceOneRoute | Self::SluiceBeside | Self::Floor => None,
        }
    }

    /// Writes its configuration and gives the call that starts it. With `many`, Sluice has many routes where
    /// it is to have them.
    pub(super) fn command(self, setup: &Setup, programs: &Programs, many: bool) -> Result<Command> {
        let pass = setup.role.traffic().pass;
        let one = |variant: &Variant, many: bool| {
            let text = match pass {
                Some(pass) => resources::pass(setup, pass),
                None if many => resources::many_routes(setup)?,
                None => resources::strip_prefix(setup)?,
            };
            let mut command = sluice::measured(setup, &variant.program, &text)?;
            command.args(&variant.flags);
            Ok(command)
        };
        match self {
            Self::Sluice => one(&programs.sluice, many),
            Self::SluiceOneRoute => one(&programs.sluice, false),
            Self::SluiceBeside => one(programs.beside.as_ref().context("--beside")?, many),
            Self::Nginx => nginx::proxy(setup),
            Self::Haproxy => haproxy::proxy(setup),
            Self::HaproxySplice => haproxy::stream(setup, Splice::Auto),
            Self::Envoy => envoy::proxy(setup),
            Self::Caddy => caddy::proxy(setup),
            Self::Floor => {
                let mut command = peers::program(&programs.floor, setup.cpu);
                command.arg(format!("--listen={}", setup.listen));
                command.arg(format!("--backend={}", setup.backend)).arg("--strip=/app");
                let traffic = setup.role.traffic();
                command.args((traffic.pass == Some(Pass::Udp)).then_some("--datagrams"));
                command.args(traffic.http2.then_some("--http2"));
                // As many as 16 clients with 32 streams each fill: backends let one have 128.
                command.args(traffic.backend_http2.then_some("--backend-http2=4"));
                Ok(command)
            }
        }
    }
}
