//! etcd, the API server, the controllers and the scheduler.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::network::{API_PORT, NODE_V4, PODS_V4, PODS_V6, SERVICES_V4, SERVICES_V6};

/// A component's command line; the first argument picks it.
pub(super) type Arguments = Vec<String>;

/// The store. Nothing outlives the cluster, so nothing is worth an fsync.
pub(super) fn etcd(dir: &Path) -> Arguments {
    let mut arguments = vec!["etcd".to_owned(), format!("--data-dir={}", dir.join("etcd").display())];
    for (flag, url) in [
        ("listen-client-urls", "http://127.0.0.1:2379"),
        ("advertise-client-urls", "http://127.0.0.1:2379"),
        ("listen-peer-urls", "http://127.0.0.1:2380"),
    ] {
        arguments.push(format!("--{flag}={url}"));
    }
    arguments.extend(["--unsafe-no-fsync", "--log-level=warn"].map(str::to_owned));
    arguments
}

/// The API server's log of who asked for what and whether RBAC let it; of accounts of pods and programs only,
/// since Kubernetes' own parts are many and known.
pub(crate) const AUDIT_LOG: &str = "log/audit.log";
const AUDIT_POLICY: &str = r#"{
"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
"rules": [
    {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
    {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
    {"level": "None"}
]}"#;

/// Writes the policy of the log; gives the API server's arguments.
pub(super) fn api_server(dir: &Path, pki: &Path) -> Result<Arguments> {
    let policy = dir.join("audit-policy.json");
    fs::write(&policy, AUDIT_POLICY)?;
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.join(name).display());
    let mut arguments = vec![
        "kube-apiserver".to_owned(),
        format!("--advertise-address={NODE_V4}"),
        format!("--secure-port={API_PORT}"),
        format!("--service-cluster-ip-range={SERVICES_V4},{SERVICES_V6}"),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "server.crt"),
        file("tls-private-key-file", "server.key"),
        file("service-account-key-file", "tokens.pub"),
        file("service-account-signing-key-file", "tokens.key"),
        file("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
        file("kubelet-client-key", "apiserver-kubelet-client.key"),
        file("kubelet-certificate-authority", "ca.crt"),
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", dir.join(AUDIT_LOG).display()),
    ];
    let fixed = [
        "--etcd-servers=http://127.0.0.1:2379",
        "--service-account-issuer=https://kubernetes.default.svc",
        // Nobody resolves names here: logs and exec go to the node's address.
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    ];
    arguments.extend(fixed.map(str::to_owned));
    Ok(arguments)
}

pub(super) fn controller_manager(pki: &Path) -> Arguments {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.join(name).display());
    let mut arguments = vec![
        "kube-controller-manager".to_owned(),
        file("kubeconfig", "kube-controller-manager.kubeconfig"),
        file("service-account-private-key-file", "tokens.key"),
        file("root-ca-file", "ca.crt"),
        format!("--cluster-cidr={PODS_V4},{PODS_V6}::/48"),
    ];
    let fixed = ["--use-service-account-credentials", "--leader-elect=false", "--bind-address=127.0.0.1"];
    arguments.extend(fixed.map(str::to_owned));
    arguments
}

pub(super) fn scheduler(pki: &Path) -> Arguments {
    let kubeconfig = format!("--kubeconfig={}", pki.join("kube-scheduler.kubeconfig").display());
    ["kube-scheduler", &kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1"]
        .map(str::to_owned)
        .to_vec()
}

/// The object at this path of the API server as an administrator sees it; `None` while there is no
/// such response.
pub(super) fn get(pki: &Path, path: &str) -> Option<String> {
    let output = curl(pki).arg(format!("{}{path}", url())).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Merges `patch` into the object at this path, as an administrator.
pub(super) fn patch(pki: &Path, path: &str, patch: &str) -> Result<()> {
    let output = curl(pki)
        .args([
            "--show-error",
            "--request",
            "PATCH",
            "--header",
            "content-type: application/merge-patch+json",
        ])
        .args(["--data", patch])
        .arg(format!("{}{path}", url()))
        .output()
        .context("starting curl")?;
    ensure!(output.status.success(), "changing {path}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn curl(pki: &Path) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", "--max-time", "5", "--cacert"]).arg(pki.join("ca.crt"));
    command.arg("--cert").arg(pki.join("admin.crt")).arg("--key").arg(pki.join("admin.key"));
    command
}

/// Where the API server listens.
pub(crate) fn url() -> String {
    format!("https://{NODE_V4}:{API_PORT}")
}
