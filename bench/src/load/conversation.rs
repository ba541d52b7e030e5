//! Long conversations of many messages, each of which must come back.

use std::future::pending;
use std::rc::Rc;

use bytes::Bytes;

use super::LoadSpec;
use super::client_task::{Client, Shared};
use super::queue::Job;
use super::stats::{RequestError, RunStats};
use crate::pattern::Pattern;
use crate::report::FailureKind;

/// A conversation with `echo`.
pub(super) trait Conversation: Sized {
    /// The things that it is opened with.
    type Way;

    /// Opens one.
    ///
    /// # Errors
    /// It cannot be opened.
    async fn open(way: &Self::Way) -> Result<Self, RequestError>;

    /// Sends a message, and waits for the next one from the other side.
    ///
    /// # Errors
    /// The conversation ended before that.
    async fn exchange(&mut self, message: Bytes) -> Result<Bytes, End>;

    /// Waits for its end, while no message is under way. Dropping the future loses nothing.
    async fn ended(&mut self) -> End;

    /// Ends it from this side, and waits until the other side has done so too.
    ///
    /// # Errors
    /// That does not come to be.
    async fn finish(self) -> Result<(), End>;
}

/// An end of a conversation from the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As a drain ends it: without an error, or with a status that tells the client to come again.
    InOrder,
    /// In any other way.
    Broken(RequestError),
}

/// One conversation after the other, each as long as it is let go on.
pub(super) struct Talk<C: Conversation> {
    way: C::Way,
    spec: Rc<LoadSpec>,
    stats: Rc<RunStats>,
    kept: Option<C>,
}

impl<C: Conversation> Talk<C> {
    pub(super) fn new(way: C::Way, shared: &Shared) -> Self {
        let Shared { spec, stats, .. } = shared.clone();
        Self { way, spec, stats, kept: None }
    }

    fn note(&self, end: End) {
        match end {
            End::InOrder => self.stats.conversation_ended(),
            End::Broken(error) => self.stats.conversation_broken(error),
        }
    }
}

impl<C: Conversation> Client for Talk<C> {
    async fn ended(&mut self) {
        let Some(conversation) = &mut self.kept else { return pending().await };
        let end = conversation.ended().await;
        self.kept = None;
        self.note(end);
    }

    /// A message that is under way when its conversation ends in order is sent again on the next one, as applications do:
    /// the proxy that ends a conversation cannot know of it.
    async fn serve(&mut self, job: Job) -> Result<(), RequestError> {
        let length = usize::try_from(self.spec.bytes).unwrap_or(usize::MAX);
        let mut message = vec![0; length];
        Pattern::new(job.id.bits()).fill(&mut message);
        let message = Bytes::from(message);
        if let Some(mut conversation) = self.kept.take() {
            match conversation.exchange(message.clone()).await {
                Ok(echo) => return self.keep(conversation, &echo, &message),
                Err(End::Broken(error)) => return Err(error),
                Err(End::InOrder) => {
                    self.stats.conversation_ended();
                    self.stats.conversation(|c| c.resent += 1);
                }
            }
        }
        let mut conversation = C::open(&self.way).await?;
        self.stats.conversation(|c| c.opened += 1);
        match conversation.exchange(message.clone()).await {
            Ok(echo) => self.keep(conversation, &echo, &message),
            Err(End::Broken(error)) => Err(error),
            Err(End::InOrder) => {
                Err(RequestError::new(FailureKind::ClosedEarly, "ended before its first message was back"))
            }
        }
    }

    async fn finish(mut self) {
        if let Some(conversation) = self.kept.take()
            && let Err(end) = conversation.finish().await
        {
            self.note(end);
        }
    }
}

impl<C: Conversation> Talk<C> {
    fn keep(&mut self, conversation: C, echo: &[u8], message: &[u8]) -> Result<(), RequestError> {
        if echo != message {
            return Err(RequestError::wrong("another message came back"));
        }
        self.kept = Some(conversation);
        Ok(())
    }
}
