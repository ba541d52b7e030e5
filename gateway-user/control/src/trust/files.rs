//! Certificates from a directory: those that cert-manager or somebody else keeps in a mounted Secret.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};

use super::Showing;

/// Interval of looking: a kubelet brings a change within a minute or two.
const INTERVAL: Duration = Duration::from_secs(10);

/// Reads `tls.crt` and `tls.key` of a directory, and again whenever they differ, until nobody needs them any more.
pub async fn follow(dir: PathBuf, showing: Showing) {
    let mut seen = None;
    let mut said = String::new();
    loop {
        match read(&dir) {
            Ok(files) if seen.as_ref() == Some(&files) => {}
            Ok(files) => match super::shown(&files.0, &files.1) {
                Ok(ready) => {
                    info!("{}: controllers show this certificate", dir.join("tls.crt").display());
                    showing.send_replace(Some(ready));
                    said.clear();
                    seen = Some(files);
                }
                Err(error) => say(&mut said, &dir, error),
            },
            Err(error) => say(&mut said, &dir, error),
        }
        tokio::select! {
            () = showing.closed() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn say(said: &mut String, dir: &Path, error: String) {
    if *said != error {
        warn!(
            "{}: {error}; what was read before is shown on, and no node gets in without any",
            dir.display()
        );
    }
    *said = error;
}

fn read(dir: &Path) -> Result<(Vec<u8>, Vec<u8>), String> {
    let file = |name: &str| std::fs::read(dir.join(name)).map_err(|error| format!("{name}: {error}"));
    Ok((file("tls.crt")?, file("tls.key")?))
}
