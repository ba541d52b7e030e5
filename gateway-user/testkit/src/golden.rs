//! Golden bytes: files under a crate's `tests/golden/` that hold a format as it was written when it was last
//! changed on purpose.

use std::path::Path;
use std::{env, fs};

/// Compares `got` with the file `tests/golden/<name>` of the crate that is tested, in whose directory tests run, and
/// returns the file's bytes, so that the caller can read them back with today's types. With `UPDATE_GOLDEN` set the file is
/// written first.
///
/// # Panics
/// The file cannot be read or written, or differs; the message names the file and the first
/// line that differs.
#[track_caller]
pub fn check(name: &str, got: &[u8]) -> Vec<u8> {
    let path = Path::new("tests/golden").join(name);
    let shown = path.display();
    if env::var_os("UPDATE_GOLDEN").is_some() {
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, got))
            .unwrap_or_else(|error| panic!("write {shown}: {error}"));
    }
    let wanted =
        fs::read(&path).unwrap_or_else(|error| panic!("{shown}: {error}: set UPDATE_GOLDEN=1 to write it"));
    assert!(wanted == got, "{shown}: {}", first_difference(&wanted, got));
    wanted
}

fn first_difference(wanted: &[u8], got: &[u8]) -> String {
    let line = |bytes: &[u8], n: usize| {
        let line = bytes.split(|byte| *byte == b'\n').nth(n);
        line.map_or_else(|| "nothing".to_owned(), |line| format!("{:?}", String::from_utf8_lossy(line)))
    };
    let lines = wanted.split(|byte| *byte == b'\n').count().max(got.split(|byte| *byte == b'\n').count());
    let differs = (0..lines).find(|n| line(wanted, *n) != line(got, *n)).unwrap_or(lines);
    format!("line {}: expected {}, written {}", differs + 1, line(wanted, differs), line(got, differs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference(b"a\nb\n", b"a\nc\n"), r#"line 2: expected "b", written "c""#);
        assert_eq!(first_difference(b"a", b"a\nb"), r#"line 2: expected nothing, written "b""#);
    }
}
