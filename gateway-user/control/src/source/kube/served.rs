//! In which version a kind is served.

use gateway_api_types::Kind;
use kube::Client;

/// The first of the versions that we read in which the server has the kind; `None` if it has it in none.
///
/// # Errors
/// The server does not respond, or refuses.
pub(super) async fn version(client: &Client, kind: Kind) -> Result<Option<&'static str>, kube::Error> {
    for version in kind.served_versions() {
        let group = format!("{}/{version}", kind.group());
        match client.list_api_group_resources(&group).await {
            Ok(list) if list.resources.iter().any(|resource| resource.name == kind.plural()) => {
                return Ok(Some(version));
            }
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
