//! A small API server in this process, which speaks the real protocol over TCP: enough for Leases,
//! NodeReports, statuses and Events. Optimistic locking is real; validation there is none.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use gateway_api_types::{Kind, Object, ObjectKey};
use gateway_control::cluster::ObservedObjects;
use gateway_control::cluster::op::Op;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

use crate::json_patch;

/// In place of a path: every watch ends.
const CUT: &str = "cut";

/// The server; dropping the last clone does not end it, the test's runtime does.
#[derive(Clone)]
pub(crate) struct ApiServer {
    state: Arc<Mutex<Contents>>,
    /// For `ObservedObjects`: counts changes.
    pub(crate) changed: watch::Sender<u64>,
    events: broadcast::Sender<(String, Value)>,
    address: std::net::SocketAddr,
}

#[derive(Default)]
struct Contents {
    version: u64,
    /// By path.
    objects: BTreeMap<String, Value>,
    /// The version of the last change at each path, of a deletion as well.
    changes: BTreeMap<String, u64>,
    /// Statuses that requests to paths with this text get in place of their responses.
    faults: VecDeque<(String, u16)>,
    /// How many requests to paths with this text get no response.
    hangs: Option<(String, usize)>,
    /// Requests to paths with this text get their response after that time.
    slow: Option<(String, Duration)>,
    /// Paths with this text do not exist.
    missing: Option<String>,
    /// Method and path of every request that changes something, with its response.
    writes: Vec<(String, u16)>,
    /// Objects that readers of `ObservedObjects` get in place of the current ones.
    frozen: Option<BTreeMap<String, Value>>,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            state: Arc::default(),
            changed: watch::Sender::new(0),
            events: broadcast::Sender::new(1024),
            address: listener.local_addr().unwrap(),
        };
        let router = Router::new().fallback(handle).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn client(&self) -> Client {
        let config = Config::new(format!("http://{}", self.address).parse().unwrap());
        Client::try_from(config).unwrap()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.state.lock().unwrap()
    }

    /// Puts an object there as a user would: its status stays.
    pub(crate) fn apply(&self, kind: Kind, mut object: Value) {
        let key = key_of(&object);
        let path = path_of(kind, &key);
        if let Some(status) = self.lock().objects.get(&path).and_then(|old| old.get("status")) {
            object["status"] = status.clone();
        }
        self.put(&path, object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.lock().objects.get(path).cloned()
    }

    pub(crate) fn object_of(&self, kind: Kind, namespace: &str, name: &str) -> Value {
        self.get(&path_of(kind, &ObjectKey::new(namespace, name))).unwrap()
    }

    /// Changes what is there.
    pub(crate) fn edit(&self, kind: Kind, namespace: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        let path = path_of(kind, &ObjectKey::new(namespace, name));
        let mut object = self.get(&path).unwrap();
        edit(&mut object);
        self.put(&path, object);
    }

    /// Requests to paths with this text get these codes in response, one by one.
    pub(crate) fn fail(&self, text: &str, codes: &[u16]) {
        self.lock().faults.extend(codes.iter().map(|code| (text.to_owned(), *code)));
    }

    /// The next so many requests to paths with this text get no response.
    pub(crate) fn hang(&self, text: &str, times: usize) {
        self.lock().hangs = Some((text.to_owned(), times));
    }

    fn hangs(&self, path: &str) -> bool {
        match &mut self.lock().hangs {
            Some((text, left)) if *left > 0 && path.contains(&**text) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// Requests to paths with this text take that long from now on.
    pub(crate) fn slow(&self, text: &str, each: Duration) {
        self.lock().slow = Some((text.to_owned(), each));
    }

    fn delay(&self, path: &str) -> Duration {
        let state = self.lock();
        let slow = state.slow.as_ref().filter(|(text, _)| path.contains(&**text));
        slow.map_or(Duration::ZERO, |(_, each)| *each)
    }

    /// Paths with this text do not exist from now on.
    pub(crate) fn without(&self, text: &str) {
        self.lock().missing = Some(text.to_owned());
    }

    /// Readers of what was seen get what is there now until it is thawed, as if the watch were late.
    pub(crate) fn freeze(&self, frozen: bool) {
        let mut state = self.lock();
        state.frozen = frozen.then(|| state.objects.clone());
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }

    /// The writes to paths with this text so far, with their responses.
    pub(crate) fn writes(&self, text: &str) -> Vec<u16> {
        self.lock().writes.iter().filter(|(path, _)| path.contains(text)).map(|(_, code)| *code).collect()
    }

    /// Every object whose path has this text.
    pub(crate) fn all(&self, text: &str) -> Vec<Value> {
        let state = self.lock();
        state
            .objects
            .iter()
            .filter(|(path, _)| path.contains(text))
            .map(|(_, object)| object.clone())
            .collect()
    }

    pub(crate) fn put(&self, path: &str, mut object: Value) -> Value {
        let mut state = self.lock();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let version = state.version;
        state.changes.insert(path.to_owned(), version);
        let old = state.objects.insert(path.to_owned(), object.clone());
        let type_ = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let _ = self.events.send((path.to_owned(), json!({"type": type_, "object": object})));
        drop(state);
        self.changed.send_modify(|count| *count += 1);
        object
    }

    pub(crate) fn delete(&self, path: &str) -> Option<Value> {
        let mut state = self.lock();
        let mut old = state.objects.remove(path)?;
        state.version += 1;
        let version = state.version;
        state.changes.insert(path.to_owned(), version);
        old["metadata"]["resourceVersion"] = json!(version.to_string());
        let _ = self.events.send((path.to_owned(), json!({"type": "DELETED", "object": old})));
        Some(old)
    }

    /// Ends every watch.
    pub(crate) fn cut(&self) {
        let _ = self.events.send((CUT.to_owned(), Value::Null));
    }

    fn response(&self, method: &Method, path: &str, query: &str, content: &str, body: &[u8]) -> Response {
        let mut state = self.lock();
        let fault = state.faults.iter().position(|(text, _)| path.contains(text));
        if let Some((_, code)) = fault.and_then(|index| state.faults.remove(index)) {
            return status(code, "injected by a test");
        }
        if state.missing.as_ref().is_some_and(|text| path.contains(text)) {
            return status(404, "the server could not find the requested resource");
        }
        drop(state);
        // After `/api/v1` or `/apis/<group>/<version>`: kinds and names take turns.
        let version = if path.starts_with("/api/") { 3 } else { 4 };
        let is_collection = path.split('/').skip(version).count() % 2 == 1;
        match *method {
            Method::GET if is_collection && query.contains("watch=") => self.watch(path, query),
            Method::GET if is_collection => self.list(path),
            Method::GET => self.get(path).map_or_else(|| status(404, "no such object"), ok),
            Method::DELETE => self.delete(path).map_or_else(|| status(404, "no such object"), ok),
            Method::POST => self.create(path, body),
            Method::PUT => self.replace(path, serde_json::from_slice(body).unwrap()),
            Method::PATCH if path.contains("/serviceaccounts/") => {
                self.apply_account(path, serde_json::from_slice(body).unwrap())
            }
            Method::PATCH if content.contains("apply-patch") => {
                ok(self.put(path, serde_json::from_slice(body).unwrap()))
            }
            Method::PATCH if content.contains("json-patch") => self.patch(path, body),
            _ => status(405, "not built"),
        }
    }

    fn create(&self, path: &str, body: &[u8]) -> Response {
        let object: Value = serde_json::from_slice(body).unwrap();
        if path.ends_with("/tokenreviews") {
            return ok(reviewed(object));
        }
        let path = format!("{path}/{}", key_of(&object).name);
        if self.get(&path).is_some() {
            return status(409, "it exists");
        }
        let mut object = object;
        object["metadata"]["uid"] = json!(format!("uid of {path} at {}", self.lock().version));
        ok(self.put(&path, object))
    }

    /// Server-side apply by one field manager, as far as labels and annotations go.
    fn apply_account(&self, path: &str, body: Value) -> Response {
        let held = self.get(path).filter(|held| held["metadata"]["uid"] == body["metadata"]["uid"]);
        let Some(mut object) = held else { return status(409, "the uid is another one") };
        let mut fields = json!({});
        for map in ["labels", "annotations"] {
            let owned =
                object["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"][format!("f:{map}")].clone();
            let mut all = object["metadata"][map].as_object().cloned().unwrap_or_default();
            all.retain(|key, _| owned.get(format!("f:{key}")).is_none());
            let applied = body["metadata"][map].as_object().cloned().unwrap_or_default();
            fields[format!("f:{map}")] = applied.keys().map(|key| (format!("f:{key}"), json!({}))).collect();
            all.extend(applied);
            object["metadata"][map] = Value::Object(all);
        }
        let entry = json!({"manager": "sluice-infrastructure", "operation": "Apply", "fieldsV1": {"f:metadata": fields}});
        object["metadata"]["managedFields"] = json!([entry]);
        object["automountServiceAccountToken"] = body["automountServiceAccountToken"].clone();
        ok(self.put(path, object))
    }

    fn replace(&self, path: &str, object: Value) -> Response {
        match self.get(path) {
            None => status(404, "no such object"),
            Some(old) if old["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] => {
                status(409, "the object has been modified")
            }
            Some(_) => ok(self.put(path, object)),
        }
    }

    fn patch(&self, path: &str, body: &[u8]) -> Response {
        let path = path.strip_suffix("/status").unwrap_or(path);
        let Some(mut object) = self.get(path) else { return status(404, "no such object") };
        let held = object["metadata"]["resourceVersion"].clone();
        let ops: Vec<Op> = serde_json::from_slice(body).unwrap();
        ops.iter().for_each(|op| json_patch::apply(&mut object, op));
        if object["metadata"]["resourceVersion"] != held {
            return status(409, "the object has been modified");
        }
        ok(self.put(path, object))
    }

    fn list(&self, path: &str) -> Response {
        let state = self.lock();
        let of_all_namespaces = path.strip_prefix("/api/v1").filter(|rest| !rest.starts_with("/namespaces"));
        let is_listed = |at: &str| match of_all_namespaces {
            Some(kind) => at.contains(&format!("{kind}/")),
            None => at.starts_with(path),
        };
        let items: Vec<_> =
            state.objects.iter().filter(|(at, _)| is_listed(at)).map(|(_, one)| one).collect();
        let version = state.version.to_string();
        ok(
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}),
        )
    }

    /// The events at a path: after a list of its own if the query asks for one, else from the version that it
    /// names, which must be the newest.
    fn watch(&self, path: &str, query: &str) -> Response {
        let (events, path) = (self.events.subscribe(), path.to_owned());
        let first = self.first_events(&path, query);
        let lines = stream::unfold((first, events, path), |(mut first, mut events, path)| async move {
            loop {
                let (at, event) = match first.pop_front() {
                    Some(event) => (path.clone(), event),
                    None => events.recv().await.ok()?,
                };
                if at == CUT {
                    return None;
                }
                if at.starts_with(&path) {
                    let line = Bytes::from(event.to_string() + "\n");
                    return Some((Ok::<_, Infallible>(line), (first, events, path)));
                }
            }
        });
        ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
    }

    fn first_events(&self, path: &str, query: &str) -> VecDeque<Value> {
        let state = self.lock();
        if query.contains("sendInitialEvents=true") {
            let objects = state.objects.iter().filter(|(at, _)| at.starts_with(path));
            let list = objects.map(|(_, object)| json!({"type": "ADDED", "object": object}));
            let end = json!({"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Object", "metadata": {
                "resourceVersion": state.version.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"},
            }}});
            return list.chain([end]).collect();
        }
        let from = query.split('&').find_map(|one| one.strip_prefix("resourceVersion=")?.parse::<u64>().ok());
        let last =
            state.changes.iter().filter(|(at, _)| at.starts_with(path)).map(|(_, version)| *version).max();
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "reason": "Expired",
            "message": "too old resource version", "code": 410}});
        if last > from { [gone].into() } else { VecDeque::new() }
    }
}

impl ObservedObjects for ApiServer {
    fn object(&self, kind: Kind, key: &ObjectKey) -> Option<Object> {
        let state = self.lock();
        let objects = state.frozen.as_ref().unwrap_or(&state.objects);
        Some(Object::from_value(kind, objects.get(&path_of(kind, key))?.clone()).unwrap())
    }

    fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        let state = self.lock();
        let objects = state.frozen.as_ref().unwrap_or(&state.objects);
        let of_kind = |path: &str| path.contains(&format!("/{}/", kind.plural()));
        objects.iter().filter(|(path, _)| of_kind(path)).map(|(_, object)| key_of(object)).collect()
    }
}

async fn handle(State(server): State<ApiServer>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default());
    if server.hangs(&path) {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(server.delay(&path)).await;
    let content = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let response = server.response(&parts.method, &path, query, content.unwrap_or_default(), &body);
    if parts.method != Method::GET {
        let write = (format!("{} {path}", parts.method), response.status().as_u16());
        server.lock().writes.push(write);
    }
    response
}

/// The judgement of a token of the shape "USER@NODE for AUDIENCE", the node empty where none is known.
fn reviewed(mut review: Value) -> Value {
    let token = review["spec"]["token"].as_str().unwrap().to_owned();
    let parts = token.split_once('@').and_then(|(user, rest)| Some((user, rest.split_once(" for ")?)));
    review["status"] = match parts {
        Some((user, (node, audience))) => {
            let extra = match node {
                "" => json!({}),
                node => json!({"authentication.kubernetes.io/node-name": [node]}),
            };
            let wanted = review["spec"]["audiences"].as_array().unwrap().iter().any(|one| one == audience);
            let audiences = if wanted { json!([audience]) } else { json!([]) };
            json!({"authenticated": true, "audiences": audiences, "user": {"username": user, "extra": extra}})
        }
        None => json!({"authenticated": false}),
    };
    review
}

fn ok(value: Value) -> Response {
    axum::Json(value).into_response()
}

fn status(code: u16, message: &str) -> Response {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "message": message, "code": code});
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

fn key_of(object: &Value) -> ObjectKey {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    ObjectKey::new(text("namespace"), text("name"))
}

fn path_of(kind: Kind, key: &ObjectKey) -> String {
    let namespace = match kind.namespaced() {
        true => format!("namespaces/{}/", key.namespace),
        false => String::new(),
    };
    format!("/apis/{}/{namespace}{}/{}", kind.api_version(), kind.plural(), key.name)
}
