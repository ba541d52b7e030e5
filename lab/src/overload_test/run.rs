//! One case: the neighbour alone, the neighbour beside the abusers, and the memory that stays in use.

use std::path::PathBuf;

use anyhow::{Context, Result};
use gateway_testkit::netns::Inside;
use sluice_bench::report::Report;

use super::case::{Case, Environment, Metric, Neighbour};
use super::monitor::Monitor;
use super::neighbour;
use super::outcome::Outcome;
use super::rounds;
use super::testbed::Testbed;
use crate::load_client::LoadClient;
use crate::process::{Process, until};

/// Measurements of the neighbour alone in [`Run::run_in_turn`], and as many beside the abusers.
const TURNS: u32 = 5;

/// The steps that every case goes through.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) sluice: PathBuf,
    pub(super) bench: PathBuf,
    /// Of each of the neighbour's two runs.
    pub(super) seconds: u32,
}

impl Run {
    pub(super) fn run(&self, case: &Case, inside: &Inside) -> Result<Outcome> {
        match case.environment {
            Environment::Expressions => rounds::run(self, case, inside),
            Environment::Secure | Environment::SecureBackend => self.run_in_turn(case, inside),
            Environment::Usual | Environment::SmallBuffers | Environment::StalledLog => {
                self.run_once(case, inside)
            }
        }
    }

    fn run_once(&self, case: &Case, inside: &Inside) -> Result<Outcome> {
        let mut testbed = Testbed::start(case, &self.sluice, &self.bench, inside)?;
        let before = self.alone(case, &testbed)?;
        let mut monitor = Monitor::begin(case.proofs, &mut testbed)?;
        let (mut clients, mut abuser_groups) = self.start_clients_and_abusers(case, &mut testbed)?;
        // A client that ended before has met no abuser.
        clients.iter_mut().try_for_each(|client| client.ensure_running("the abusers were there"))?;
        let during = monitor.observe(&mut testbed, clients)?;
        abuser_groups
            .iter_mut()
            .try_for_each(Process::ensure_running)
            .context("before the neighbour's clients ended")?;
        monitor.end(&mut testbed, case, vec![[before, during]], || drop(abuser_groups))
    }

    /// The neighbour alone and beside the abusers, several times: what one turn says of a 99th percentile is mostly chance.
    fn run_in_turn(&self, case: &Case, inside: &Inside) -> Result<Outcome> {
        let mut testbed = Testbed::start(case, &self.sluice, &self.bench, inside)?;
        let mut monitor = Monitor::begin(case.proofs, &mut testbed)?;
        let mut turns = Vec::new();
        for turn in 0..TURNS {
            let clients = self.clients(case, &testbed, 2 * turn)?;
            let before = monitor.observe(&mut testbed, clients)?;
            let abuser_groups = start_all_abusers(case, &testbed)?;
            let clients = self.clients(case, &testbed, 2 * turn + 1)?;
            turns.push([before, monitor.observe(&mut testbed, clients)?]);
            drop(abuser_groups);
        }
        monitor.end(&mut testbed, case, turns, || {})
    }

    fn alone(&self, case: &Case, testbed: &Testbed) -> Result<Vec<Report>> {
        let clients = self.clients(case, testbed, 0)?;
        clients.into_iter().map(LoadClient::report).collect()
    }

    /// Starts the neighbour's clients and the abusers, in the case's order.
    fn start_clients_and_abusers(
        &self,
        case: &Case,
        testbed: &mut Testbed,
    ) -> Result<(Vec<LoadClient>, Vec<Process>)> {
        let Neighbour::Inside(connections) = case.neighbour else {
            let abuser_groups = start_all_abusers(case, testbed)?;
            return Ok((self.clients(case, testbed, 1)?, abuser_groups));
        };
        let clients = self.clients(case, testbed, 1)?;
        until("the neighbour is inside", || {
            let open = Metric::Peak("sluice_connections").sum_in(&testbed.metrics.read()?);
            Ok((open >= f64::from(connections)).then_some(()))
        })?;
        let abuser_groups = start_all_abusers(case, testbed)?;
        Ok((clients, abuser_groups))
    }

    pub(super) fn clients(&self, case: &Case, testbed: &Testbed, run: u32) -> Result<Vec<LoadClient>> {
        neighbour::start(case.neighbour, testbed.bench(), testbed.dir(), self.seconds, run)
    }
}

/// Starts the abusers and waits until each has connected once.
fn start_all_abusers(case: &Case, testbed: &Testbed) -> Result<Vec<Process>> {
    let mut abuser_groups = Vec::new();
    for (number, abusers) in case.abuser_groups.iter().enumerate() {
        abuser_groups.push(testbed.start_abusers(number, abusers)?);
    }
    until("the abusers are connected", || {
        abuser_groups.iter_mut().try_for_each(Process::ensure_running)?;
        Ok(abuser_groups.iter().all(|abusers| abusers.output().contains("there")).then_some(()))
    })?;
    Ok(abuser_groups)
}
