//! The events of a run, each under load, and the observations of its clients.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use sluice_cluster::deploy::release::Release;

use super::super::{Args, TargetResult};
use super::away::{self, Away};
use super::event::Event;
use super::evidence::{self, SHOWN};
use super::load::Load;
use super::verdict::{Bar, HEADERS, Phase, Row, TEXT_COLUMNS};
use super::versions::{self, Version};
use crate::table;

/// The events, and the observations so far.
pub(super) struct Run<'a> {
    args: &'a Args,
    release: Release,
    load: Load,
    phases: Vec<Phase>,
    /// The API server responds.
    responds: bool,
}

/// For which the API server still stands still once a controller was killed.
const AFTER_CONTROLLER: Duration = Duration::from_secs(5);

impl<'a> Run<'a> {
    pub(super) fn new(args: &'a Args, release: Release, load: Load) -> Self {
        Self { args, release, load, phases: Vec::new(), responds: true }
    }

    /// Has everything happen, and judges; fails if an event cost more than it may.
    /// Tables and JSON have the results of those that were tested `beside` it.
    pub(super) fn whole(mut self, beside: Vec<TargetResult>) -> Result<ExitCode> {
        let ended = self.all().map_err(|error| self.release.explained(error));
        self.finish(ended, &beside)
    }

    fn all(&mut self) -> Result<()> {
        let args = self.args;
        for event in &args.installed.event {
            self.once(*event)?;
        }
        for how in &args.broken {
            let name = format!("broken version, {}", how.name());
            self.phase(&name, Bar::Nothing, |release| versions::roll_broken(release, *how))?;
        }
        if args.installed.other_layout {
            self.there_and_back("another map layout", Version::ToCome)?;
        }
        if args.before.is_some() {
            self.there_and_back("the version before", Version::Before)?;
        }
        if let Some(time) = args.installed.away {
            self.away(time)?;
        }
        while self.upgrades() < args.upgrades as usize || self.sent() < args.requests {
            self.once(Event::RollNodes)?;
        }
        Ok(())
    }

    fn there_and_back(&mut self, name: &str, version: Version) -> Result<()> {
        let now = versions::current(&self.release);
        self.phase(&format!("to {name}"), Bar::Drained, |release| versions::change(release, version))?;
        self.phase(&format!("back from {name}"), Bar::Drained, |release| versions::back(release, now))
    }

    /// Neither a controller nor an API server for this time, each container killed once meanwhile. Pods are new before that: a
    /// kubelet waits before it starts a container again that was killed shortly before.
    fn away(&mut self, time: Duration) -> Result<()> {
        self.once(Event::RollControllers)?;
        self.once(Event::RollNodes)?;
        self.phase("no API server: container killed, controller", Bar::Nothing, |release| {
            away::kill_controller(release, AFTER_CONTROLLER)
        })?;
        let mut begun = None;
        self.responds = false;
        let name = format!("no controller, no API server for {} s", time.as_secs());
        self.phase(&name, Bar::Nothing, |release| {
            begun = Some(Away::begin(release)?);
            away::wait(time)
        })?;
        let away = begun.context("the time has begun")?;
        self.phase("meanwhile: container killed, helper", Bar::Nothing, |release| away.kill_helper(release))?;
        self.phase("meanwhile: container killed, node", Bar::InFlight, |release| away.kill_node(release))?;
        self.responds = true;
        self.phase("controllers and API server are back", Bar::Nothing, |release| away.end(release))
    }

    /// Rolling updates of the nodes so far.
    fn upgrades(&self) -> usize {
        self.phases.iter().filter(|phase| phase.event == Event::RollNodes.name()).count()
    }

    /// Short requests so far.
    fn sent(&self) -> u64 {
        self.phases.iter().map(Phase::short).sum()
    }

    fn once(&mut self, event: Event) -> Result<()> {
        let number = self.phases.len() as u64 + 1;
        self.phase(event.name(), event.bar(), |release| event.happen(release, number))
    }

    /// Has one event happen under load, and says what clients saw.
    fn phase(&mut self, name: &str, bar: Bar, body: impl FnOnce(&mut Release) -> Result<()>) -> Result<()> {
        let dir = self.release.dir().to_owned();
        let release = &mut self.release;
        let (took, clients) = self.load.during(&dir, || body(release)).with_context(|| name.to_owned())?;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let phase = Phase { event: name.to_owned(), bar, took_ms, clients };
        self.phases.push(phase);
        self.tell();
        Ok(())
    }

    /// Says how the last event went, and how far the run has come.
    fn tell(&self) {
        let Some(phase) = self.phases.last() else { return };
        for row in Row::all(std::slice::from_ref(phase)) {
            println!(
                "{}: {:.1} s, {} of {} failed, {} refused, {} of {} conversations ended, longest gap {:.0} ms; so far {} of {} \
                 short requests, {} of {} rolling updates",
                row.event,
                row.took_ms as f64 / 1e3,
                row.lost,
                row.sent,
                row.refused,
                row.ended,
                row.opened,
                row.gap_us as f64 / 1e3,
                self.sent(),
                self.args.requests,
                self.upgrades(),
                self.args.upgrades,
            );
        }
        for client in &phase.clients {
            for sample in client.samples.iter().take(SHOWN) {
                println!("    {} {}: at {} ms: {}", client.mode, sample.id, sample.at_ms, sample.detail);
            }
        }
        if !self.responds {
            return;
        }
        // The clients' time is around the event's.
        let time = Duration::from_millis(phase.took_ms) + Duration::from_secs(30);
        match evidence::lines(&self.release, &phase.clients, time) {
            Ok(lines) => lines.iter().for_each(|line| println!("    {line}")),
            Err(error) => println!("    the nodes' logs: {error:#}"),
        }
    }

    /// Prints and writes what there is, also of a run that did not come to its end.
    fn finish(self, ended: Result<()>, beside: &[TargetResult]) -> Result<ExitCode> {
        let rows = Row::all(&self.phases);
        println!("\n{}\n", table::render(HEADERS, &TEXT_COLUMNS, rows.iter().map(Row::cells)));
        println!("{} short requests", self.sent());
        if !beside.is_empty() {
            super::super::table::print(beside);
        }
        if let Some(path) = &self.args.json {
            let results = json!({ "events": &self.phases, "beside": beside });
            let json = serde_json::to_string_pretty(&results)?;
            fs::write(path, json + "\n").with_context(|| format!("--json {}", path.display()))?;
        }
        ended?;
        let failures: Vec<_> = rows.iter().filter_map(Row::failure).collect();
        failures.iter().for_each(|failure| eprintln!("error: {failure}"));
        match failures.is_empty() {
            true => Ok(super::super::verdict(beside, self.args.upgrades)),
            false => Ok(ExitCode::FAILURE),
        }
    }
}
