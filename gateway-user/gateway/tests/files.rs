//! `sluice check` on files as people write them. `cargo xtask files` has an API server judge the same files.
#![allow(missing_docs)]

mod common;

use std::fs;

use common::{sluice, text};

/// Folders of `conformance/files`, and how `sluice check` ends on each of their files.
const FOLDERS: [(&str, i32); 6] =
    [("accepted", 0), ("refused", 1), ("unserved", 1), ("stricter", 1), ("lenient", 0), ("passed-over", 0)];

#[test]
fn files_as_people_write_them_are_judged_as_their_folder_says() {
    let dir = std::path::absolute("../../conformance/files").unwrap();
    let base = dir.join("base.yaml");
    for (folder, code) in FOLDERS {
        let files: Vec<_> =
            fs::read_dir(dir.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{folder}");
        for file in files {
            let check = sluice(&["check", base.to_str().unwrap(), file.to_str().unwrap()]);
            let said = text(&check);
            assert_eq!(check.status.code(), Some(code), "{}: {said}", file.display());
            let named = said.lines().any(|line| line.starts_with(&format!("{}:", file.display())));
            assert!(code == 0 || named, "{}: {said}", file.display());
        }
    }
}
