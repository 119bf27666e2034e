//! Something that waits until the test says so.

use tokio::sync::watch;

/// Closed until it is opened; clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    open: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { open: watch::Sender::new(false) }
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    pub(crate) async fn passed(&self) {
        let mut open = self.open.subscribe();
        // The sender is `self`: it cannot be gone.
        let _ = open.wait_for(|open| *open).await;
    }
}
