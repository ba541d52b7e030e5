//! `filters` of a rule or a backendRef.

use gateway_api_types::{
    HttpHeaderFilter, HttpPathModifier, HttpPathModifierType, HttpRequestRedirectFilter, HttpRouteFilter,
    HttpRouteFilterType, HttpUrlRewriteFilter,
};
use gateway_grammar::names::{REASON_HEADER, is_framing_field};
use gateway_grammar::status;
use gateway_ir::{
    Filter, HeaderChange, HeaderMod, HostRewrite, Hostname, PathMatch, PathRewrite, Redirect, RouteMatch,
};

use crate::diagnostics::ConfigError;
use crate::mirrors::{self, MirrorTarget};
use crate::{cors, reason};

/// The translation of a filter list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FilterChain {
    pub(crate) filters: Vec<Filter>,
    pub(crate) redirect: Option<Redirect>,
    /// Changes that have no effect: field and why.
    pub(crate) ignored: Vec<(String, String)>,
}

/// Translates a filter list whose rule has these matches.
///
/// # Errors
/// The first filter that is invalid, not supported or not compatible with another one. A filter is never
/// skipped: its rule responds 500 instead.
pub(crate) fn chain(
    spec: &[HttpRouteFilter],
    matches: &[RouteMatch],
    field: &str,
    mirror: &mut MirrorTarget<'_>,
) -> Result<FilterChain, ConfigError> {
    let mut chain = FilterChain::default();
    for (index, filter) in spec.iter().enumerate() {
        let field = format!("{field}.filters[{index}]");
        let repeated = spec.iter().take(index).any(|earlier| earlier.type_ == filter.type_);
        if repeated && may_not_repeat(filter.type_) {
            return Err(incompatible(&field, format!("{} may not be repeated in one list", filter.type_)));
        }
        match filter.type_ {
            HttpRouteFilterType::RequestMirror => {
                let added = mirrors::translate(filter, &format!("{field}.requestMirror"), mirror)?;
                chain.filters.extend(added);
            }
            _ => add(&mut chain, filter, matches, &field)?,
        }
    }
    let rewrites = |filter: &HttpRouteFilter| filter.type_ == HttpRouteFilterType::UrlRewrite;
    if chain.redirect.is_some() && spec.iter().any(rewrites) {
        let message = "RequestRedirect and URLRewrite may not be combined; keep one of them".to_owned();
        return Err(incompatible(&format!("{field}.filters"), message));
    }
    Ok(chain)
}

/// RequestMirror and ExtensionRef may be used more than once, every other filter may not.
fn may_not_repeat(type_: HttpRouteFilterType) -> bool {
    !matches!(type_, HttpRouteFilterType::RequestMirror | HttpRouteFilterType::ExtensionRef)
}

fn add(
    chain: &mut FilterChain,
    filter: &HttpRouteFilter,
    matches: &[RouteMatch],
    field: &str,
) -> Result<(), ConfigError> {
    use HttpRouteFilterType as Type;
    let missing =
        |name: &str| unsupported(field, format!("{name} is missing; type {} needs it", filter.type_));
    match filter.type_ {
        Type::RequestHeaderModifier => {
            let spec = filter.request_header_modifier.as_ref();
            let spec = spec.ok_or_else(|| missing("requestHeaderModifier"))?;
            let field = format!("{field}.requestHeaderModifier");
            let changes = header_mod(spec, &field, &mut chain.ignored)?;
            chain.filters.push(checked(Filter::RequestHeaders(changes), &field)?);
        }
        Type::ResponseHeaderModifier => {
            let spec = filter.response_header_modifier.as_ref();
            let spec = spec.ok_or_else(|| missing("responseHeaderModifier"))?;
            let field = format!("{field}.responseHeaderModifier");
            let mut changes = header_mod(spec, &field, &mut chain.ignored)?;
            leave_reason_alone(&mut changes, &field, &mut chain.ignored);
            chain.filters.push(checked(Filter::ResponseHeaders(changes), &field)?);
        }
        Type::UrlRewrite => {
            let spec = filter.url_rewrite.as_ref().ok_or_else(|| missing("urlRewrite"))?;
            chain.filters.push(url_rewrite(spec, matches, &format!("{field}.urlRewrite"))?);
        }
        Type::RequestRedirect => {
            let spec = filter.request_redirect.as_ref().ok_or_else(|| missing("requestRedirect"))?;
            chain.redirect = Some(redirect(spec, matches, &format!("{field}.requestRedirect"))?);
        }
        Type::Cors => {
            let spec = filter.cors.as_ref().ok_or_else(|| missing("cors"))?;
            chain.filters.push(cors::translate(spec, &format!("{field}.cors"), &mut chain.ignored)?);
        }
        // Taken care of before, since it has a backend.
        Type::RequestMirror => {}
        Type::ExtensionRef | Type::ExternalAuth => {
            let message = format!("filter {} is not supported; take it away", filter.type_);
            return Err(unsupported(&format!("{field}.type"), message));
        }
    }
    Ok(())
}

/// Header changes. Of equal names in one list the first counts; a name in two lists is invalid
/// (`HTTPHeaderFilter`).
fn header_mod(
    spec: &HttpHeaderFilter,
    field: &str,
    ignored: &mut Vec<(String, String)>,
) -> Result<HeaderMod, ConfigError> {
    let mut changes = HeaderMod::default();
    let mut names = Names { field, seen: Vec::new(), ignored };
    for (index, header) in spec.set.iter().enumerate() {
        if names.take(&header.name, "set", index)?.is_some() {
            changes.set.push(HeaderChange { name: header.name.clone(), value: header.value.clone() });
        }
    }
    for (index, header) in spec.add.iter().enumerate() {
        if names.take(&header.name, "add", index)?.is_some() {
            changes.add.push(HeaderChange { name: header.name.clone(), value: header.value.clone() });
        }
    }
    for (index, name) in spec.remove.iter().enumerate() {
        changes.remove.extend(names.take(name, "remove", index)?);
    }
    Ok(changes)
}

/// `x-sluice-reason` says that the gateway responded by itself: no route may say so.
fn leave_reason_alone(changes: &mut HeaderMod, field: &str, ignored: &mut Vec<(String, String)>) {
    let before = changes.set.len() + changes.add.len() + changes.remove.len();
    changes.set.retain(|change| !change.name.eq_ignore_ascii_case(REASON_HEADER));
    changes.add.retain(|change| !change.name.eq_ignore_ascii_case(REASON_HEADER));
    changes.remove.retain(|name| name != REASON_HEADER);
    if changes.set.len() + changes.add.len() + changes.remove.len() < before {
        let message = format!("{REASON_HEADER} is written by the gateway alone, so the change has no effect");
        ignored.push((field.to_owned(), message));
    }
}

/// The header names that one filter has used so far.
struct Names<'a> {
    field: &'a str,
    seen: Vec<(String, &'static str)>,
    ignored: &'a mut Vec<(String, String)>,
}

impl Names<'_> {
    /// The name in lower case if the change is to be made.
    fn take(&mut self, name: &str, list: &'static str, index: usize) -> Result<Option<String>, ConfigError> {
        let lower = name.to_ascii_lowercase();
        let field = format!("{}.{list}[{index}]", self.field);
        if lower == "host" {
            let message =
                "Host is no header to change here; use a URLRewrite filter with hostname".to_owned();
            return Err(unsupported(&field, message));
        }
        if is_framing_field(lower.as_bytes()) {
            let message = format!("{name} belongs to the connection, so the change has no effect");
            self.ignored.push((field, message));
            return Ok(None);
        }
        match self.seen.iter().find(|(other, _)| *other == lower) {
            Some((_, other)) if *other == list => {
                self.ignored.push((field, format!("{name} is in the list already; only the first counts")));
                Ok(None)
            }
            Some((_, other)) => Err(unsupported(
                &field,
                format!("header {name} is in {other} already; one action per header"),
            )),
            None => {
                self.seen.push((lower.clone(), list));
                Ok(Some(lower))
            }
        }
    }
}

fn url_rewrite(
    spec: &HttpUrlRewriteFilter,
    matches: &[RouteMatch],
    field: &str,
) -> Result<Filter, ConfigError> {
    let host = spec.hostname.as_deref().map(|host| precise_host(host, field)).transpose()?;
    let path = spec.path.as_ref().map(|path| path_rewrite(path, matches, field)).transpose()?;
    Ok(Filter::UrlRewrite { host: host.map(HostRewrite), path })
}

fn redirect(
    spec: &HttpRequestRedirectFilter,
    matches: &[RouteMatch],
    field: &str,
) -> Result<Redirect, ConfigError> {
    if !status::REDIRECTS.contains(&spec.status_code) {
        let message = format!("{} is not one of 301, 302, 303, 307, 308", spec.status_code);
        return Err(unsupported(&format!("{field}.statusCode"), message));
    }
    Ok(Redirect {
        scheme: spec.scheme.map(|scheme| scheme.as_str().to_owned()),
        hostname: spec.hostname.as_deref().map(|host| precise_host(host, field)).transpose()?,
        path: spec.path.as_ref().map(|path| path_rewrite(path, matches, field)).transpose()?,
        port: spec.port,
        status: spec.status_code,
    })
}

/// A value that cannot stand in a message would be refused as tables are compiled, too late for a condition.
fn checked(filter: Filter, field: &str) -> Result<Filter, ConfigError> {
    filter.check().map_err(|message| unsupported(field, message))?;
    Ok(filter)
}

fn precise_host(text: &str, field: &str) -> Result<String, ConfigError> {
    let field = format!("{field}.hostname");
    match Hostname::parse(text) {
        Ok(Hostname::Exact(name)) => Ok(name),
        Ok(Hostname::Wildcard(_)) => Err(unsupported(&field, format!("{text:?} must not be a wildcard"))),
        Err(error) => Err(unsupported(&field, error.to_string())),
    }
}

/// `ReplacePrefixMatch` needs exactly one match, by `PathPrefix`: else there is no one prefix to replace.
fn path_rewrite(
    spec: &HttpPathModifier,
    matches: &[RouteMatch],
    field: &str,
) -> Result<PathRewrite, ConfigError> {
    let field = format!("{field}.path");
    let missing =
        |name: &str| unsupported(&field, format!("{name} is missing; type {} needs it", spec.type_));
    match spec.type_ {
        HttpPathModifierType::ReplaceFullPath => {
            let path = spec.replace_full_path.clone().ok_or_else(|| missing("replaceFullPath"))?;
            written(PathRewrite::Full(path), &format!("{field}.replaceFullPath"))
        }
        HttpPathModifierType::ReplacePrefixMatch => {
            let prefix = spec.replace_prefix_match.clone().ok_or_else(|| missing("replacePrefixMatch"))?;
            match matches {
                [RouteMatch { path: PathMatch::Prefix(_), .. }] => {
                    written(PathRewrite::Prefix(prefix), &format!("{field}.replacePrefixMatch"))
                }
                _ => Err(unsupported(
                    &field,
                    "ReplacePrefixMatch needs exactly one match, of type PathPrefix, in its rule".to_owned(),
                )),
            }
        }
    }
}

fn written(rewrite: PathRewrite, field: &str) -> Result<PathRewrite, ConfigError> {
    rewrite.parts().map_err(|message| unsupported(field, message))?;
    Ok(rewrite)
}

fn unsupported(field: &str, message: String) -> ConfigError {
    ConfigError::new(reason::UNSUPPORTED_VALUE, field, message)
}

fn incompatible(field: &str, message: String) -> ConfigError {
    ConfigError::new(reason::INCOMPATIBLE_FILTERS, field, message)
}
