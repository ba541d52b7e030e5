//! The table as a whole: precedence, all errors together, help and documentation in step.

use std::collections::{BTreeMap, BTreeSet};

use super::value::{AccessLog, Listen, MergeSlashes};
use super::*;

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn inputs(flags: &[(&str, &str)], env: &[(&str, &str)], file: Option<&str>) -> Inputs {
    Inputs {
        flags: pairs(flags),
        env: pairs(env),
        file: file.map(|text| ("sluice.yaml".to_owned(), text.to_owned())),
    }
}

/// Defaults but for these flags.
pub(crate) fn settings(flags: &[(&str, &str)]) -> Settings {
    resolve(&inputs(flags, &[], None)).expect("the flags are good").settings
}

fn errors(inputs: &Inputs) -> Vec<String> {
    resolve(inputs).expect_err("a mistake is reported").into_iter().map(|error| error.0).collect()
}

fn effective(resolved: &Resolved, name: &str) -> (String, String) {
    let entry = resolved.effective.iter().find(|entry| entry.name == name).expect("every setting is listed");
    (entry.value.clone(), entry.source.clone())
}

#[test]
fn every_default_is_allowed_and_listed() {
    let resolved = resolve(&Inputs::default()).expect("defaults are fine");
    assert_eq!(resolved.effective.len(), TABLE.len());
    assert!(resolved.effective.iter().all(|entry| entry.source == "default"));
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default() {
    let file = "backlog: 3\nmax-headers: 30\nring-entries: 300\n";
    let env = [("SLUICE_BACKLOG", "2"), ("SLUICE_MAX_HEADERS", "20")];
    let resolved = resolve(&inputs(&[("backlog", "1")], &env, Some(file))).expect("all fine");
    assert_eq!(resolved.settings.backlog.get(), 1);
    assert_eq!(resolved.settings.max_headers.get(), 20);
    assert_eq!(resolved.settings.ring_entries.get(), 300);
    assert_eq!(effective(&resolved, "backlog"), ("1".into(), "--backlog".into()));
    assert_eq!(effective(&resolved, "max-headers"), ("20".into(), "SLUICE_MAX_HEADERS".into()));
    assert_eq!(effective(&resolved, "ring-entries"), ("300".into(), "sluice.yaml:3:15: ring-entries".into()));
}

#[test]
fn all_mistakes_are_reported_together_with_their_places() {
    let file = "workers: many\nworkerz: 3\nmax_headers: 5\n";
    let env = [("SLUICE_DRAIN_MAX", "30")];
    let found = errors(&inputs(&[("io", "kqueue")], &env, Some(file)));
    assert_eq!(
        found,
        [
            "sluice.yaml:2:1: workerz: no such setting; did you mean workers?",
            "sluice.yaml:3:1: max_headers: no such setting; did you mean max-headers?",
            "--io: \"kqueue\" is not allowed: write auto, uring or epoll",
            "SLUICE_DRAIN_MAX: \"30\" is not allowed: write a duration up to 99999h, such as 500ms, 10s or 1m30s",
        ]
    );
    let found = errors(&inputs(&[], &[], Some("workers: many\n")));
    assert_eq!(
        found,
        ["sluice.yaml:1:10: workers: \"many\" is not allowed: write auto or a whole number from 1 to 256"]
    );
}

#[test]
fn the_file_takes_yaml_lists_numbers_and_words_that_look_like_booleans() {
    let file =
        "reserved-ports: [22, 6443-6445]\naccess-log: off\nmerge-slashes: false\nhealth-address: off\n";
    let settings = resolve(&inputs(&[], &[], Some(file))).expect("all fine").settings;
    assert_eq!(settings.reserved_ports.0, [22, 6443, 6444, 6445]);
    assert_eq!(settings.access_log, AccessLog::Off);
    assert_eq!(settings.merge_slashes, MergeSlashes::False);
    assert_eq!(settings.health_address, Listen(None));
    assert!(resolve(&inputs(&[], &[], Some(""))).is_ok(), "an empty file sets nothing");
}

#[test]
fn a_file_that_is_no_mapping_is_one_line() {
    for text in ["- workers\n", "workers: [1\n", "workers: {a: 1}\n", "workers: 1\nworkers: 2\n"] {
        let found = errors(&inputs(&[], &[], Some(text)));
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(found[0].starts_with("sluice.yaml:") && !found[0].contains('\n'), "{found:?}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let found = errors(&inputs(&[("drain-min", "1m"), ("max-request-line", "64KiB")], &[], None));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("drain-max") && found[1].contains("max-header-bytes"));
}

#[test]
fn sealing_takes_both_of_its_settings() {
    for (flags, part) in [
        (&[("last-good", "sealed")][..], "by last-good-key"),
        (&[("last-good", "keys"), ("last-good-key", "/k")], "leave one out"),
        (&[("last-good", "off"), ("last-good-key", "/k")], "leave one out"),
    ] {
        let found = errors(&inputs(flags, &[], None));
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }
    for flags in [&[("last-good-key", "/k")][..], &[("last-good", "sealed"), ("last-good-key", "/k")]] {
        assert!(resolve(&inputs(flags, &[], None)).is_ok());
    }
}

#[test]
fn the_old_name_of_a_setting_does_not_contradict_the_new_one() {
    let found =
        errors(&inputs(&[("reject-encoded-slashes", "true"), ("encoded-separators", "keep")], &[], None));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("leave one out"), "{found:?}");
    assert!(resolve(&inputs(&[("reject-encoded-slashes", "true")], &[], None)).is_ok());
}

#[test]
fn names_are_unique_and_no_kubernetes_service_link_can_set_them() {
    let names: BTreeSet<String> = TABLE.iter().map(Setting::name).collect();
    assert_eq!(names.len(), TABLE.len());
    // A Service called sluice-x puts SLUICE_X_PORT, SLUICE_X_SERVICE_HOST and the like into every pod of its
    // namespace (Kubernetes, "Accessing the Service": environment variables).
    for row in TABLE {
        let env = row.env();
        assert!(!env.ends_with("_PORT") && !env.contains("_PORT_") && !env.contains("_SERVICE_"), "{env}");
    }
}

#[test]
fn texts_are_sentences_without_their_full_stop() {
    for row in TABLE {
        for text in [row.about, row.trade] {
            assert!(!text.is_empty() && !text.ends_with('.'), "{}: {text}", row.field);
        }
    }
}

#[test]
fn the_page_is_current() {
    let path = "../../docs/flags.md";
    let page = docs::markdown();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &page).expect("docs/flags.md can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page, "docs/flags.md is stale: run UPDATE_GOLDEN=1 cargo test -p sluice");
}
