//! Writes into a cluster: object by object, by one leader, whatever the server does.

mod accounts;
mod changes;
mod following;
mod giving;
mod json_patch;
mod leading;
mod listener_sets;
mod server;
mod writing;

/// Waits for something to become true; a bound that only a hang reaches.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}
