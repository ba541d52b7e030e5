//! One page for all who ask at the same time, and few pages in memory however many read slowly.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Most pages in memory at the same time, each with readers of its own.
const MAX_PAGES: usize = 3;
/// Age from which on a page is not given out any more while [`MAX_PAGES`] are being read: the readers of the
/// oldest page are cut instead.
const MAX_AGE: Duration = Duration::from_secs(5);

/// Gives out pages that were rendered after they were asked for, and renders one at a time.
#[derive(Debug, Default)]
pub struct Pages {
    /// Counts questions and renderings, so that a page can be told to be newer than a question.
    order: AtomicU64,
    /// Questions that have no page yet.
    waiting: AtomicUsize,
    /// The holder of the lock renders; requests that wait for it share the next page.
    rendered: tokio::sync::Mutex<Rendered>,
}

#[derive(Debug, Default)]
struct Rendered {
    /// Pages that somebody reads, in the order of their rendering.
    alive: Vec<Weak<Page>>,
    /// The last one, for as long as somebody waits: its reader may be quicker than those who are to share it.
    newest: Option<Arc<Page>>,
}

/// A question among those that wait.
struct Waiting<'a>(&'a AtomicUsize);

/// A rendered page in pieces; it is freed when its last reader has it.
#[derive(Debug)]
pub struct Page {
    pieces: Mutex<Arc<[Bytes]>>,
    length: u64,
    begun: u64,
    rendered: Instant,
}

/// A reader of a page.
struct Reader {
    page: Arc<Page>,
    next: usize,
    left: u64,
}

impl Pages {
    /// A page that was begun after this call, or one of at most 5 s before while three pages are being read.
    /// `render` gives its pieces; it may be dropped while it waits.
    pub async fn get<F>(&self, render: impl FnOnce() -> F) -> Arc<Page>
    where
        F: Future<Output = Vec<Bytes>>,
    {
        let asked = self.order.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        let mut rendered = self.rendered.lock().await;
        let page = rendered.page(asked, &self.order, render).await;
        drop(waiting);
        let is_awaited = self.waiting.load(Ordering::Relaxed) > 0;
        rendered.newest = is_awaited.then(|| Arc::clone(&page));
        page
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Rendered {
    /// The newest page if that will do for a question of this time, else a new one.
    async fn page<F>(&mut self, asked: u64, order: &AtomicU64, render: impl FnOnce() -> F) -> Arc<Page>
    where
        F: Future<Output = Vec<Bytes>>,
    {
        let alive = &mut self.alive;
        alive.retain(|page| page.strong_count() > 0);
        let newest = alive.last().and_then(Weak::upgrade);
        if let Some(newest) = newest
            && (newest.begun > asked || (alive.len() >= MAX_PAGES && newest.rendered.elapsed() < MAX_AGE))
        {
            return newest;
        }
        if alive.len() >= MAX_PAGES
            && let Some(oldest) = alive.first().and_then(Weak::upgrade)
        {
            oldest.cut();
            alive.remove(0);
        }
        let begun = order.fetch_add(1, Ordering::Relaxed);
        let pieces: Arc<[Bytes]> = render().await.into();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let page = Arc::new(Page { pieces: Mutex::new(pieces), length, begun, rendered: Instant::now() });
        alive.push(Arc::downgrade(&page));
        page
    }
}

impl Page {
    /// A body of the whole page with a known length; pieces are shared between readers.
    pub fn body(self: Arc<Self>) -> Body {
        Body::new(Reader { left: self.length, page: self, next: 0 })
    }

    /// Ends every reader that has not got to the end.
    fn cut(&self) {
        *self.pieces.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    fn piece(&self, at: usize) -> Option<Bytes> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).get(at).cloned()
    }
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Some(piece) = self.page.piece(self.next) else {
            return Poll::Ready(Some(Err(std::io::ErrorKind::TimedOut.into())));
        };
        self.next += 1;
        self.left = self.left.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &Page) -> Vec<u8> {
        page.pieces.lock().unwrap().iter().flat_map(|piece| piece.to_vec()).collect()
    }

    fn pieces(number: usize) -> Vec<Bytes> {
        vec![Bytes::from(format!("page {number}")), Bytes::from_static(b"\n")]
    }

    #[tokio::test]
    async fn all_who_wait_share_one_page_that_is_newer_than_their_question() {
        let (pages, rendered) = (Arc::new(Pages::default()), Arc::new(AtomicUsize::new(0)));
        let (release, gate) = tokio::sync::watch::channel(false);
        let ask = || {
            let (pages, rendered, mut gate) = (Arc::clone(&pages), Arc::clone(&rendered), gate.clone());
            tokio::spawn(async move {
                let render = || async move {
                    let number = rendered.fetch_add(1, Ordering::SeqCst);
                    gate.wait_for(|open| *open).await.unwrap();
                    pieces(number)
                };
                pages.get(render).await
            })
        };
        let first = ask();
        while rendered.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let asked = pages.order.load(Ordering::SeqCst);
        let later: Vec<_> = (0..100).map(|_| ask()).collect();
        while pages.order.load(Ordering::SeqCst) < asked + 100 {
            tokio::task::yield_now().await;
        }
        release.send_replace(true);
        assert_eq!(text(&first.await.unwrap()), b"page 0\n");
        for page in later {
            assert_eq!(text(&page.await.unwrap()), b"page 1\n", "begun after all of them had asked");
        }
        assert_eq!(rendered.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn slow_readers_hold_few_pages() {
        let pages = Pages::default();
        let mut held = Vec::new();
        for number in 0..20 {
            held.push(pages.get(|| async move { pieces(number) }).await);
        }
        let mut distinct: Vec<_> = held.iter().map(Arc::as_ptr).collect();
        distinct.dedup();
        assert_eq!(distinct.len(), MAX_PAGES);
        assert_eq!(text(&held[19]), b"page 2\n", "a recent one");
        drop(held);
        let fresh = pages.get(|| async { pieces(99) }).await;
        assert_eq!(text(&fresh), b"page 99\n");
    }

    #[tokio::test]
    async fn a_reader_of_a_page_that_was_cut_does_not_take_it_for_whole() {
        let pages = Pages::default();
        let page = pages.get(|| async { pieces(1) }).await;
        let mut whole = Reader { left: page.length, page: Arc::clone(&page), next: 0 };
        let mut cut = Reader { left: page.length, page: Arc::clone(&page), next: 0 };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut next = |reader: &mut Reader| Pin::new(reader).poll_frame(&mut context);
        assert!(matches!(next(&mut whole), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(next(&mut whole), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(next(&mut whole), Poll::Ready(None)));
        assert!(matches!(next(&mut cut), Poll::Ready(Some(Ok(_)))));
        page.cut();
        assert!(matches!(next(&mut cut), Poll::Ready(Some(Err(_)))));
    }
}
