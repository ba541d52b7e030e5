//! Holds what was last good, file by file, and gives one ordered view of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::ResourceSet;
use gateway_api_types::load::{Diagnostic, Loaded, LoadedObject, Position, Severity, assemble, load};

use crate::source::file::{Tree, TreeFile};

/// Every object that serves, and what is wrong with those that do not.
#[derive(Clone, Debug, Default)]
pub struct StoreView {
    /// The objects, each the last good version of itself.
    pub resources: ResourceSet,
    /// Diagnostics for users, by file and position.
    pub diagnostics: Vec<Diagnostic>,
}

impl StoreView {
    /// True if anything keeps an object from being served as written.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// The files read last, and the last good version of every object in them.
///
/// A mistake costs as little as it can. An object with an error keeps its last good version; the other
/// objects of the file change as written. Where a document cannot be parsed, so that nobody knows which
/// objects it holds, every object that the file had and no longer shows stays, as does every object of files
/// in a directory that cannot be read. An object that was never good is left out. Removing a file removes its
/// objects.
#[derive(Debug, Default)]
pub struct Store {
    files: BTreeMap<Arc<str>, FileState>,
    /// Last good versions that another process left, by file, until the first reading.
    left: BTreeMap<Arc<str>, Vec<LoadedObject>>,
}

#[derive(Debug)]
struct FileState {
    content: TreeFile,
    loaded: Loaded,
    /// Number of the objects, the last ones, that are not in the text, or not without errors.
    kept: usize,
}

impl Store {
    /// Begins with the last good versions that another process left.
    pub fn with(left: Vec<LoadedObject>) -> Self {
        let mut store = Self::default();
        for object in left {
            store.left.entry(Arc::clone(&object.origin.file)).or_default().push(object);
        }
        store
    }

    /// The objects in force that cannot be read from their files.
    pub fn kept(&self) -> Vec<LoadedObject> {
        let kept = |held: &FileState| {
            let read = held.loaded.objects.len().saturating_sub(held.kept);
            held.loaded.objects.iter().skip(read).cloned().collect::<Vec<_>>()
        };
        self.files.values().flat_map(kept).collect()
    }

    /// Takes over a directory's files. Files whose text is unchanged are not parsed again, and their objects
    /// stay the same [`Arc`]s.
    pub fn apply(&mut self, tree: &Tree) -> StoreView {
        let lost = self.lost(tree);
        self.files.retain(|path, _| tree.files.contains_key(path) || lost.contains_key(path));
        for (path, content) in tree.files.iter().chain(&lost) {
            let before = self.files.get(path);
            if before.is_some_and(|held| held.content == *content) {
                continue;
            }
            let left = self.left.get(path).map_or(&[][..], Vec::as_slice);
            let previous = before.map_or(left, |held| &held.loaded.objects);
            let held = FileState::load(path, content, previous);
            self.files.insert(Arc::clone(path), held);
        }
        self.left.clear();
        self.view()
    }

    /// Files that were read before and are now behind a directory that cannot be: nobody knows whether they
    /// are gone.
    fn lost(&self, tree: &Tree) -> BTreeMap<Arc<str>, TreeFile> {
        let unusable = tree.files.iter().filter(|(_, content)| matches!(content, TreeFile::Unusable(_)));
        let unusable: Vec<&str> = unusable.map(|(path, _)| path.as_ref()).collect();
        let is_behind = |path: &str| {
            let inside = |outer: &&str| path.strip_prefix(*outer).is_some_and(|rest| rest.starts_with('/'));
            unusable.iter().any(inside)
        };
        let known = self.files.keys().chain(self.left.keys());
        let lost = known.filter(|path| !tree.files.contains_key(*path) && is_behind(path));
        let why = || TreeFile::Unusable("the directory around it cannot be read".to_owned());
        lost.map(|path| (Arc::clone(path), why())).collect()
    }

    /// All files together. Of two objects with one kind and name the one in the first file counts, by path.
    fn view(&self) -> StoreView {
        let (resources, diagnostics) = assemble(self.files.values().map(|held| held.loaded.clone()));
        StoreView { resources, diagnostics }
    }
}

impl FileState {
    fn load(path: &Arc<str>, content: &TreeFile, previous: &[LoadedObject]) -> Self {
        let mut loaded = match content {
            TreeFile::Text(text) => load(path, text),
            TreeFile::Unusable(why) => Loaded { objects: Vec::new(), diagnostics: vec![unusable(path, why)] },
        };
        let errors: Vec<&Diagnostic> = loaded.diagnostics.iter().filter(|line| line.is_error()).collect();
        let anything_may_be_meant = errors.iter().any(|error| error.object.is_empty());
        let shown: BTreeSet<String> = loaded.objects.iter().map(|new| new.object.to_string()).collect();
        let broken: BTreeSet<&str> = errors.iter().map(|error| error.object.as_str()).collect();
        let is_kept = |old: &&LoadedObject| {
            let name = old.object.to_string();
            (anything_may_be_meant || broken.contains(name.as_str())) && !shown.contains(&name)
        };
        let kept: Vec<LoadedObject> = previous.iter().filter(is_kept).cloned().collect();
        loaded.diagnostics.extend(kept.iter().map(|old| in_force(path, old)));
        let count = kept.len();
        loaded.objects.extend(kept);
        Self { content: content.clone(), loaded, kept: count }
    }
}

fn in_force(path: &Arc<str>, old: &LoadedObject) -> Diagnostic {
    Diagnostic {
        file: Arc::clone(path),
        position: old.position,
        severity: Severity::Warning,
        object: old.object.to_string(),
        field: String::new(),
        message: "its last good version stays in force until the file is right".to_owned(),
    }
}

fn unusable(path: &Arc<str>, why: &str) -> Diagnostic {
    Diagnostic {
        file: Arc::clone(path),
        position: Position { line: 1, column: 1 },
        severity: Severity::Error,
        object: String::new(),
        field: String::new(),
        message: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, port: &str) -> String {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n"
        )
    }

    fn tree(files: &[(&str, &str)]) -> Tree {
        let files =
            files.iter().map(|(path, text)| (Arc::from(*path), TreeFile::Text(Arc::from(*text)))).collect();
        Tree { files, ..Tree::default() }
    }

    /// `name=port` of every Service that serves.
    fn ports(view: &StoreView) -> Vec<String> {
        let port = |service: &k8s_openapi::api::core::v1::Service| {
            service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).map_or(0, |ports| ports[0].port)
        };
        view.resources
            .services
            .iter()
            .map(|(key, service)| format!("{}={}", key.name, port(service)))
            .collect()
    }

    #[test]
    fn an_object_with_an_error_keeps_its_last_good_version_and_others_change() {
        let mut store = Store::default();
        let good = service("a", "1") + &service("b", "1");
        assert_eq!(ports(&store.apply(&tree(&[("x.yaml", &good)]))), ["a=1", "b=1"]);
        let bad = service("a", "none") + &service("b", "2") + &service("c", "none");
        let view = store.apply(&tree(&[("x.yaml", &bad)]));
        assert_eq!(ports(&view), ["a=1", "b=2"], "c was never good");
        assert!(view.has_errors());
        let fixed = service("a", "3") + &service("b", "2");
        let view = store.apply(&tree(&[("x.yaml", &fixed)]));
        assert_eq!(ports(&view), ["a=3", "b=2"]);
        assert!(!view.has_errors(), "{:?}", view.diagnostics);
    }

    #[test]
    fn a_broken_document_keeps_what_the_file_no_longer_shows() {
        let mut store = Store::default();
        store.apply(&tree(&[("x.yaml", &(service("a", "1") + &service("b", "1")))]));
        let view = store.apply(&tree(&[("x.yaml", &(service("a", "2") + "---\nkind: [\n"))]));
        assert_eq!(ports(&view), ["a=2", "b=1"]);
        assert!(view.has_errors());
        let view = store.apply(&tree(&[("x.yaml", &service("a", "2"))]));
        assert_eq!(ports(&view), ["a=2"], "an object that is gone from a good file is gone");
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_its_objects_and_a_removed_one_does_not() {
        let mut store = Store::default();
        store.apply(&tree(&[("x.yaml", &service("a", "1")), ("y.yaml", &service("b", "1"))]));
        let mut spoilt = tree(&[("y.yaml", &service("b", "1"))]);
        spoilt.files.insert("x.yaml".into(), TreeFile::Unusable("the file is not UTF-8".into()));
        let view = store.apply(&spoilt);
        assert_eq!(ports(&view), ["a=1", "b=1"]);
        assert_eq!(view.diagnostics[0].to_string(), "x.yaml:1:1: the file is not UTF-8");
        assert_eq!(ports(&store.apply(&tree(&[("y.yaml", &service("b", "1"))]))), ["b=1"]);
    }

    #[test]
    fn files_in_a_directory_that_cannot_be_read_keep_their_objects() {
        let mut store = Store::default();
        let good = tree(&[("d/x.yaml", &service("a", "1")), ("d.yaml", &service("b", "1"))]);
        store.apply(&good);
        let mut spoilt = tree(&[("d.yaml", &service("b", "2"))]);
        spoilt.files.insert("d".into(), TreeFile::Unusable("the directory cannot be read".into()));
        for mut store in [store, Store::with(load("d/x.yaml", &service("a", "1")).objects)] {
            for _ in 0..2 {
                let view = store.apply(&spoilt);
                assert_eq!(ports(&view), ["a=1", "b=2"]);
                let told: Vec<_> = view.diagnostics.iter().map(ToString::to_string).collect();
                assert_eq!(
                    told[..2],
                    [
                        "d:1:1: the directory cannot be read",
                        "d/x.yaml:1:1: the directory around it cannot be read"
                    ]
                );
                assert!(told[2].contains("its last good version stays in force"), "{told:?}");
                assert_eq!(store.kept().len(), 1);
            }
            assert_eq!(ports(&store.apply(&good)), ["a=1", "b=1"]);
            assert!(store.apply(&tree(&[])).resources.is_empty(), "removed with the directory");
        }
    }

    #[test]
    fn what_another_process_left_is_in_force_while_its_file_is_broken() {
        let good = service("a", "1") + &service("b", "1");
        let bad = service("a", "none") + &service("b", "2");
        let mut first = Store::default();
        first.apply(&tree(&[("x.yaml", &good)]));
        assert_eq!(first.kept(), []);
        first.apply(&tree(&[("x.yaml", &bad)]));
        let left = first.kept();
        assert_eq!(
            left.iter().map(|kept| kept.object.to_string()).collect::<Vec<_>>(),
            ["Service default/a"]
        );
        let next = |text: &str| {
            let mut store = Store::with(left.clone());
            let view = store.apply(&tree(&[("x.yaml", text)]));
            let stale = view.diagnostics.iter().any(|line| line.message.contains("last good version"));
            (ports(&view), stale, store.kept().len())
        };
        assert_eq!(next(&bad), (vec!["a=1".to_owned(), "b=2".to_owned()], true, 1));
        assert_eq!(next(&good), (vec!["a=1".to_owned(), "b=1".to_owned()], false, 0));
        assert_eq!(next(&service("b", "3")), (vec!["b=3".to_owned()], false, 0), "it is gone from the file");
        let mut late = Store::with(left.clone());
        late.apply(&tree(&[]));
        assert_eq!(ports(&late.apply(&tree(&[("x.yaml", &bad)]))), ["b=2"], "the file was removed meanwhile");
    }

    #[test]
    fn of_two_files_with_one_object_the_first_counts_and_both_are_named() {
        let mut store = Store::default();
        let view = store.apply(&tree(&[("x.yaml", &service("a", "1")), ("y.yaml", &service("a", "2"))]));
        assert_eq!(ports(&view), ["a=1"]);
        let lines: Vec<String> = view.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("y.yaml:")
                && lines[0].contains("Service default/a: ")
                && lines[0].contains("x.yaml:"),
            "{lines:?}"
        );
        let view = store.apply(&tree(&[("y.yaml", &service("a", "2"))]));
        assert_eq!(
            (ports(&view), view.diagnostics.len()),
            (vec!["a=2".to_owned()], 0),
            "the other one moves up"
        );
    }

    #[test]
    fn unchanged_objects_are_shared_between_views() {
        let mut store = Store::default();
        let first = store.apply(&tree(&[("x.yaml", &service("a", "1")), ("y.yaml", &service("b", "1"))]));
        let second = store.apply(&tree(&[("x.yaml", &service("a", "1")), ("y.yaml", &service("b", "2"))]));
        let of = |view: &StoreView, name: &str| {
            let key = gateway_api_types::ObjectKey::new("default", name);
            Arc::clone(&view.resources.services[&key])
        };
        assert!(Arc::ptr_eq(&of(&first, "a"), &of(&second, "a")));
        assert!(!Arc::ptr_eq(&of(&first, "b"), &of(&second, "b")));
    }
}
