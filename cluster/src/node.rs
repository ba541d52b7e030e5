//! containerd, kubelet and kube-proxy, each with all that it writes below the node's directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::control_plane::Arguments;
use super::machines::Node;
use super::network::{self, PODS_V4, PODS_V6};

/// The sandbox of every pod; its image is ours, under the name that kubelet expects.
pub(super) const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";

/// Where Debian keeps the CNI plug-ins.
const PLUGINS: &str = "/usr/lib/cni";

/// A node, and where it keeps what it writes.
pub(super) struct Place<'a> {
    pub(super) node: &'a Node,
    /// All that is the node's alone.
    pub(super) dir: &'a Path,
    /// Certificates of the cluster.
    pub(super) pki: &'a Path,
}

/// containerd's configuration file, and the plug-ins' beside it; gives containerd's arguments.
pub(super) fn containerd(place: &Place<'_>, run: &Path) -> Result<Arguments> {
    let dir = place.dir;
    let (root, state, cni) = (dir.join("containerd"), run.join("containerd"), dir.join("cni"));
    fs::create_dir_all(&cni)?;
    let leases = dir.join("leases").display().to_string();
    fs::write(cni.join("10-pods.conflist"), network::cni(place.node, &leases))?;
    let config = dir.join("containerd.toml");
    // The scores: a process without CAP_SYS_RESOURCE may raise its own and never lower them, and
    // runc would fail.
    let text = format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{cni}"
"#,
        root = root.display(),
        state = state.display(),
        socket = socket(run),
        cni = cni.display(),
    );
    fs::write(&config, text)?;
    Ok(vec!["--config".to_owned(), config.display().to_string()])
}

/// Where containerd listens.
pub(super) fn socket(run: &Path) -> String {
    run.join("containerd.sock").display().to_string()
}

/// True once containerd responds.
pub(super) fn responds(run: &Path) -> bool {
    let mut ctr = Command::new("ctr");
    ctr.arg("--address").arg(socket(run)).arg("version");
    ctr.output().is_ok_and(|output| output.status.success())
}

/// Makes an image archive known to containerd, by its client `ctr`.
pub(super) fn import(mut ctr: Command, run: &Path, archive: &Path) -> Result<()> {
    let output = ctr
        .arg("--address")
        .arg(socket(run))
        .args(["--namespace", "k8s.io", "images", "import", "--snapshotter", "overlayfs"])
        .arg(archive)
        .output()
        .context("starting ctr")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "importing {}: {}", archive.display(), said.trim());
    Ok(())
}

/// kubelet's configuration file; gives its arguments.
pub(super) fn kubelet(place: &Place<'_>, run: &Path, cgroup: &str) -> Result<Arguments> {
    let Place { node: Node { name, v4, v6, .. }, dir, pki } = place;
    let config = dir.join("kubelet.yaml");
    fs::write(dir.join("resolv.conf"), "")?;
    // Disks are never full enough to evict from, and images are never collected: nothing could
    // fetch them again.
    let text = format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {pki}/ca.crt}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {pki}/serving-{name}.crt
tlsPrivateKeyFile: {pki}/serving-{name}.key
containerRuntimeEndpoint: unix://{socket}
cgroupDriver: cgroupfs
cgroupRoot: {cgroup}
failCgroupV1: false
failSwapOn: false
resolvConf: {dir}/resolv.conf
enforceNodeAllocatable: []
evictionHard: {{memory.available: "50Mi", nodefs.available: "0%", imagefs.available: "0%", nodefs.inodesFree: "0%"}}
imageGCHighThresholdPercent: 100
imageMinimumGCAge: 8760h
maxPods: 200
serializeImagePulls: false
registryPullQPS: 0
syncFrequency: 10s
containerLogMaxSize: 5Mi
podLogsDir: {dir}/pods
volumePluginDir: {dir}/volumes
"#,
        pki = pki.display(),
        socket = socket(run),
        dir = dir.display(),
    );
    fs::write(&config, text)?;
    Ok(vec![
        "kubelet".to_owned(),
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", pki.join(format!("kubelet-{name}.kubeconfig")).display()),
        format!("--hostname-override={name}"),
        format!("--node-ip={v4},{v6}"),
        format!("--root-dir={}", dir.join("kubelet").display()),
        format!("--cert-dir={}", dir.join("kubelet/pki").display()),
    ])
}

/// kube-proxy's configuration file; gives its arguments. The limits of connection tracking belong to the
/// machine, so it is told to leave them alone.
pub(super) fn proxy(place: &Place<'_>) -> Result<Arguments> {
    let config = place.dir.join("kube-proxy.yaml");
    let text = format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: {}
clientConnection: {{kubeconfig: {}}}
clusterCIDR: {PODS_V4},{PODS_V6}::/48
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
"#,
        place.node.name,
        place.pki.join("kube-proxy.kubeconfig").display()
    );
    fs::write(&config, text)?;
    Ok(vec!["kube-proxy".to_owned(), format!("--config={}", config.display())])
}
