//! A draw from other people's files.

use std::collections::VecDeque;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::server::{self, Server};
use super::{Verdict, sluice};

/// The text that a file must have in it to be drawn.
const GROUP: &str = "gateway.networking.k8s.io";

/// Files that were drawn, in order.
pub(super) struct Sample {
    files: Vec<PathBuf>,
}

impl Sample {
    /// Draws files below a folder that name the Gateway API.
    pub(super) fn draw(dir: &Path, seed: Option<u64>, count: usize) -> Result<Self> {
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(count) >> 32);
        let mut files = below(dir)?;
        let all = files.len();
        ensure!(all > 0, "--sample {}: no file there names {GROUP}", dir.display());
        shuffle(&mut files, seed);
        files.truncate(count);
        println!("drew {} of {all} files below {} with --seed {seed}", files.len(), dir.display());
        Ok(Self { files })
    }

    /// Compares both verdicts on each file, and tells differences with what was said.
    pub(super) fn compare(&self, server: &Server<'_>, sluice: &Path) -> Result<()> {
        let (mut accepted, mut refused, mut only_server, mut only_sluice) = (0, 0, 0, 0);
        for file in &self.files {
            let of_server = Verdict::of(server::of_the_file(server.check(file)?.lines()));
            let of_sluice = Verdict::of(sluice::of_the_file(sluice::check(sluice, &[file])?.lines()));
            let (said, count) = match (&of_server, &of_sluice) {
                (Verdict::Accepted, Verdict::Accepted) => (None, &mut accepted),
                (Verdict::Refused(_), Verdict::Refused(_)) => (None, &mut refused),
                (Verdict::Refused(lines), Verdict::Accepted) => {
                    (Some(("the API server", lines)), &mut only_server)
                }
                (Verdict::Accepted, Verdict::Refused(lines)) => {
                    (Some(("sluice check", lines)), &mut only_sluice)
                }
            };
            *count += 1;
            if let Some((who, lines)) = said {
                println!("{}: refused by {who} alone:", file.display());
                lines.iter().take(6).for_each(|line| println!("    {line}"));
            }
        }
        println!(
            "{} files: accepted by both {accepted}, refused by both {refused}, refused by the API server alone \
             {only_server}, by sluice check alone {only_sluice}",
            self.files.len()
        );
        Ok(())
    }
}

/// Files that name the Gateway API, in order of their paths.
fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (VecDeque::from([dir.to_owned()]), Vec::new());
    while let Some(folder) = folders.pop_front() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
            if path.is_dir() {
                folders.push_back(path);
            } else if ["yaml", "yml", "json"].contains(&end)
                && fs::read_to_string(&path).is_ok_and(|text| text.contains(GROUP))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Fisher and Yates, with SplitMix64 as the source of numbers.
fn shuffle<T>(items: &mut [T], mut state: u64) {
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    for last in (1..items.len()).rev() {
        let at = usize::try_from(next() % (last as u64 + 1)).unwrap_or_default();
        items.swap(last, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_draw_again() {
        let draw = |seed| {
            let mut items: Vec<u32> = (0..50).collect();
            shuffle(&mut items, seed);
            items
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let mut sorted = draw(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}
