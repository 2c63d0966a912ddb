//! Messages that wait until their stream takes them.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// In order, with what each counts for until it is written.
#[derive(Debug, Default)]
pub(super) struct Unsent(VecDeque<(Bytes, usize)>);

impl Unsent {
    /// One more; it counts for so many bytes.
    pub(super) fn push(&mut self, message: Bytes, counts: usize) {
        self.0.push_back((message, counts));
    }

    /// What is to be written next; never empty.
    pub(super) fn next(&self) -> Option<&Bytes> {
        self.0.front().map(|(message, _)| message)
    }

    /// So many bytes of [`Unsent::next`] were written: what no longer counts. The memory of a message is
    /// free when all of it is.
    pub(super) fn written(&mut self, bytes: usize) -> usize {
        let Some((message, _)) = self.0.front_mut() else {
            return 0;
        };
        message.advance(bytes);
        match message.is_empty() {
            true => self.0.pop_front().map_or(0, |(_, counts)| counts),
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_until_all_of_it_is_written_and_no_longer() {
        let mut unsent = Unsent::default();
        unsent.push(Bytes::from_static(b"head"), 0);
        unsent.push(Bytes::from_static(b"first"), 100);
        unsent.push(Bytes::from_static(b"second"), 200);
        assert_eq!(unsent.written(4), 0);
        assert_eq!(unsent.written(3), 0);
        assert_eq!(&unsent.next().unwrap()[..], b"st");
        assert_eq!(unsent.written(2), 100, "though more waits");
        assert_eq!(unsent.written(6), 200);
        assert_eq!(unsent.next(), None);
        assert_eq!(unsent.written(0), 0);
    }
}
