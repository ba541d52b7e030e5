//! Resources into what is to be served: the controller's half.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use gateway_regex::Library;
use gateway_sync::item::Desired;
use gateway_translate::{
    Admission, Admitted, StatusSet, TranslateOptions, Translation, Translator, address_wants,
};
use jiff::Timestamp;

use super::marks::Marks;
use super::unready::UnreadyEndpoints;
use super::{ReconcileError, unharmed};
use crate::addresses::{Assigner, owners};
use crate::expiry;
use crate::expressions::Builder;
use crate::store::StoreView;
use crate::view::View;

/// Translates resources, and remembers what each object's translation read, so that an edit costs what it touches.
#[derive(Debug)]
pub struct Planner {
    translator: Translator,
    /// Holds edits back whose expressions are not built yet.
    admission: Admission,
    /// Builds them; without it they are built at once.
    builder: Option<Builder>,
    /// Expressions of translator, admission and snapshots.
    library: Arc<Library>,
    /// Addresses of Gateways, if they are not the node's.
    assigner: Option<Assigner>,
    options: TranslateOptions,
    marks: Marks,
    unready: UnreadyEndpoints,
}

/// Resources translated, before any node has a say.
#[derive(Debug)]
pub(super) struct Planned {
    /// The configuration to serve.
    pub(super) desired: Desired,
    /// The status of every object.
    pub(super) status: StatusSet,
}

impl Planner {
    /// One that has seen nothing yet.
    pub fn new(options: TranslateOptions) -> Self {
        let library = Arc::new(Library::new(options.regex.expression));
        Self {
            translator: Translator::with_library(options.clone(), Arc::clone(&library)),
            admission: Admission::new(options.clone(), Arc::clone(&library)),
            builder: None,
            library,
            assigner: None,
            options,
            marks: Marks::default(),
            unready: UnreadyEndpoints::default(),
        }
    }

    /// Uses endpoints on for so long that all become not ready at once.
    #[must_use]
    pub(super) fn believing_unready_after(self, patience: Duration) -> Self {
        Self { unready: UnreadyEndpoints::new(patience), ..self }
    }

    /// In how long resources that have not changed are to be looked at again.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.unready.due_in()
    }

    /// Gives Gateways the addresses that this one gives, where they leave the choice to us.
    #[must_use]
    pub fn assigning(self, assigner: Assigner) -> Self {
        Self { assigner: Some(assigner), ..self }
    }

    /// Expressions that are built.
    pub(super) fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Has expressions built by a thread, so that edits which bring none wait for none.
    pub(super) fn build_by(&mut self, builder: Builder) {
        self.builder = Some(builder);
    }

    /// From here on no other process serves what this one does.
    pub(super) fn settle(&mut self) {
        self.assigner.iter_mut().for_each(Assigner::settle);
    }

    /// Translates `resources`, and notes in `view` what is found. `serves` says that something is served already, so that
    /// edits may wait for their expressions: nothing is served by halves.
    ///
    /// # Errors
    /// A fault of ours; what was there before stays.
    pub(super) async fn plan(
        &mut self,
        view: &mut View,
        resources: &StoreView,
        serves: bool,
    ) -> Result<Planned, ReconcileError> {
        let held = self.unready.follow(&resources.resources);
        let used = held.as_ref().unwrap_or(&resources.resources);
        let Admitted { resources: admitted, waiting } = self.admission.admit(used);
        view.building = waiting.keys().cloned().collect();
        let admitted = match &self.builder {
            Some(builder) if serves => {
                builder.set(waiting);
                admitted
            }
            _ => {
                view.building = Arc::default();
                Cow::Borrowed(used)
            }
        };
        let mut addresses = Arc::default();
        if let Some(assigner) = &mut self.assigner {
            let wants = address_wants(&resources.resources, &self.options);
            let assignments = assigner.provide(wants).await;
            addresses = Arc::new(owners(&assignments));
            self.translator.assign(Some(assignments));
        }
        let translation = unharmed("translating", || self.translator.update(&admitted))?;
        let Translation {
            ir,
            endpoints,
            placement,
            status,
            diagnostics,
            refused_expressions,
            refused_rules,
            hosts,
        } = translation;
        let gateways = self.marks.follow(&ir, &resources.resources);
        let ir = Arc::new(ir);
        let tickets = Arc::default();
        let desired = Desired { ir, endpoints, gateways, addresses, tickets, placement };
        view.waiting = None;
        view.hosts = hosts;
        (view.refused_expressions, view.refused_rules) = (refused_expressions, refused_rules);
        view.diagnostics = resources.diagnostics.as_slice().into();
        let dated = expiry::findings(&desired.ir, &resources.resources, Timestamp::now());
        view.findings = diagnostics.into_iter().chain(dated).collect();
        view.tally.errors = resources.diagnostics.iter().filter(|line| line.is_error()).count() as u64;
        Ok(Planned { desired, status })
    }
}
