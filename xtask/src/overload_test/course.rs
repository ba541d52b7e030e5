//! One case: the neighbour alone, the neighbour beside the crowd, and what stays behind.

use std::path::PathBuf;

use anyhow::{Context, Result};
use gateway_testkit::netns::Inside;
use sluice_bench::report::Report;

use super::case::{Case, Metric, Neighbour, World};
use super::neighbour;
use super::outcome::Outcome;
use super::stand::Stand;
use super::turns;
use super::watch::Watch;
use crate::load_client::LoadClient;
use crate::process::{Process, until};

/// What every case goes through.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) sluice: PathBuf,
    pub(super) bench: PathBuf,
    /// Of each of the neighbour's two runs.
    pub(super) seconds: u32,
}

impl Course {
    pub(super) fn run(&self, case: &Case, inside: &Inside) -> Result<Outcome> {
        match case.world {
            World::Expressions => turns::run(self, case, inside),
            World::Usual | World::SmallBuffers | World::StalledLog => self.run_once(case, inside),
        }
    }

    fn run_once(&self, case: &Case, inside: &Inside) -> Result<Outcome> {
        let mut stand = Stand::start(case, &self.sluice, &self.bench, inside)?;
        let before = self.alone(case, &stand)?;
        let mut watch = Watch::begin(case.proofs, &mut stand)?;
        let (mut clients, mut crowds) = self.gather(case, &mut stand)?;
        // Who was gone by then felt nothing of the crowd.
        clients.iter_mut().try_for_each(|client| client.must_run("the crowd was there"))?;
        let during = watch.attend(&mut stand, clients)?;
        crowds.iter_mut().try_for_each(Process::must_run).context("before the neighbour's clients ended")?;
        watch.end(&mut stand, case, vec![[before, during]], || drop(crowds))
    }

    fn alone(&self, case: &Case, stand: &Stand) -> Result<Vec<Report>> {
        let clients = self.clients(case, stand, 0)?;
        clients.into_iter().map(LoadClient::report).collect()
    }

    /// Starts the neighbour's clients and the crowd, in the case's order.
    fn gather(&self, case: &Case, stand: &mut Stand) -> Result<(Vec<LoadClient>, Vec<Process>)> {
        let Neighbour::Inside(connections) = case.neighbour else {
            let crowds = come(case, stand)?;
            return Ok((self.clients(case, stand, 1)?, crowds));
        };
        let clients = self.clients(case, stand, 1)?;
        until("the neighbour is inside", || {
            let open = stand.numbers.look()?.sum(Metric::Peak("sluice_connections"));
            Ok((open >= f64::from(connections)).then_some(()))
        })?;
        let crowds = come(case, stand)?;
        Ok((clients, crowds))
    }

    pub(super) fn clients(&self, case: &Case, stand: &Stand, run: u32) -> Result<Vec<LoadClient>> {
        neighbour::start(case.neighbour, stand.bench(), stand.dir(), self.seconds, run)
    }
}

/// Starts the crowd and waits until all of it has been there.
fn come(case: &Case, stand: &Stand) -> Result<Vec<Process>> {
    let mut crowds = Vec::new();
    for (number, crowd) in case.crowds.iter().enumerate() {
        crowds.push(stand.start_crowd(number, crowd)?);
    }
    until("the crowd is there", || {
        crowds.iter_mut().try_for_each(Process::must_run)?;
        Ok(crowds.iter().all(|crowd| crowd.output().contains("there")).then_some(()))
    })?;
    Ok(crowds)
}
