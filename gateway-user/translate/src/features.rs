//! Claimed features: `GatewayClass.status.supportedFeatures`, and for which versions of the definitions.

use gateway_api_types::{BUNDLE_VERSION, InstalledApi, SupportedFeature};

/// A minor version of the Gateway API's bundle: `v1.7.0` is `(1, 7)`.
type Minor = (u32, u32);

const V1_6: Minor = (1, 6);
const V1_7: Minor = (1, 7);

/// The versions of the definitions that we know.
const KNOWN: [Minor; 2] = [V1_6, V1_7];

/// Every feature that is claimed, by the name that the Gateway API gives it (`pkg/features`), with the first
/// bundle that has it. A feature is in here once it works and `tests/features` shows that it is
/// translated.
const CLAIMED: [(&str, Minor); 51] = [
    ("BackendTLSPolicy", V1_6),
    ("BackendTLSPolicySANValidation", V1_6),
    ("ClusterTrustBundle", V1_7),
    ("GRPCRoute", V1_6),
    ("GRPCRouteNamedRouteRule", V1_6),
    ("GRPCRouteRequestHeaderModifier", V1_7),
    ("Gateway", V1_6),
    ("GatewayAddressEmpty", V1_6),
    ("GatewayBackendClientCertificate", V1_6),
    ("GatewayFrontendClientCertificateValidation", V1_6),
    ("GatewayFrontendClientCertificateValidationInsecureFallback", V1_6),
    ("GatewayHTTPListenerIsolation", V1_6),
    ("GatewayHTTPSListenerDetectMisdirectedRequests", V1_6),
    ("GatewayInfrastructure", V1_6),
    ("GatewayPort8080", V1_6),
    ("GatewayRouteHostnameIntersectionPrecedence", V1_7),
    ("GatewayStaticAddresses", V1_6),
    ("HTTPRoute", V1_6),
    ("HTTPRoute303RedirectStatusCode", V1_6),
    ("HTTPRoute307RedirectStatusCode", V1_6),
    ("HTTPRoute308RedirectStatusCode", V1_6),
    ("HTTPRouteBackendProtocolH2C", V1_6),
    ("HTTPRouteBackendProtocolWebSocket", V1_6),
    ("HTTPRouteBackendRequestHeaderModification", V1_6),
    ("HTTPRouteBackendTimeout", V1_6),
    ("HTTPRouteBackendURLRewrite", V1_7),
    ("HTTPRouteCORS", V1_6),
    ("HTTPRouteDestinationPortMatching", V1_6),
    ("HTTPRouteHostRewrite", V1_6),
    ("HTTPRouteMethodMatching", V1_6),
    ("HTTPRouteNamedRouteRule", V1_6),
    ("HTTPRouteParentRefPort", V1_6),
    ("HTTPRoutePathRedirect", V1_6),
    ("HTTPRoutePathRewrite", V1_6),
    ("HTTPRoutePortRedirect", V1_6),
    ("HTTPRouteQueryParamMatching", V1_6),
    ("HTTPRouteRequestMirror", V1_6),
    ("HTTPRouteRequestMultipleMirrors", V1_6),
    ("HTTPRouteRequestPercentageMirror", V1_6),
    ("HTTPRouteRequestTimeout", V1_6),
    ("HTTPRouteResponseHeaderModification", V1_6),
    ("HTTPRouteRetryCodes", V1_7),
    ("HTTPRouteRetryConnectionError", V1_6),
    ("HTTPRouteSchemeRedirect", V1_6),
    ("ListenerSet", V1_6),
    ("ReferenceGrant", V1_6),
    ("TCPRoute", V1_6),
    ("TLSRoute", V1_6),
    ("TLSRouteModeMixed", V1_6),
    ("TLSRouteModeTerminate", V1_6),
    ("UDPRoute", V1_6),
];

/// Features that v1.7 has by another name, or as a part of another one.
const RENAMED: [&str; 2] = ["HTTPRouteRetry", "HTTPRouteRetryBackendTimeout"];

/// The support that follows from the installed definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Support {
    /// The claimed features, sorted by name.
    pub(crate) features: Vec<SupportedFeature>,
    /// The version that is supported, or why it is not: what is wrong and what to do.
    pub(crate) version: Result<String, String>,
}

/// Looks at what is installed; `None` is what files are checked by, our own version.
///
/// Each definition must say a version that we know, else `SupportedVersion` must be false (`GatewayClass`,
/// conditions). Even then all is served that both sides know.
pub(crate) fn of(installed: Option<&InstalledApi>) -> Support {
    let Some(installed) = installed else {
        return Support { features: claimed(V1_7), version: Ok(BUNDLE_VERSION.to_owned()) };
    };
    let mut lowest = None::<(Minor, &str)>;
    let mut wrong = Vec::new();
    for (name, definition) in &installed.definitions {
        let text = definition.bundle_version.as_deref();
        match text.and_then(|text| Some((minor(text)?, text))) {
            Some((minor, text)) => {
                lowest = lowest.filter(|(other, _)| *other <= minor).or(Some((minor, text)));
                if !KNOWN.contains(&minor) {
                    wrong.push(format!("{name} is of {text}"));
                }
            }
            None => wrong.push(format!("{name} says no version (annotation {})", BUNDLE_ANNOTATION)),
        }
    }
    let features = claimed(lowest.map_or(V1_6, |(minor, _)| minor.max(V1_6)));
    let version = match (lowest, wrong.as_slice()) {
        (Some((_, text)), []) => Ok(text.to_owned()),
        (None, []) => Err(format!(
            "no definition of the Gateway API can be read; install the CRDs of {SUPPORTED}, and let us list \
             customresourcedefinitions"
        )),
        (_, [first, rest @ ..]) => {
            let more =
                if rest.is_empty() { String::new() } else { format!(" and {} more are so", rest.len()) };
            Err(format!("{first}{more}; supported: {SUPPORTED}; what is known of it is served"))
        }
    };
    Support { features, version }
}

const BUNDLE_ANNOTATION: &str = gateway_api_types::BUNDLE_VERSION_ANNOTATION;
const SUPPORTED: &str = "v1.6 and v1.7";

fn claimed(bundle: Minor) -> Vec<SupportedFeature> {
    let there = CLAIMED.iter().filter(|(_, since)| *since <= bundle).map(|(name, _)| *name);
    let mut names: Vec<_> = there.chain(RENAMED.into_iter().filter(|_| bundle < V1_7)).collect();
    names.sort_unstable();
    names.into_iter().map(|name| SupportedFeature { name: name.to_owned() }).collect()
}

/// The first two numbers of `v1.7.0`, `v1.7.0-rc.1`.
fn minor(text: &str) -> Option<Minor> {
    let mut numbers = text.strip_prefix('v')?.split('.');
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use gateway_api_types::Definition;

    use super::*;

    fn support(versions: &[(&str, Option<&str>)]) -> Support {
        let definition = |version: &Option<&str>| Definition {
            bundle_version: version.map(str::to_owned),
            channel: Some("experimental".into()),
        };
        let definitions = versions.iter().map(|(name, version)| ((*name).to_owned(), definition(version)));
        of(Some(&InstalledApi { definitions: definitions.collect(), ..InstalledApi::default() }))
    }

    fn has(support: &Support, feature: &str) -> bool {
        support.features.iter().any(|one| one.name == feature)
    }

    #[test]
    fn features_are_sorted_and_follow_the_bundle() {
        let old = support(&[("a", Some("v1.6.3")), ("b", Some("v1.6.3"))]);
        assert_eq!(old.version.as_deref(), Ok("v1.6.3"));
        assert!(has(&old, "HTTPRoute") && !has(&old, "HTTPRouteBackendURLRewrite"));
        let new = support(&[("a", Some("v1.7.0-rc.1"))]);
        assert!(new.version.is_ok() && has(&new, "HTTPRouteBackendURLRewrite"));
        assert!(has(&old, "HTTPRouteRetry") && !has(&old, "HTTPRouteRetryCodes"));
        assert!(has(&new, "HTTPRouteRetryCodes") && !has(&new, "HTTPRouteRetry"));
        assert_eq!(of(None).features, new.features);
        for support in [&old, &new] {
            assert!(support.features.is_sorted_by(|a, b| a.name < b.name));
        }
    }

    #[test]
    fn what_is_not_known_is_said_and_all_else_is_claimed() {
        let line = |versions: &[(&str, Option<&str>)]| support(versions).version.unwrap_err();
        assert!(
            line(&[("a", Some("v1.7.0")), ("b", Some("v1.4.1"))])
                .starts_with("b is of v1.4.1; supported: v1.6")
        );
        assert!(line(&[("a", None), ("b", None)]).contains("a says no version"));
        assert!(line(&[("a", Some("latest"))]).contains("a says no version"));
        assert!(line(&[("a", Some("v2.7.0"))]).contains("v2.7.0"));
        assert!(line(&[]).contains("customresourcedefinitions"));
        let future = support(&[("a", Some("v1.9.0"))]);
        assert!(future.version.is_err() && has(&future, "HTTPRouteBackendURLRewrite"));
        assert!(has(&support(&[("a", Some("v1.4.1"))]), "HTTPRoute"));
    }
}
