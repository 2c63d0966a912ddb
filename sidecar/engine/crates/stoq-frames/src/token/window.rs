//! Which packet numbers were there: a window that moves on (T7).

/// Numbers that are remembered. QUIC's own window has 128 in quinn-proto, so what is below ours is
/// a repetition to it as well.
const SIZE: u64 = 1024;

const WORDS: usize = SIZE as usize / 64;

/// The last 1024 numbers, and which of them were marked.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    /// One more than the highest number that was marked.
    next: u64,
    bits: [u64; WORDS],
}

impl Window {
    /// Whether a number was marked, or is too old to know.
    pub(super) const fn has(&self, number: u64) -> bool {
        if number >= self.next {
            return false;
        }
        let (word, bit) = place(number);
        number + SIZE < self.next || self.bits[word] & bit != 0
    }

    /// Marks a number that [`has`](Self::has) says no to.
    pub(super) fn mark(&mut self, number: u64) {
        if number >= self.next {
            // What the new numbers take the place of is forgotten.
            for skipped in self.next.max((number + 1).saturating_sub(SIZE))..=number {
                let (word, bit) = place(skipped);
                self.bits[word] &= !bit;
            }
            self.next = number + 1;
        }
        let (word, bit) = place(number);
        self.bits[word] |= bit;
    }
}

/// Where a number's bit is.
const fn place(number: u64) -> (usize, u64) {
    ((number % SIZE / 64) as usize, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn a_number_is_new_once(
            steps in proptest::collection::vec((0u64..3000, any::<bool>()), 0..200),
        ) {
            let (mut window, mut marked, mut top) = (Window::default(), HashSet::new(), 0u64);
            for (by, forward) in steps {
                let number = if forward { top + by } else { top.saturating_sub(by) };
                let too_old = !marked.is_empty() && number + SIZE <= top;
                prop_assert_eq!(window.has(number), too_old || marked.contains(&number));
                if !window.has(number) {
                    window.mark(number);
                    marked.insert(number);
                    top = top.max(number);
                }
            }
        }
    }
}
