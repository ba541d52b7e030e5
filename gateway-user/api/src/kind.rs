//! The kinds we read, in one table: everything that repeats per kind is made from it.

use std::fmt;

/// Calls `$then!` with one line per kind: variant, type, plural field of [`crate::ResourceSet`].
macro_rules! for_each_kind {
    ($then:ident) => {
        $then! {
            Namespace(k8s_openapi::api::core::v1::Namespace) namespaces,
            Node(k8s_openapi::api::core::v1::Node) nodes,
            Service(k8s_openapi::api::core::v1::Service) services,
            EndpointSlice(k8s_openapi::api::discovery::v1::EndpointSlice) endpoint_slices,
            Secret(k8s_openapi::api::core::v1::Secret) secrets,
            ConfigMap(k8s_openapi::api::core::v1::ConfigMap) config_maps,
            ClusterTrustBundle(k8s_openapi::api::certificates::v1::ClusterTrustBundle) cluster_trust_bundles,
            GatewayClass(crate::GatewayClass) gateway_classes,
            Gateway(crate::Gateway) gateways,
            GatewayConfig(crate::GatewayConfig) gateway_configs,
            ListenerSet(crate::ListenerSet) listener_sets,
            HttpRoute(crate::HttpRoute) http_routes,
            GrpcRoute(crate::GrpcRoute) grpc_routes,
            TlsRoute(crate::TlsRoute) tls_routes,
            TcpRoute(crate::TcpRoute) tcp_routes,
            UdpRoute(crate::UdpRoute) udp_routes,
            ReferenceGrant(crate::ReferenceGrant) reference_grants,
            BackendTlsPolicy(crate::BackendTlsPolicy) backend_tls_policies,
            XBackend(crate::XBackend) xbackends,
            XBackendTrafficPolicy(crate::XBackendTrafficPolicy) xbackend_traffic_policies,
            XMesh(crate::XMesh) xmeshes,
            XTelemetryPolicy(crate::XTelemetryPolicy) xtelemetry_policies,
        }
    };
}
pub(crate) use for_each_kind;

macro_rules! kind {
    ($($variant:ident($type:ty) $field:ident,)+) => {
        /// A kind that we read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $(
                #[doc = concat!("`", stringify!($variant), "`.")]
                $variant,
            )+
        }

        impl Kind {
            /// Every kind, in the order of [`crate::ResourceSet`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The kind as manifests write it: `HTTPRoute`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => <$type as k8s_openapi::Resource>::KIND,)+ }
            }

            /// The API group; `""` is the core group.
            pub const fn group(self) -> &'static str {
                match self { $(Self::$variant => <$type as k8s_openapi::Resource>::GROUP,)+ }
            }

            /// The version that our type has: `v1`.
            pub const fn version(self) -> &'static str {
                match self { $(Self::$variant => <$type as k8s_openapi::Resource>::VERSION,)+ }
            }

            /// `group/version`, or the version alone for the core group.
            pub const fn api_version(self) -> &'static str {
                match self { $(Self::$variant => <$type as k8s_openapi::Resource>::API_VERSION,)+ }
            }

            /// The name in URLs: `httproutes`.
            pub const fn plural(self) -> &'static str {
                match self { $(Self::$variant => <$type as k8s_openapi::Resource>::URL_PATH_SEGMENT,)+ }
            }
        }
    };
}
for_each_kind!(kind);

impl Kind {
    /// True if its objects live in namespaces.
    pub const fn namespaced(self) -> bool {
        !matches!(
            self,
            Self::Namespace | Self::Node | Self::ClusterTrustBundle | Self::GatewayClass | Self::XMesh
        )
    }

    /// The versions that the API server serves, ours first. Of one kind they differ in validation, not in
    /// meaning: the CRDs convert with strategy `None`.
    pub const fn served_versions(self) -> &'static [&'static str] {
        match self {
            Self::GatewayClass | Self::Gateway | Self::HttpRoute | Self::ReferenceGrant => &["v1", "v1beta1"],
            Self::TlsRoute => &["v1", "v1alpha3", "v1alpha2"],
            Self::TcpRoute | Self::UdpRoute => &["v1", "v1alpha2"],
            Self::BackendTlsPolicy => &["v1", "v1alpha3"],
            Self::ClusterTrustBundle => &["v1", "v1beta1", "v1alpha1"],
            Self::GatewayConfig
            | Self::XBackend
            | Self::XBackendTrafficPolicy
            | Self::XMesh
            | Self::XTelemetryPolicy => &["v1alpha1"],
            _ => &["v1"],
        }
    }

    /// True if a status subresource exists, so that a status which arrives with the object is dropped.
    pub const fn has_status(self) -> bool {
        !matches!(
            self,
            Self::EndpointSlice
                | Self::Secret
                | Self::ConfigMap
                | Self::ClusterTrustBundle
                | Self::GatewayConfig
                | Self::ReferenceGrant
        )
    }

    /// The kind of that group and name, if we read it.
    pub fn find(group: &str, kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.group() == group && k.as_str() == kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_group_and_name() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::find(kind.group(), kind.as_str()), Some(kind));
            assert_eq!(kind.served_versions()[0], kind.version());
        }
        assert_eq!(Kind::find("", "Gateway"), None);
        assert_eq!(Kind::HttpRoute.api_version(), "gateway.networking.k8s.io/v1");
        assert_eq!(Kind::EndpointSlice.api_version(), "discovery.k8s.io/v1");
        assert_eq!(Kind::Service.api_version(), "v1");
        assert_eq!(Kind::GatewayConfig.api_version(), "sluice.dev/v1alpha1");
    }
}
