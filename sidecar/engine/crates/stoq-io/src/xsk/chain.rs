//! Frames that take several chunks of memory: put together as their parts come, and taken apart to be
//! sent (Documentation/networking/af_xdp.rst, multi-buffer). Pure: parts are bytes, wherever they lie.

use crate::counters::XskDrop;

/// Parts of a frame at most: what the kernel takes for one packet (`MAX_SKB_FRAGS` and the first).
pub(crate) const PARTS: usize = 18;

/// What a part made of the frame it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gathered<'a> {
    /// It goes on.
    Begun,
    /// That is all of it.
    Whole(&'a [u8]),
    /// That was all of it, and it is no frame.
    Broken(XskDrop),
}

/// The frame that is coming.
#[derive(Debug)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    parts: usize,
    broken: Option<XskDrop>,
    longest: usize,
}

impl Assembly {
    /// For frames of `longest` bytes at most.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            bytes: Vec::new(),
            parts: 0,
            broken: None,
            longest,
        }
    }

    /// The next part, none where the memory has no such bytes; `continued` unless it is the last one of
    /// its frame. A frame of one part is not copied. Of one that cannot be, nothing is kept, and its
    /// parts are counted off up to the last: the next frame begins behind that.
    pub(crate) fn add<'a>(&'a mut self, part: Option<&'a [u8]>, continued: bool) -> Gathered<'a> {
        if self.parts == 0 {
            match part {
                Some(whole) if !continued => return Gathered::Whole(whole),
                None if !continued => return Gathered::Broken(XskDrop::Memory),
                _ => self.bytes.clear(),
            }
        }
        self.parts = self.parts.saturating_add(1);
        if self.broken.is_none() {
            self.broken = self.append(part).err();
        }
        if continued {
            return Gathered::Begun;
        }
        self.parts = 0;
        match self.broken.take() {
            Some(why) => Gathered::Broken(why),
            None => Gathered::Whole(&self.bytes),
        }
    }

    fn append(&mut self, part: Option<&[u8]>) -> Result<(), XskDrop> {
        let part = part.ok_or(XskDrop::Memory)?;
        if self.parts > PARTS {
            return Err(XskDrop::Parts);
        }
        if part.len() > self.longest.saturating_sub(self.bytes.len()) {
            return Err(XskDrop::Length);
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }
}

/// The parts of a frame, which is `head` and `payload` behind it, for chunks of `chunk` bytes: what each
/// has of the two, and whether another one follows.
pub(crate) fn parts<'a>(
    head: &'a [u8],
    payload: &'a [u8],
    chunk: usize,
) -> impl Iterator<Item = ([&'a [u8]; 2], bool)> {
    let size = head.len() + payload.len();
    let count = size.div_ceil(chunk);
    (0..count).map(move |number| {
        let start = number * chunk;
        let end = size.min(start + chunk);
        let of_head = &head[start.min(head.len())..end.min(head.len())];
        let behind = |at: usize| at.saturating_sub(head.len());
        let of_payload = &payload[behind(start)..behind(end)];
        ([of_head, of_payload], number + 1 < count)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_of_one_part_is_taken_where_it_lies() {
        let mut assembly = Assembly::new(9014);
        let frame = [7; 1514];
        match assembly.add(Some(&frame), false) {
            Gathered::Whole(whole) => assert_eq!(whole.as_ptr(), frame.as_ptr()),
            other => panic!("{other:?}"),
        }
        assert!(assembly.bytes.capacity() == 0, "nothing was copied");
    }

    #[test]
    fn parts_that_come_one_by_one_are_one_frame() {
        let mut assembly = Assembly::new(9014);
        for _ in 0..2 {
            assert_eq!(assembly.add(Some(&[1; 3840]), true), Gathered::Begun);
            assert_eq!(assembly.add(Some(&[2; 3840]), true), Gathered::Begun);
            let whole = [&[1; 3840][..], &[2; 3840], &[3; 1334]].concat();
            let last = assembly.add(Some(&[3; 1334]), false);
            assert_eq!(last, Gathered::Whole(&whole));
        }
    }

    #[test]
    fn a_frame_of_as_many_parts_as_there_may_be_is_whole_and_one_more_breaks_it() {
        for (more, whole) in [(PARTS - 1, true), (PARTS, false), (100_000, false)] {
            let mut assembly = Assembly::new(65_549);
            for _ in 0..more {
                assert_eq!(assembly.add(Some(&[1; 64]), true), Gathered::Begun);
            }
            match assembly.add(Some(&[1; 64]), false) {
                Gathered::Whole(bytes) => assert!(whole && bytes.len() == 64 * PARTS),
                broken => {
                    assert_eq!(broken, Gathered::Broken(XskDrop::Parts));
                    assert!(!whole);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_breaks_its_own_frame_and_not_the_next() {
        let good = [4; 60];
        for (parts, why) in [
            (vec![None], XskDrop::Memory),
            (vec![None, Some(100)], XskDrop::Memory),
            (vec![Some(100), None], XskDrop::Memory),
            (vec![Some(3000), Some(3000), Some(3015)], XskDrop::Length),
            (vec![Some(9015), None, Some(1)], XskDrop::Length),
        ] {
            let mut assembly = Assembly::new(9014);
            let bytes = [1; 9015];
            let last = parts.len() - 1;
            for (number, length) in parts.into_iter().enumerate() {
                let part = length.map(|length| &bytes[..length]);
                let gathered = assembly.add(part, number < last);
                let expected = match number < last {
                    true => Gathered::Begun,
                    false => Gathered::Broken(why),
                };
                assert_eq!(gathered, expected);
            }
            assert_eq!(assembly.add(Some(&good), false), Gathered::Whole(&good));
            assert_eq!(assembly.add(Some(&good), true), Gathered::Begun);
            let twice = [good, good].concat();
            assert_eq!(assembly.add(Some(&good), false), Gathered::Whole(&twice));
        }
    }

    #[test]
    fn a_frame_goes_in_full_chunks_and_the_rest() {
        let (head, payload) = ([1; 62], [2; 8952]);
        let made: Vec<_> = parts(&head, &payload, 4096).collect();
        let sizes: Vec<_> = made
            .iter()
            .map(|([head, payload], more)| (head.len(), payload.len(), *more))
            .collect();
        assert_eq!(sizes, [(62, 4034, true), (0, 4096, true), (0, 822, false)]);
    }

    proptest! {
        #[test]
        fn what_is_taken_apart_is_put_together_again(
            head in 1..80_usize, payload in 0..20_000_usize, chunk in 40..5000_usize
        ) {
            let head: Vec<u8> = (0..head).map(|n| n as u8).collect();
            let payload: Vec<u8> = (0..payload).map(|n| (n * 7) as u8).collect();
            let size = head.len() + payload.len();
            let mut assembly = Assembly::new(size);
            let made: Vec<_> = parts(&head, &payload, chunk).collect();
            prop_assert_eq!(made.len(), size.div_ceil(chunk));
            let few = made.len() <= PARTS;
            for (part, continued) in made {
                let part = part.concat();
                prop_assert!(part.len() == chunk || !continued && part.len() < chunk);
                match assembly.add(Some(&part), continued) {
                    Gathered::Begun => prop_assert!(continued),
                    Gathered::Whole(whole) => {
                        prop_assert!(few && !continued);
                        prop_assert!(whole == [&head[..], &payload].concat());
                    }
                    Gathered::Broken(why) => prop_assert!(!few && why == XskDrop::Parts),
                }
            }
        }

        #[test]
        fn whatever_comes_every_frame_ends_with_its_last_part_and_holds_no_more_than_its_bounds(
            descriptors in proptest::collection::vec(
                (proptest::option::weighted(0.9, 0..4096_usize), any::<bool>()), 1..200
            )
        ) {
            let longest = 9014;
            let mut assembly = Assembly::new(longest);
            let bytes = vec![3; 4096];
            let (mut expected, mut missing, mut count) = (0, false, 0);
            for (length, continued) in descriptors {
                let (part, first) = (length.map(|length| &bytes[..length]), count == 0);
                count += 1;
                missing |= length.is_none();
                expected += length.unwrap_or(0);
                let gathered = assembly.add(part, continued);
                if continued {
                    prop_assert_eq!(gathered, Gathered::Begun);
                    prop_assert!(assembly.bytes.len() <= longest);
                    continue;
                }
                let fits = expected <= longest && count <= PARTS;
                match gathered {
                    Gathered::Begun => prop_assert!(false, "it was the last part"),
                    Gathered::Whole(whole) => {
                        prop_assert!(!missing && (fits || first));
                        prop_assert_eq!(whole.len(), expected);
                    }
                    Gathered::Broken(_) => prop_assert!(missing || !fits),
                }
                (expected, missing, count) = (0, false, 0);
            }
        }
    }
}
