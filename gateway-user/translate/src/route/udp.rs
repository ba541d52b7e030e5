//! UDPRoutes (GEP-2645): datagrams, which have nothing but their listener to be told apart by.

use gateway_api_types::{GatewayDefaultScope, ParentReference, UdpRoute};
use gateway_ir::RouteKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{L4RuleSpec, Route, Rules};

impl Route for UdpRoute {
    fn kind(&self) -> RouteKind {
        RouteKind::UDPRoute
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn parent_refs(&self) -> &[ParentReference] {
        &self.spec.parent_refs
    }

    fn hostnames(&self) -> &[String] {
        &[]
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
