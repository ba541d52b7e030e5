//! The accounts that the gateway runs with: those of `deploy/` and no other, and what the API
//! server refused them.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::control_plane::{AUDIT_LOG, url};
use crate::enter;
use crate::handle::Cluster;
use crate::kubectl::{NAMESPACE, NODE_NAMESPACE};

use crate::process::until;

/// The gateway's account, by `deploy/kubernetes/together.yaml`.
const NAME: &str = "sluice";
/// Those of `deploy/kubernetes/apart.yaml`.
const CONTROLLER: &str = "sluice-controller";
const NODE_ACCOUNT: &str = "sluice-node";
/// Whom the gateway goes on as (`--user=auto`).
pub(super) const USER: u32 = 65_532;
/// One right of its ClusterRole and one of its Role.
const RIGHTS: [(&str, &str); 2] = [("watch", "gateways.gateway.networking.k8s.io"), ("create", "leases")];
/// Those that only a controller of nodes of a network has.
const RIGHTS_OF_CONTROLLER: [(&str, &str); 2] =
    [("create", "tokenreviews.authentication.k8s.io"), ("create", "secrets")];
/// Longer than any run.
const VALID: &str = "24h";

/// Requests of the gateway's accounts to the API server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ApiAccess {
    /// Requests that were allowed.
    pub(super) allowed: u64,
    /// Requests that RBAC refused, each kind once.
    pub(super) refused: BTreeSet<String>,
}

fn user(name: &str) -> String {
    format!("system:serviceaccount:{}:{name}", namespace(name))
}

/// The namespace of an account.
fn namespace(name: &str) -> &'static str {
    if name == NODE_ACCOUNT { NODE_NAMESPACE } else { NAMESPACE }
}

/// Among the cluster's own files, which every user of it finds; the machine's may lie in a home.
const KUBECONFIG: &str = "/run/sluice.kubeconfig";
const AUTHORITY: &str = "/run/sluice-ca.crt";
/// Files of a node that belong to its cluster where the roles are apart by a network.
const NODE_TOKEN: &str = "/run/sluice-node.token";
const CONTROLLER_CA: &str = "/run/sluice-node-ca.crt";

fn token(cluster: &Cluster, name: &str, more: &[&str]) -> Result<String> {
    let output = cluster
        .kubectl()?
        .args(["create", "token", name, "--namespace", namespace(name), "--duration", VALID])
        .args(more)
        .output()
        .context("starting kubectl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "a token of the account {}: {}", user(name), said.trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A file for the user that the gateway goes on as, and for nobody else.
fn private(cluster: &Cluster, at: &str, text: &str) -> Result<()> {
    let path = enter::path(cluster, at)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    fchown(&file, Some(USER), Some(USER)).with_context(|| format!("giving {at} to {USER}"))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {at}"))
}

/// The token of a node's pod, as its kubelet would project it, and the authorities that controllers publish; gives the paths
/// of both inside the cluster.
pub(super) fn of_node(cluster: &Cluster, node: &str) -> Result<(&'static str, &'static str)> {
    let bound = ["--bound-object-kind", "Node", "--bound-object-name", node];
    let token = token(cluster, NODE_ACCOUNT, &[&bound[..], &["--audience", CONTROLLER]].concat())?;
    private(cluster, NODE_TOKEN, &token)?;
    let authorities = until("the authorities that nodes trust", || {
        let mut get = cluster.kubectl()?;
        get.args(["get", "configmap", "sluice-controller-ca", "--namespace", NODE_NAMESPACE]);
        let output =
            get.args(["--output", "jsonpath={.data.ca\\.crt}"]).output().context("starting kubectl")?;
        Ok(Some(output.stdout).filter(|text| output.status.success() && !text.is_empty()))
    })?;
    private(cluster, CONTROLLER_CA, &String::from_utf8(authorities)?)?;
    Ok((NODE_TOKEN, CONTROLLER_CA))
}

/// As [`kubeconfig_of`] the account of `deploy/kubernetes/together.yaml`.
pub(super) fn kubeconfig(cluster: &Cluster) -> Result<&'static str> {
    kubeconfig_of(cluster, NAME)
}

/// The controllers' own, with their rights.
pub(super) fn controller_kubeconfig(cluster: &Cluster) -> Result<&'static str> {
    wait_for(cluster, CONTROLLER, &[RIGHTS, RIGHTS_OF_CONTROLLER].concat())?;
    kubeconfig_of(cluster, CONTROLLER)
}

/// Writes a kubeconfig with a token of the account and nothing else that could prove who we are, for the user
/// that the gateway goes on as; gives its path inside the cluster.
fn kubeconfig_of(cluster: &Cluster, name: &str) -> Result<&'static str> {
    let token = token(cluster, name, &[])?;
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
        "clusters": [{
            "name": "cluster",
            "cluster": { "server": url(), "certificate-authority": AUTHORITY },
        }],
        "users": [{ "name": name, "user": { "token": token } }],
        "contexts": [{ "name": "cluster", "context": { "cluster": "cluster", "user": name } }],
    });
    let authority = enter::path(cluster, AUTHORITY)?;
    fs::copy(cluster.join("pki/ca.crt"), &authority).context("the cluster's certificate authority")?;
    fs::set_permissions(&authority, Permissions::from_mode(0o644))?;
    private(cluster, KUBECONFIG, &config.to_string())?;
    Ok(KUBECONFIG)
}

/// The API server's authorizer learns of new roles by watches of its own, a moment after they are stored.
pub(super) fn wait_for_rights(cluster: &Cluster) -> Result<()> {
    wait_for(cluster, NAME, &RIGHTS)
}

fn wait_for(cluster: &Cluster, name: &str, rights: &[(&str, &str)]) -> Result<()> {
    let user = user(name);
    for (verb, resource) in rights {
        until(&format!("{user} may {verb} {resource}"), || {
            let mut ask = cluster.kubectl()?;
            ask.args(["auth", "can-i", verb, resource, "--namespace", NAMESPACE, "--as", &user]);
            let output = ask.output().context("starting kubectl")?;
            Ok(output.status.success().then_some(()))
        })?;
    }
    Ok(())
}

impl ApiAccess {
    /// Reads the API server's log of this cluster.
    pub(super) fn read(cluster: &Cluster) -> Result<Self> {
        Self::read_from(&cluster.join(AUDIT_LOG))
    }

    fn read_from(log: &Path) -> Result<Self> {
        let text = fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
        let mut access = Self::default();
        for line in text.lines() {
            let event: Value =
                serde_json::from_str(line).with_context(|| format!("{}: {line}", log.display()))?;
            // The log tells of a watch twice, at its start and at its end.
            let by = event["user"]["username"].as_str().unwrap_or_default();
            let ours = [NAME, CONTROLLER].iter().any(|name| by == user(name));
            if event["stage"] == "ResponseStarted" {
                continue;
            }
            // A node has no business there at all.
            if by == user(NODE_ACCOUNT) {
                access.refused.insert(format!("as a node's account {}", described(&event)));
            }
            if !ours {
                continue;
            }
            match event["annotations"]["authorization.k8s.io/decision"] == "allow" {
                true => access.allowed += 1,
                false => drop(access.refused.insert(described(&event))),
            }
        }
        Ok(access)
    }

    /// Both counts in a line.
    pub(super) fn summary(&self) -> String {
        let refused = self.refused.len();
        format!("sluice: {} requests to the API server, {refused} kinds of them refused", self.allowed)
    }

    /// An error unless the gateway asked as this account and was let do all that it asked for.
    pub(super) fn judge(&self) -> Result<()> {
        ensure!(self.allowed > 0, "the API server was asked for nothing by {}", user(NAME));
        let refused: Vec<_> = self.refused.iter().map(String::as_str).collect();
        ensure!(refused.is_empty(), "deploy/kubernetes does not let {} {}", user(NAME), refused.join("; "));
        Ok(())
    }
}

/// `patch httproutes.gateway.networking.k8s.io/status in infra`.
fn described(event: &Value) -> String {
    let object = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let part = |before: &str, value: &Value| {
        value.as_str().map(|text| format!("{before}{text}")).unwrap_or_default()
    };
    format!(
        "{} {}{}{}{}",
        text(&event["verb"]),
        if object.is_null() { text(&event["requestURI"]) } else { text(&object["resource"]) },
        part(".", &object["apiGroup"]),
        part("/", &object["subresource"]),
        part(" in ", &object["namespace"])
    )
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;
    use crate::cargo::workspace;
    use crate::documents;

    fn line(user: &str, stage: &str, decision: &str) -> String {
        let object = json!({
            "resource": "httproutes", "apiGroup": "g.io", "subresource": "status", "namespace": "infra", "name": "r",
        });
        json!({
            "stage": stage, "verb": "patch", "user": { "username": user }, "objectRef": object,
            "annotations": { "authorization.k8s.io/decision": decision },
        })
        .to_string()
    }

    fn access(lines: &[String]) -> ApiAccess {
        let dir = Scratch::new("audit").unwrap();
        fs::write(dir.join("audit.log"), lines.join("\n")).unwrap();
        ApiAccess::read_from(&dir.join("audit.log")).unwrap()
    }

    #[test]
    fn only_what_the_account_itself_was_refused_counts() {
        let (ours, other) = (user(NAME), "system:serviceaccount:infra:default");
        let all = access(&[
            line(&ours, "ResponseStarted", "allow"),
            line(&ours, "ResponseComplete", "allow"),
            line(other, "ResponseComplete", "forbid"),
        ]);
        assert_eq!(all, ApiAccess { allowed: 1, refused: BTreeSet::new() });
        all.judge().unwrap();
        let error = access(&[line(other, "ResponseComplete", "allow")]).judge().unwrap_err();
        assert!(error.to_string().contains("asked for nothing by"), "{error}");
        let lines = ["allow", "forbid", "forbid"].map(|decision| line(&ours, "ResponseComplete", decision));
        let error = access(&lines).judge().unwrap_err().to_string();
        assert!(error.ends_with(" patch httproutes.g.io/status in infra"), "{error}");
    }

    #[test]
    fn the_manifests_have_the_account() {
        for (file, name) in [("together", NAME), ("apart", CONTROLLER), ("apart", NODE_ACCOUNT)] {
            let path = workspace().join(format!("deploy/kubernetes/{file}.yaml"));
            let accounts = documents::split(&fs::read_to_string(path).unwrap()).unwrap();
            let wanted = ("ServiceAccount", name, Some(namespace(name)));
            assert!(accounts.iter().any(|one| (one.kind(), one.name(), one.namespace()) == wanted), "{name}");
        }
    }
}
