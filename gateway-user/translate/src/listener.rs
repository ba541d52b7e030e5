//! One listener on its own: what it speaks, for which host, and which routes may attach.

use gateway_api_types::{
    FromNamespaces, GATEWAY_GROUP, Kind, Listener, ProtocolType, RouteGroupKind, RouteNamespaces, TlsMode,
};
use gateway_ir::{Hostname, ListenerId, ListenerTls, ObjectName, Serve};

use crate::certificate::Certificates;
use crate::diagnostics::ConfigError;
use crate::frontend::FrontendState;
use crate::listener_tls::{self, TlsState};
use crate::parent::ParentKey;
use crate::read::Reader;
use crate::reason;
use crate::selector::Selector;
use crate::suggest::{self, SearchBudget};
use crate::view::View;

/// A listener as far as it can be judged without its neighbours.
#[derive(Debug)]
pub(crate) struct ListenerState<'a> {
    pub(crate) id: ListenerId,
    /// `listeners[3]`.
    pub(crate) field: String,
    pub(crate) spec: &'a Listener,
    /// `None` if the protocol is not supported.
    pub(crate) serve: Option<Serve>,
    pub(crate) hostname: Option<Hostname>,
    /// `supportedKinds`: those asked for, less those not supported.
    pub(crate) kinds: Vec<RouteGroupKind>,
    pub(crate) namespaces: AllowedNamespaces,
    /// Why it cannot be served, if it cannot.
    pub(crate) refused: Option<ConfigError>,
    /// The listener that it is in conflict with, if any.
    pub(crate) conflict: Option<ConfigError>,
    /// The reason that no client's certificate can be valid, if so: no handshake with it succeeds.
    pub(crate) untrusted: Option<ConfigError>,
    /// Route kinds it names that are not supported, and references of it that lead to no certificate.
    pub(crate) unresolved: Vec<ConfigError>,
    /// The TLS settings, if its protocol is HTTPS or TLS.
    pub(crate) tls: Option<ListenerTls>,
    /// Warnings: field and message.
    pub(crate) notes: Vec<(String, String)>,
    /// Routes attached and accepted.
    pub(crate) attached_routes: i32,
}

/// From which namespaces routes may attach.
#[derive(Debug)]
pub(crate) enum AllowedNamespaces {
    All,
    Same,
    Selected(Selector),
    /// The listener's own mistake: nothing may attach.
    Nothing,
}

impl<'a> ListenerState<'a> {
    /// `owner` is the Gateway that serves it, and the object that it is written in.
    pub(crate) fn new(
        view: &View<'_>,
        certificates: &mut Certificates,
        owner: (&ObjectName, &ParentKey),
        index: usize,
        spec: &'a Listener,
    ) -> Self {
        let (gateway, key) = owner;
        let field = format!("listeners[{index}]");
        let serve = serve(spec);
        let (kinds, wrong_kinds) = route_kinds(spec, serve, &field);
        let hostname = match serve {
            // Connections and datagrams have none; the schema refuses the field.
            Some(Serve::Tcp | Serve::Udp) => Ok(None),
            _ => hostname(spec, &field),
        };
        let namespaces = allowed_namespaces(&spec.allowed_routes.namespaces, &field);
        let mut secured = match serve {
            Some(Serve::TlsPassthrough) => Some(TlsState::passthrough(spec, &field)),
            Some(serve) if serve.terminates_tls() => {
                Some(TlsState::new(view, certificates, key.referrer(), spec, &field))
            }
            _ => None,
        };
        if let (Some(secured), Ok(hostname)) = (&mut secured, &hostname) {
            secured.check_names(hostname.as_ref(), &field);
        }
        let is_secured = secured.is_some();
        let TlsState { tls, refused: bad_tls, mut unresolved, notes } = secured.unwrap_or_default();
        // Certificates first: without one nothing can be served.
        unresolved.extend(wrong_kinds);
        let refused = [
            unsupported_protocol(spec, serve, &field),
            filters(spec, &field),
            hostname.as_ref().err().cloned(),
            namespaces.as_ref().err().cloned(),
            bad_tls,
        ];
        Self {
            id: ListenerId {
                gateway: gateway.clone(),
                set: match key {
                    ParentKey::Gateway(_) => None,
                    ParentKey::ListenerSet(set) => Some(set.clone()),
                },
                listener: spec.name.clone(),
            },
            field,
            spec,
            serve,
            hostname: hostname.unwrap_or_default(),
            kinds,
            namespaces: namespaces.unwrap_or(AllowedNamespaces::Nothing),
            refused: refused.into_iter().flatten().next(),
            conflict: None,
            untrusted: None,
            unresolved,
            tls: is_secured.then_some(tls),
            notes,
            attached_routes: 0,
        }
    }

    /// Has it check clients' certificates, or not. One that can trust nobody stays where its hosts are told: no other
    /// listener is to get its clients.
    pub(crate) fn check_clients(&mut self, check: Option<FrontendState>) {
        let Some(tls) = &mut self.tls else { return };
        match check {
            Some(FrontendState { validation, untrusted, unresolved }) => {
                tls.clients = Some(validation);
                self.untrusted = untrusted;
                self.unresolved.extend(unresolved);
                let takes_requests = self.serve == Some(Serve::Https);
                if tls.forward_client_cert && !takes_requests {
                    self.notes.push(listener_tls::without_requests(&self.field));
                }
            }
            None if tls.forward_client_cert => {
                tls.forward_client_cert = false;
                self.notes.push(listener_tls::without_check(&self.field));
            }
            None => {}
        }
    }

    /// True if it reaches the tables, as far as the listener goes.
    pub(crate) fn is_served(&self) -> bool {
        self.serve.is_some() && self.refused.is_none() && self.conflict.is_none()
    }

    /// Why no connection to it can be secured, if so.
    pub(crate) fn unsecured(&self) -> Option<&ConfigError> {
        let tls = self.tls.as_ref().filter(|_| self.serve.is_some_and(Serve::terminates_tls))?;
        // The references come first in the list.
        let bare = self.unresolved.first().filter(|_| tls.certificates.is_empty());
        bare.or(self.untrusted.as_ref())
    }

    /// Checks that a route of this kind and namespace may attach.
    ///
    /// # Errors
    /// The text says what stands in the way.
    pub(crate) fn allows(&self, reader: &Reader<'_, '_>, kind: &str, namespace: &str) -> Result<(), String> {
        let name = &self.spec.name;
        if !self.kinds.iter().any(|allowed| allowed.group == GATEWAY_GROUP && allowed.kind == kind) {
            return Err(match self.serve {
                None => {
                    format!("listener {name:?} has protocol {}, which is not supported", self.spec.protocol)
                }
                Some(_) => format!("listener {name:?} does not allow routes of kind {kind}"),
            });
        }
        let own = self.id.namespace();
        match &self.namespaces {
            AllowedNamespaces::All => Ok(()),
            AllowedNamespaces::Same if namespace == own => Ok(()),
            AllowedNamespaces::Same => Err(format!(
                "listener {name:?} allows routes from its own namespace {own:?} only, not from {namespace:?}"
            )),
            AllowedNamespaces::Selected(selector) => match reader.namespace_labels(namespace) {
                Some(labels) if selector.selects(namespace, labels) => Ok(()),
                None if selector.selects(namespace, &Default::default()) => Ok(()),
                Some(labels) => {
                    let unmet: Vec<_> = selector.unmet(namespace, labels).collect();
                    Err(format!(
                        "listener {name:?} allows routes from namespaces with labels {selector}; of {namespace:?} {}",
                        unmet.join(", ")
                    ))
                }
                None => Err(format!(
                    "listener {name:?} allows routes from namespaces with labels {selector}; \
                     there is no Namespace object {namespace:?} to carry them"
                )),
            },
            AllowedNamespaces::Nothing => Err(format!(
                "listener {name:?} has an invalid namespace selector, so no namespace is allowed"
            )),
        }
    }
}

fn serve(spec: &Listener) -> Option<Serve> {
    match spec.protocol {
        ProtocolType::Http => Some(Serve::Http),
        ProtocolType::Https => Some(Serve::Https),
        // The schema asks for a mode; Terminate is the field's default.
        ProtocolType::Tls => match spec.tls.as_ref().map(|tls| &tls.mode) {
            None | Some(TlsMode::Terminate) => Some(Serve::TlsTerminate),
            Some(TlsMode::Passthrough) => Some(Serve::TlsPassthrough),
        },
        ProtocolType::Tcp => Some(Serve::Tcp),
        ProtocolType::Udp => Some(Serve::Udp),
        ProtocolType::Other(_) => None,
    }
}

fn unsupported_protocol(spec: &Listener, serve: Option<Serve>, field: &str) -> Option<ConfigError> {
    serve.is_none().then(|| {
        let slip = matches!(spec.protocol, ProtocolType::Other(_)).then_some("HTTP");
        let hint = suggest::did_you_mean(spec.protocol.as_str(), slip, &SearchBudget::default());
        ConfigError::new(
            reason::UNSUPPORTED_PROTOCOL,
            format!("{field}.protocol"),
            format!(
                "protocol {} is not supported; supported: HTTP, HTTPS, TLS, TCP, UDP{hint}",
                spec.protocol
            ),
        )
    })
}

/// Filters that run before routing mostly authenticate, so a listener is not served without them.
fn filters(spec: &Listener, field: &str) -> Option<ConfigError> {
    let wanted = spec.filters.as_ref().is_some_and(|filters| !filters.requests.is_empty());
    wanted.then(|| {
        ConfigError::new(
            reason::UNSUPPORTED_VALUE,
            format!("{field}.filters"),
            "listener filters are not supported, and serving without them would let requests past them",
        )
    })
}

fn hostname(spec: &Listener, field: &str) -> Result<Option<Hostname>, ConfigError> {
    let Some(text) = spec.hostname.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
    Hostname::parse(text).map(Some).map_err(|error| {
        ConfigError::new(reason::UNSUPPORTED_VALUE, format!("{field}.hostname"), error.to_string())
    })
}

fn allowed_namespaces(spec: &RouteNamespaces, field: &str) -> Result<AllowedNamespaces, ConfigError> {
    let field = format!("{field}.allowedRoutes.namespaces");
    match (spec.from, &spec.selector) {
        (FromNamespaces::All, _) => Ok(AllowedNamespaces::All),
        (FromNamespaces::Same, _) => Ok(AllowedNamespaces::Same),
        (FromNamespaces::None, _) => Ok(AllowedNamespaces::Nothing),
        (FromNamespaces::Selector, Some(selector)) => {
            Selector::new(selector).map(AllowedNamespaces::Selected).map_err(|(place, message)| {
                ConfigError::new(reason::UNSUPPORTED_VALUE, format!("{field}.selector.{place}"), message)
            })
        }
        (FromNamespaces::Selector, None) => Err(ConfigError::new(
            reason::UNSUPPORTED_VALUE,
            field,
            "from: Selector needs a selector; add one, or use from: Same or from: All",
        )),
    }
}

/// The kinds that may attach, and what is wrong with those asked for.
fn route_kinds(
    spec: &Listener,
    serve: Option<Serve>,
    field: &str,
) -> (Vec<RouteGroupKind>, Option<ConfigError>) {
    let supported: &[&str] = match serve {
        Some(Serve::Http | Serve::Https) => &["HTTPRoute", "GRPCRoute"],
        Some(Serve::TlsTerminate | Serve::TlsPassthrough) => &["TLSRoute"],
        Some(Serve::Tcp) => &["TCPRoute"],
        Some(Serve::Udp) => &["UDPRoute"],
        None => &[],
    };
    let asked = &spec.allowed_routes.kinds;
    if asked.is_empty() || serve.is_none() {
        let all = supported.iter().map(|kind| gateway_kind(kind)).collect();
        return (all, None);
    }
    let (mut kinds, mut wrong) = (Vec::new(), Vec::new());
    for (index, kind) in asked.iter().enumerate() {
        if kind.group == GATEWAY_GROUP && supported.contains(&kind.kind.as_str()) {
            if !kinds.contains(kind) {
                kinds.push(kind.clone());
            }
        } else {
            // A kind that exists was meant; of any other name the nearest one probably was.
            let exists = Kind::find(&kind.group, &kind.kind).is_some();
            let slip = supported.iter().copied().filter(|_| !exists);
            wrong.push(format!(
                "kinds[{index}]: {}/{} cannot attach to a listener of protocol {}; supported: {}{}",
                kind.group,
                kind.kind,
                spec.protocol,
                supported.join(", "),
                suggest::did_you_mean(&kind.kind, slip, &SearchBudget::default()),
            ));
        }
    }
    let error = (!wrong.is_empty()).then(|| {
        ConfigError::new(reason::INVALID_ROUTE_KINDS, format!("{field}.allowedRoutes"), wrong.join("; "))
    });
    (kinds, error)
}

fn gateway_kind(kind: &str) -> RouteGroupKind {
    RouteGroupKind { group: GATEWAY_GROUP.to_owned(), kind: kind.to_owned() }
}
