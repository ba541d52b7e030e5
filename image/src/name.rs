//! Names of images as containerd knows them.

use anyhow::{Result, ensure};

/// The whole name of an image: kubelets and engines complete a name in the same way, so that `sluice:0.1.0` in a
/// manifest is found.
///
/// # Errors
/// It has no tag, or characters that no name has.
pub(crate) fn whole(name: &str) -> Result<String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:".contains(&byte);
    let (path, tag) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((name, ""));
    ensure!(
        !path.is_empty() && !tag.is_empty() && name.bytes().all(is_known),
        "--name {name}: write REPOSITORY:TAG, such as registry.example/sluice:0.1.0"
    );
    Ok(match path.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_kubelets_do() {
        assert_eq!(whole("sluice:0.1.0").unwrap(), "docker.io/library/sluice:0.1.0");
        assert_eq!(whole("team/sluice:1").unwrap(), "docker.io/team/sluice:1");
        for name in ["registry.example/sluice:1", "localhost/sluice:1", "registry:5000/a/sluice:1"] {
            assert_eq!(whole(name).unwrap(), name);
        }
        for wrong in ["sluice", "registry:5000/sluice", "sluice:", ":1", "a b:1", "a@sha256:1"] {
            let error = whole(wrong).unwrap_err().to_string();
            assert!(error.contains("write REPOSITORY:TAG"), "{wrong}: {error}");
        }
    }
}
