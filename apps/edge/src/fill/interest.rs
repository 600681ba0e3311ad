//! Whether anyone still waits for an answer: what the plane does for one exchange alone ends when
//! that exchange does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The exchange's end: while it lives, the answer is waited for.
pub struct Interest(Asker);

/// The plane's end.
#[derive(Clone)]
pub struct Asker(Arc<State>);

#[derive(Default)]
struct State {
    gone: AtomicBool,
    news: Notify,
}

impl Interest {
    /// Somebody waits from now on.
    #[must_use]
    pub fn new() -> Self {
        Self(Asker(Arc::default()))
    }

    /// For the plane.
    #[must_use]
    pub fn asker(&self) -> Asker {
        self.0.clone()
    }
}

impl Default for Interest {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.0.gone.store(true, Ordering::Release);
        self.0.0.news.notify_waiters();
    }
}

impl Asker {
    /// Nobody waits any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }

    /// Returns when nobody waits any more.
    pub async fn gone(&self) {
        loop {
            // Made before the look, so that what comes between is heard.
            let news = self.0.news.notified();
            if self.is_gone() {
                return;
            }
            news.await;
        }
    }
}
