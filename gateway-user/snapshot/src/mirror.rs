//! `RequestMirror` in the form in which it is applied.

use gateway_ir::{ClusterKey, Filter, Share};

use crate::ClusterId;

/// A destination of copies of a target's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The cluster that gets them.
    pub cluster: ClusterId,
    /// The share of requests that are copied.
    pub share: Share,
    /// The rule has it, so the copy is changed by the rule's filters alone. Else it is the backend's, and the copy is what the
    /// backend gets.
    pub of_rule: bool,
}

/// The mirrors among filters. One beyond the number of clusters that tables can have is left out, as one whose Service is missing
/// is left out of the configuration.
pub(crate) fn mirrors<'a>(
    filters: &'a [Filter],
    of_rule: bool,
    number: &mut impl FnMut(&'a ClusterKey) -> Option<ClusterId>,
) -> Vec<Mirror> {
    let mut mirror = |filter: &'a Filter| match filter {
        Filter::Mirror(mirror) => {
            Some(Mirror { cluster: number(&mirror.cluster)?, share: mirror.share, of_rule })
        }
        _ => None,
    };
    filters.iter().filter_map(&mut mirror).collect()
}
