//! `api-schemas`: makes gateway-user/api/schemas out of the projects that define them, so that no schema is
//! edited by hand.
//!
//! The CRDs come from the Go module of the Gateway API (experimental channel) and from `deploy/crds`, the core kinds
//! and `ObjectMeta` from Kubernetes' OpenAPI v3 documents. Prose is dropped, references are resolved, versions of
//! a kind that validate alike are written once. Needs `go` and `unzip`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::cargo::workspace;

const GATEWAY_API: &str = "sigs.k8s.io/gateway-api@v1.7.0";
const KUBERNETES: &str = "k8s.io/kubernetes@v1.37.2";
const CRDS: &str = "config/crd/experimental";
/// Our own definition that people write objects of.
const OWN_CRD: &str = "deploy/crds/gatewayconfigs.yaml";

/// Kinds of the core, each with the document and the definition that describe it. `ObjectMeta` holds for
/// every kind: CRDs leave `metadata` to the API server.
const CORE: [(&str, &str, &str); 8] = [
    ("objectmeta", "api__v1_openapi.json", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
    ("namespace", "api__v1_openapi.json", "io.k8s.api.core.v1.Namespace"),
    ("node", "api__v1_openapi.json", "io.k8s.api.core.v1.Node"),
    ("service", "api__v1_openapi.json", "io.k8s.api.core.v1.Service"),
    ("secret", "api__v1_openapi.json", "io.k8s.api.core.v1.Secret"),
    ("configmap", "api__v1_openapi.json", "io.k8s.api.core.v1.ConfigMap"),
    (
        "clustertrustbundle",
        "apis__certificates.k8s.io__v1_openapi.json",
        "io.k8s.api.certificates.v1.ClusterTrustBundle",
    ),
    ("endpointslice", "apis__discovery.k8s.io__v1_openapi.json", "io.k8s.api.discovery.v1.EndpointSlice"),
];

/// Versions of these that API servers still serve, and that validate as `v1` does.
const OLDER: [(&str, [&str; 2]); 1] = [("clustertrustbundle", ["v1alpha1", "v1beta1"])];

/// Options of `api-schemas`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if a committed schema is not the one that would be written.
    #[arg(long)]
    check: bool,
}

/// Writes, or with `--check` compares, every schema.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut files = gateway_schemas(&module(GATEWAY_API)?)?;
    let own = fs::read_to_string(workspace().join(OWN_CRD)).context(OWN_CRD)?;
    add_definitions(&mut files, OWN_CRD, &own)?;
    files.append(&mut core_schemas(&module(KUBERNETES)?)?);
    let dir = workspace().join("gateway-user/api/schemas");
    fs::create_dir_all(&dir)?;
    let mut stale = Vec::new();
    for (name, content) in &files {
        let path = dir.join(format!("{name}.json"));
        let content = format!("{content}\n");
        if fs::read_to_string(&path).is_ok_and(|old| old == content) {
            continue;
        }
        stale.push(name.as_str());
        if !args.check {
            fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    match (args.check, stale.is_empty()) {
        (_, true) => println!("{} schemas, all up to date", files.len()),
        (false, false) => println!("{} schemas, written: {}", files.len(), stale.join(", ")),
        (true, false) => bail!("stale schemas: {}; run cargo xtask api-schemas", stale.join(", ")),
    }
    Ok(ExitCode::SUCCESS)
}

/// A Go module: unpacked, or the archive it came in.
struct Module {
    name: String,
    zip: PathBuf,
}

/// Gets a module through Go's own client. Go refuses to unpack a module made for a newer Go, but fetches and
/// verifies its archive all the same, and says so in `Error`; the archive is all that is read here.
fn module(name: &str) -> Result<Module> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", name])
        .current_dir(std::env::temp_dir())
        .output()
        .context("running go: api-schemas needs the Go toolchain to fetch modules")?;
    let download: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("go mod download {name}: {}", String::from_utf8_lossy(&output.stderr)))?;
    match download["Zip"].as_str() {
        Some(zip) => Ok(Module { name: name.to_owned(), zip: zip.into() }),
        None => bail!("go mod download {name}: {}", download["Error"].as_str().unwrap_or("no archive")),
    }
}

impl Module {
    /// Names of the files in a folder of the module.
    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = format!("{}/{folder}/", self.name);
        let names = self.unzip(&["-Z1"], &format!("{prefix}*"))?;
        Ok(names.lines().filter_map(|line| Some(line.strip_prefix(&prefix)?.to_owned())).collect())
    }

    /// The text of a file of the module.
    fn read(&self, path: &str) -> Result<String> {
        self.unzip(&["-p"], &format!("{}/{path}", self.name))
    }

    fn unzip(&self, flags: &[&str], member: &str) -> Result<String> {
        let zip: &Path = &self.zip;
        let output = Command::new("unzip")
            .args(flags)
            .arg(zip)
            .arg(member)
            .output()
            .context("running unzip: api-schemas needs it to read Go modules")?;
        if !output.status.success() {
            bail!("{} in {}: {}", member, self.name, String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout).with_context(|| format!("{member} in {}", self.name))
    }
}

/// One schema file per CustomResourceDefinition, named after the kind.
fn gateway_schemas(module: &Module) -> Result<BTreeMap<String, Value>> {
    let mut files = BTreeMap::new();
    for name in module.list(CRDS)?.iter().filter(|name| name.ends_with(".yaml")) {
        let text = module.read(&format!("{CRDS}/{name}"))?;
        add_definitions(&mut files, &format!("{}/{CRDS}/{name}", module.name), &text)?;
    }
    Ok(files)
}

/// Adds the schema of each definition in `text`, which is the file `source`.
fn add_definitions(files: &mut BTreeMap<String, Value>, source: &str, text: &str) -> Result<()> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).with_context(|| source.to_owned())?;
    for crd in documents.iter().filter(|d| d["kind"] == "CustomResourceDefinition") {
        let kind = crd["spec"]["names"]["kind"].as_str().with_context(|| format!("{source}: no kind"))?;
        files.insert(kind.to_lowercase(), json!({"source": source, "versions": versions(crd)?}));
    }
    Ok(())
}

/// Served versions, newest API first; one that validates like an earlier one is written as that one's name.
fn versions(crd: &Value) -> Result<Value> {
    let mut seen: Vec<(String, Value)> = Vec::new();
    let mut written = Map::new();
    for version in crd["spec"]["versions"].as_array().context("no versions")? {
        if version["served"] != true {
            continue;
        }
        let name = version["name"].as_str().context("a version without a name")?.to_owned();
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        strip(&mut schema);
        match seen.iter().find(|(_, known)| *known == schema) {
            Some((known, _)) => written.insert(name, json!(known)),
            None => {
                seen.push((name.clone(), schema.clone()));
                written.insert(name, schema)
            }
        };
    }
    Ok(Value::Object(written))
}

/// One schema file per core kind, references resolved.
fn core_schemas(module: &Module) -> Result<BTreeMap<String, Value>> {
    let mut files = BTreeMap::new();
    for (name, document, definition) in CORE {
        let path = format!("api/openapi-spec/v3/{document}");
        let document: Value = serde_json::from_str(&module.read(&path)?).with_context(|| path.clone())?;
        let definitions = &document["components"]["schemas"];
        let mut schema = resolve(&definitions[definition], definitions)?;
        strip(&mut schema);
        drop_zero_defaults(&mut schema);
        if name != "objectmeta" {
            // Described once, in its own file, for every kind.
            schema["properties"]["metadata"] = json!({"type": "object"});
        }
        let mut versions = json!({"v1": schema});
        for older in OLDER.iter().filter(|(kind, _)| *kind == name).flat_map(|(_, older)| older) {
            versions[older] = json!("v1");
        }
        let source = format!("{}/{path}#{definition}", module.name);
        files.insert(name.to_owned(), json!({"source": source, "versions": versions}));
    }
    Ok(files)
}

/// Puts definitions in the place of references. None of the kinds refers to itself, so this ends.
fn resolve(schema: &Value, definitions: &Value) -> Result<Value> {
    let target = |reference: &Value| -> Result<Value> {
        let name =
            reference.as_str().and_then(|r| r.rsplit('/').next()).context("a reference that is no string")?;
        match definitions.get(name) {
            Some(definition) => resolve(definition, definitions),
            None => bail!("no definition {name}"),
        }
    };
    Ok(match schema {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref") {
                return target(reference);
            }
            let mut out = Map::new();
            for (key, value) in map {
                match (key.as_str(), value.as_array().map(Vec::as_slice)) {
                    ("allOf", Some([only])) if only.get("$ref").is_some() => {
                        if let Value::Object(inner) = target(&only["$ref"])? {
                            out.extend(inner);
                        }
                    }
                    _ => {
                        out.insert(key.clone(), resolve(value, definitions)?);
                    }
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| resolve(item, definitions)).collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}

/// Drops prose and what only patches and clients use, schema by schema (a property may well be called
/// `description`).
fn strip(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    let noise = [
        "description",
        "x-kubernetes-patch-strategy",
        "x-kubernetes-patch-merge-key",
        "x-kubernetes-group-version-kind",
    ];
    for key in noise {
        map.remove(key);
    }
    each_subschema(map, strip);
}

/// Drops defaults that only spell out Go's zero values: they would make up a value for a required field.
fn drop_zero_defaults(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if map.get("default").is_some_and(|d| *d == json!("") || *d == json!(0) || *d == json!({})) {
        map.remove("default");
    }
    each_subschema(map, drop_zero_defaults);
}

fn each_subschema(map: &mut Map<String, Value>, then: fn(&mut Value)) {
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(then);
    }
    for key in ["items", "additionalProperties", "not"] {
        map.get_mut(key).into_iter().for_each(then);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(schemas)) = map.get_mut(key) {
            schemas.iter_mut().for_each(then);
        }
    }
}
