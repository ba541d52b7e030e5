//! TLSRoutes (GEP-2643): whole connections, told apart by the server name in their ClientHello.

use gateway_api_types::{GatewayDefaultScope, ParentReference, TlsRoute};
use gateway_ir::RouteKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{L4RuleSpec, Route, Rules};

impl Route for TlsRoute {
    fn kind(&self) -> RouteKind {
        RouteKind::TLSRoute
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn parent_refs(&self) -> &[ParentReference] {
        &self.spec.parent_refs
    }

    fn hostnames(&self) -> &[String] {
        &self.spec.hostnames
    }

    fn default_scope(&self) -> Option<&GatewayDefaultScope> {
        self.spec.use_default_gateways.as_ref()
    }

    fn rules(&self) -> Rules<'_> {
        Rules::L4(L4RuleSpec::of(&self.spec.rules))
    }

    fn has_expressions(&self) -> bool {
        false
    }
}
