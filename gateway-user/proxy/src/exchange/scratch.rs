//! Storage of one exchange, reused by the next one: an idle connection holds none.

use gateway_http::head::HeadEdits;

use crate::observe::record::RequestText;
use crate::policy::OwnFields;

/// Buffers above this size, in bytes, are freed rather than kept.
const KEPT_BYTES: usize = 16 * 1024;

/// Everything that an exchange writes down, whatever the protocol.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) request_edits: HeadEdits,
    pub(crate) response_edits: HeadEdits,
    /// The normalised path, if it differs from what was received.
    pub(crate) path: Vec<u8>,
    /// The same as rules see it, if that differs.
    pub(crate) merged: Vec<u8>,
    /// The host in lower case, if it differs from what was received.
    pub(crate) host: Vec<u8>,
    /// A rewritten path, or a `Location`.
    pub(crate) target: Vec<u8>,
    pub(crate) text: RequestText,
    /// Fields that filters write into the response, a local reply included.
    pub(crate) own_fields: Option<Box<OwnFields>>,
}

impl Scratch {
    /// Forgets the exchange and keeps the storage, unless it has grown beyond the ordinary.
    pub(crate) fn clear(&mut self) {
        self.request_edits.clear();
        self.response_edits.clear();
        for buffer in [&mut self.path, &mut self.merged, &mut self.host, &mut self.target] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        self.text.clear(KEPT_BYTES);
        self.own_fields = None;
    }
}
