//! Messages that no other is like.

use bytes::Bytes;

use crate::pattern::Pattern;

/// The messages of one conversation, each of so many bytes.
pub(super) struct Messages {
    conversation: u32,
    sent: u32,
    length: usize,
}

impl Messages {
    pub(super) fn new(conversation: u32, length: usize) -> Self {
        Self { conversation, sent: 0, length }
    }

    /// The next one, which follows from its number and the conversation's.
    pub(super) fn next(&mut self) -> Bytes {
        let mut message = vec![0; self.length];
        Pattern::new(u64::from(self.conversation) << 32 | u64::from(self.sent)).fill(&mut message);
        self.sent = self.sent.wrapping_add(1);
        message.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_comes_twice() {
        let (mut one, mut other) = (Messages::new(0, 64), Messages::new(1, 64));
        let all = [one.next(), one.next(), other.next(), other.next()];
        assert!(all.iter().all(|message| message.len() == 64));
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }
}
