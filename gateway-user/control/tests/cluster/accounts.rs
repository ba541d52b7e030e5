//! ServiceAccounts that carry the infrastructure of Gateways.

use gateway_api_types::Kind;
use serde_json::{Value, json};

use crate::server::ApiServer;
use crate::until;
use crate::writing::Process;

const ACCOUNT: &str = "/api/v1/namespaces/edge/serviceaccounts/gw-sluice";

async fn server(infrastructure: Value) -> ApiServer {
    let server = ApiServer::start().await;
    let class = json!({"metadata": {"name": "sluice", "generation": 1}, "spec": {"controllerName": "sluice.dev/gateway"}});
    server.apply(Kind::GatewayClass, class);
    edit(&server, 1, infrastructure);
    server
}

fn edit(server: &ApiServer, generation: i64, infrastructure: Value) {
    let gateway = json!({"metadata": {"name": "gw", "namespace": "edge", "generation": generation, "uid": "of-gw"},
        "spec": {"gatewayClassName": "sluice", "infrastructure": infrastructure,
            "listeners": [{"name": "web", "port": 80, "protocol": "HTTP"}]}});
    server.apply(Kind::Gateway, gateway);
}

/// A label or annotation of the account.
fn of_account(server: &ApiServer, map: &str, key: &str) -> Option<String> {
    server.get(ACCOUNT)?["metadata"][map].get(key)?.as_str().map(str::to_owned)
}

/// Reason and message of the Gateway's condition, if it has any.
fn fault(server: &ApiServer) -> Option<String> {
    let gateway = server.object_of(Kind::Gateway, "edge", "gw");
    let conditions = gateway["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let one = conditions.iter().find(|one| one["type"] == json!("sluice.dev/Infrastructure"))?;
    Some(format!("{} {}: {}", one["status"].as_str()?, one["reason"].as_str()?, one["message"].as_str()?))
}

#[tokio::test]
async fn an_account_follows_its_gateway_and_is_written_when_it_differs() {
    let server = server(json!({"labels": {"team": "a", "old": "1"}, "annotations": {"note": "b"}})).await;
    let process = Process::start(&server, "a");
    process.serve();
    until("the account has the labels", || of_account(&server, "labels", "team").is_some()).await;
    let account = server.get(ACCOUNT).unwrap();
    assert_eq!(account["automountServiceAccountToken"], json!(false));
    assert_eq!(account["metadata"]["ownerReferences"][0]["uid"], json!("of-gw"));
    assert_eq!(
        of_account(&server, "labels", "gateway.networking.k8s.io/gateway-name").as_deref(),
        Some("gw")
    );
    assert_eq!(of_account(&server, "annotations", "note").as_deref(), Some("b"));
    let writes = || server.writes("/serviceaccounts");
    assert_eq!(writes(), [200, 200], "one that creates it, and one that applies to it");

    // Another one's label stays, and what the Gateway no longer has goes, also of one that leads only now.
    let mut labelled = account;
    labelled["metadata"]["labels"]["others"] = json!("1");
    server.put(ACCOUNT, labelled);
    process.stop().await;
    edit(&server, 2, json!({"labels": {"team": "a"}}));
    let process = Process::start(&server, "b");
    process.serve();
    until("a label has gone", || of_account(&server, "labels", "old").is_none()).await;
    assert_eq!(of_account(&server, "labels", "others").as_deref(), Some("1"));
    assert_eq!(of_account(&server, "annotations", "note"), None);
    edit(&server, 3, Value::Null);
    process.serve();
    until("all labels have gone", || of_account(&server, "labels", "team").is_none()).await;
    let before = writes().len();
    process.serve();
    process.stop().await;
    let third = Process::start(&server, "c");
    third.serve();
    until("it leads and has written", || server.writes("/leases/").len() > 3).await;
    third.stop().await;
    assert_eq!(writes().len(), before, "nothing differs");
    assert_eq!(fault(&server), None);
}

#[tokio::test]
async fn an_account_of_somebody_else_stays_as_it_is() {
    let server = server(json!({"labels": {"team": "a"}})).await;
    let foreign =
        json!({"metadata": {"name": "gw-sluice", "namespace": "edge", "uid": "foreign", "labels": {}}});
    let foreign = server.put(ACCOUNT, foreign);
    let process = Process::start(&server, "a");
    process.serve();
    until("the Gateway says so", || fault(&server).is_some()).await;
    let said = fault(&server).unwrap();
    assert!(
        said.starts_with("False NameTaken: infrastructure: ServiceAccount edge/gw-sluice is not this"),
        "{said}"
    );
    assert_eq!(server.get(ACCOUNT), Some(foreign));
    let before = server.writes("/serviceaccounts").len();
    for _ in 0..4 {
        process.serve();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert_eq!(server.writes("/serviceaccounts").len(), before, "changes of others try it no sooner");

    server.delete(ACCOUNT).unwrap();
    process.serve();
    until("the account is the Gateway's", || of_account(&server, "labels", "team").is_some()).await;
    until("the condition has gone", || fault(&server).is_none()).await;
}

#[tokio::test]
async fn without_the_right_the_gateway_says_what_to_allow() {
    let server = server(json!({"labels": {"team": "a"}})).await;
    server.fail("/serviceaccounts", &[403]);
    let process = Process::start(&server, "a");
    process.serve();
    until("the Gateway says so", || fault(&server).is_some()).await;
    let said = fault(&server).unwrap();
    assert!(said.contains("NotWritten") && said.contains("allow verb list on serviceaccounts"), "{said}");
    process.serve();
    until("the account is made later", || of_account(&server, "labels", "team").is_some()).await;
}
