//! What is copied of what an application says (`docs/wire-format.md`, section 15).
//!
//! A piece is copied once the original's stream has taken it whole. The copy has memory of its own:
//! a shadow that is slow keeps no block of the pool that originals are read into.

use bytes::Bytes;

use crate::worker::PeerKey;

/// One copy of a flow.
#[derive(Debug)]
pub(crate) struct Copy {
    /// Who gets it.
    pub(crate) peer: PeerKey,
    /// Its number in that peer's queue.
    pub(crate) number: u64,
}

/// The copies of one flow, and what is to be added to them.
#[derive(Debug)]
pub(crate) struct Tee {
    /// Offered to the original's stream, and not yet taken whole.
    offered: Bytes,
    taken: Vec<Bytes>,
    /// The copies that go on.
    pub(crate) copies: Vec<Copy>,
}

impl Tee {
    /// Of a flow with these copies.
    pub(crate) fn new(copies: Vec<Copy>) -> Self {
        Self {
            offered: Bytes::new(),
            taken: Vec::new(),
            copies,
        }
    }

    /// The original's stream is offered this next.
    pub(super) fn offer(&mut self, data: Bytes) {
        self.offered = data;
    }

    /// It has taken all that it was offered.
    pub(super) fn taken(&mut self) {
        if !self.offered.is_empty() {
            self.taken.push(Bytes::copy_from_slice(&self.offered));
            self.offered = Bytes::new();
        }
    }

    /// What was taken since the last time.
    pub(crate) fn drain(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_copied_when_the_original_has_taken_it_and_once() {
        let mut tee = Tee::new(Vec::new());
        let said = Bytes::from_static(b"said");
        tee.offer(said.clone());
        assert_eq!(tee.drain(), Vec::<Bytes>::new());
        tee.taken();
        tee.taken();
        let copied = tee.drain();
        assert_eq!(copied, [&said]);
        assert_ne!(copied[0].as_ptr(), said.as_ptr());
        assert_eq!(tee.drain(), Vec::<Bytes>::new());
    }
}
