//! What is counted of copies of flows.

use super::{Counters, add};

impl Counters {
    /// A shadow has taken a copy whole.
    pub fn mirror_sent(&self) {
        add(&self.values.mirrors_sent, 1);
    }

    /// So many bytes of a copy went to a shadow.
    pub fn mirrored(&self, bytes: u64) {
        add(&self.values.mirrors_sent_bytes, bytes);
    }

    /// A copy was given up because it did not fit its queue.
    pub fn mirror_dropped(&self) {
        add(&self.values.mirrors_dropped, 1);
    }

    /// A copy was not begun.
    pub fn mirror_skipped(&self) {
        add(&self.values.mirrors_skipped, 1);
    }

    /// A copy ended because of its shadow.
    pub fn mirror_failed(&self) {
        add(&self.values.mirrors_failed, 1);
    }

    /// A peer's copy was handed to the application.
    pub fn mirror_received(&self) {
        add(&self.values.mirrors_received, 1);
    }
}
