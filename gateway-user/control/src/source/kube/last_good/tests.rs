use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use gateway_api_types::load::load;
use gateway_testkit::golden;
use gateway_testkit::scratch::Scratch;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::writer::WriteState;
use super::*;

fn scope() -> Scope {
    Scope { server: "https://10.0.0.1:6443".into(), namespaces: Vec::new() }
}

fn objects() -> ResourceSet {
    let secret = json!({"metadata": {"name": "s", "namespace": "a", "resourceVersion": "7"}, "data": {"tls.key": "YQ=="}});
    let class = json!({"metadata": {"name": "c"}, "spec": {"controllerName": "x/y"}});
    let mut set: ResourceSet = [(Kind::Secret, secret), (Kind::GatewayClass, class)]
        .into_iter()
        .map(|(kind, value)| (Object::from_value(kind, value).unwrap(), None))
        .collect();
    let definition = Definition { bundle_version: Some("v1.6.3".into()), channel: None };
    let definitions = [("x".to_owned(), definition)].into_iter().collect();
    set.installed = Some(Arc::new(InstalledApi { definitions, ..InstalledApi::default() }));
    set
}

#[test]
fn objects_come_back_as_they_were_to_who_asks_for_the_same() {
    let dir = Scratch::new("cluster-last-good").unwrap();
    let path = dir.join("file");
    assert_eq!(read(&path, &scope(), &KeptKeys::Plain), None);
    replace(&path, &scope(), &objects(), &KeptKeys::Plain).unwrap();
    assert_eq!(read(&path, &scope(), &KeptKeys::Plain), Some(objects()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let narrower = Scope { namespaces: vec!["a".into()], ..scope() };
    assert_eq!(read(&path, &narrower, &KeptKeys::Plain), None, "what lives elsewhere would never be removed");
    assert_eq!(read(&path, &Scope { server: "https://other".into(), ..scope() }, &KeptKeys::Plain), None);
}

#[test]
fn private_keys_are_left_out_where_that_is_asked_for() {
    let dir = Scratch::new("cluster-last-good").unwrap();
    let path = dir.join("file");
    replace(&path, &scope(), &objects(), &KeptKeys::LeftOut).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("tls.key") && !text.contains("YQ=="), "{text}");
    let read = read(&path, &scope(), &KeptKeys::Plain).unwrap();
    let secret = read.secrets.values().next().unwrap();
    assert_eq!((secret.metadata.name.as_deref(), &secret.metadata.resource_version), (Some("s"), &None));
}

#[test]
fn a_sealed_file_shows_no_key_and_is_read_with_its_own_alone() {
    let dir = Scratch::new("cluster-last-good").unwrap();
    let path = dir.join("file");
    let keys = |name: &str| {
        dir.write(name, &name.repeat(32)).unwrap();
        KeptKeys::Sealed(dir.join(name))
    };
    let (own, other) = (keys("a"), keys("b"));
    replace(&path, &scope(), &objects(), &own).unwrap();
    let bytes = fs::read(&path).unwrap();
    for text in ["tls.key", "YQ==", "10.0.0.1", "metadata"] {
        assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()), "{text}");
    }
    assert_eq!(read(&path, &scope(), &own), Some(objects()));
    for keys in [other, KeptKeys::Plain, KeptKeys::LeftOut] {
        assert_eq!(read(&path, &scope(), &keys), None);
        assert!(read_file(&path, &keys).err().unwrap().to_string().contains("--last-good"));
    }
}

#[test]
fn what_is_of_another_version_or_cut_is_passed_over() {
    let dir = Scratch::new("cluster-last-good").unwrap();
    let path = dir.join("file");
    replace(&path, &scope(), &objects(), &KeptKeys::Plain).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"format\":1", "\"format\":2")).unwrap();
    assert_eq!(read(&path, &scope(), &KeptKeys::Plain), None);
    fs::write(&path, &text[..text.len() - 9]).unwrap();
    assert_eq!(read(&path, &scope(), &KeptKeys::Plain), None);
}

#[test]
fn nothing_is_written_before_this_process_is_the_one_and_then_not_too_often() {
    let dir = Scratch::new("cluster-last-good").unwrap();
    let path = dir.join("file");
    let mut last_good_writer = LastGoodWriter::new(path.clone(), scope(), KeptKeys::Plain);
    last_good_writer.follow(&objects());
    assert!(!path.exists());
    last_good_writer.begin(&objects());
    let idle = |last_good_writer: &LastGoodWriter| {
        !matches!(*last_good_writer.state.lock().unwrap(), WriteState::Busy)
    };
    gateway_testkit::wait::until("the file", || idle(&last_good_writer).then_some(()));
    assert_eq!(read(&path, &scope(), &KeptKeys::Plain), Some(objects()));
    last_good_writer.follow(&ResourceSet::default());
    assert!(idle(&last_good_writer), "it is not time");
    *last_good_writer.state.lock().unwrap() = WriteState::Due(Instant::now());
    last_good_writer.catch_up(&ResourceSet::default());
    gateway_testkit::wait::until("the next", || idle(&last_good_writer).then_some(()));
    assert!(read(&path, &scope(), &KeptKeys::Plain).unwrap().is_empty());
}

#[test]
fn a_writing_that_fails_is_tried_again() {
    let dir = Scratch::new("cluster-last-good").unwrap();
    // A directory is in the file's way.
    let path = dir.join("file");
    fs::create_dir_all(path.join("x")).unwrap();
    let unfinished = dir.join("file.7.new");
    fs::write(&unfinished, "{").unwrap();
    let mut last_good_writer = LastGoodWriter::new(path.clone(), scope(), KeptKeys::Plain);
    let idle = |last_good_writer: &LastGoodWriter| {
        !matches!(*last_good_writer.state.lock().unwrap(), WriteState::Busy)
    };
    last_good_writer.begin(&objects());
    gateway_testkit::wait::until("the attempt", || idle(&last_good_writer).then_some(()));
    assert!(!unfinished.exists(), "what a process left that ended while it wrote is taken away");
    fs::remove_dir_all(&path).unwrap();
    last_good_writer.catch_up(&objects());
    assert!(!path.exists(), "it is not time");
    let again = matches!(*last_good_writer.state.lock().unwrap(), WriteState::Again(_));
    assert!(again);
    *last_good_writer.state.lock().unwrap() = WriteState::Again(Instant::now());
    last_good_writer.catch_up(&objects());
    gateway_testkit::wait::until("the file", || idle(&last_good_writer).then_some(()));
    assert_eq!(read(&path, &scope(), &KeptKeys::Plain), Some(objects()));
}

/// Another version of Sluice reads the file after an upgrade or a downgrade.
#[test]
fn the_format_is_byte_for_byte_as_it_was() {
    let dir = Scratch::new("cluster-last-good").unwrap();
    let path = dir.join("file");
    let loaded = load("all.yaml", include_str!("../../../../tests/golden/objects.yaml"));
    let mut whole: ResourceSet = loaded.objects.into_iter().map(|one| (one.object, None)).collect();
    let definition = Definition { bundle_version: Some("v1.6.3".into()), channel: Some("standard".into()) };
    let definitions = [
        ("gateways.gateway.networking.k8s.io".to_owned(), definition),
        ("x.example".to_owned(), Definition { bundle_version: None, channel: None }),
    ];
    whole.installed = Some(Arc::new(InstalledApi {
        definitions: definitions.into_iter().collect(),
        ..InstalledApi::default()
    }));
    let mut without_keys = whole.clone();
    let secrets = without_keys.secrets.iter().map(|(key, secret)| {
        let mut value = serde_json::to_value(&**secret).unwrap();
        leave_key_out(&mut value);
        let secret = serde_json::from_value::<Secret>(value).unwrap();
        (key.clone(), Arc::new(secret))
    });
    without_keys.secrets = secrets.collect();
    let narrow = Scope { namespaces: vec!["edge".into(), "team-b".into()], ..scope() };
    let cases = [
        ("last-good-cluster.json", KeptKeys::Plain, scope(), whole.clone()),
        ("last-good-cluster-without-keys.json", KeptKeys::LeftOut, narrow, without_keys),
    ];
    for (name, keys, scope, expected) in cases {
        replace(&path, &scope, &whole, &keys).unwrap();
        let bytes = golden::check(name, &fs::read(&path).unwrap());
        fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path, &scope, &keys), Some(expected));
    }
}
