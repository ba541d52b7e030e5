//! Translation and compilation as the compiler thread runs them, with what each asks of the allocator.

use std::sync::Arc;

use gateway_api_types::ResourceSet;
use gateway_ir::Generation;
use gateway_snapshot::{Snapshot, compile_with};
use gateway_translate::{Rebuilt, TranslateOptions, Translation, Translator};
use serde_json::Value;

use crate::alloc::{Bytes, counted};
use crate::world::{neighbour, typed};

pub(crate) struct Pipeline {
    resources: ResourceSet,
    translator: Translator,
    pub(crate) translation: Translation,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    generation: u64,
}

/// Result of one reconciliation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// As JSON, which is what the tenant has to write.
    pub(crate) input: usize,
    pub(crate) translate: Bytes,
    pub(crate) compile: Bytes,
    pub(crate) rebuilt: Rebuilt,
}

impl Pipeline {
    pub(crate) fn new(objects: Vec<Value>) -> (Self, Cost) {
        let mut pipeline = Self {
            resources: ResourceSet::default(),
            translator: Translator::new(TranslateOptions::default()),
            translation: Translation::default(),
            snapshot: None,
            generation: 0,
        };
        let cost = pipeline.put(objects);
        (pipeline, cost)
    }

    /// Adds or replaces objects and brings them to tables.
    pub(crate) fn put(&mut self, objects: Vec<Value>) -> Cost {
        let input = objects.iter().map(|object| object.to_string().len()).sum();
        for object in objects {
            self.resources.insert(typed(object), None);
        }
        let (translation, translate) = counted(|| self.translator.update(&self.resources));
        self.generation += 1;
        let (snapshot, compile) = counted(|| {
            Arc::new(compile_with(&translation.ir, Generation(self.generation), self.snapshot.as_deref()))
        });
        (self.translation, self.snapshot) = (translation, Some(snapshot));
        Cost { input, translate, compile, rebuilt: self.translator.rebuilt() }
    }

    /// The neighbour changes one word.
    pub(crate) fn edit(&mut self) -> Cost {
        self.put(vec![neighbour("/edited")])
    }

    /// The neighbour's edit allocates as much as without the large objects, plus at most so many bytes.
    #[track_caller]
    pub(crate) fn assert_edit_costs(&mut self, most: u64) {
        let edit = self.edit();
        assert_eq!((edit.rebuilt.routes, edit.rebuilt.clusters, edit.rebuilt.hosts), (1, 0, 1));
        let asked = edit.translate.asked + edit.compile.asked;
        assert!(asked <= most, "the neighbour's edit asked for {asked} bytes: {edit:?}");
    }
}

impl Cost {
    /// Bytes that both stages asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.translate.asked + self.compile.asked
    }

    /// Bytes that stay.
    pub(crate) fn kept(&self) -> u64 {
        u64::try_from(self.translate.kept + self.compile.kept).unwrap_or(0)
    }
}
