//! A queue, with the kernel's ends of its rings played by the test.

use std::fs::File;
use std::os::fd::FromRawFd;

use super::*;

const RING: u32 = 8;
const CHUNK: u32 = 2048;
const AT: Offsets = Offsets {
    producer: 0,
    consumer: 64,
    flags: 128,
    entries: 192,
};

/// The other side.
struct Kernel {
    fill: Consumer<u64>,
    completion: Producer<u64>,
    incoming: Producer<Descriptor>,
    outgoing: Consumer<Descriptor>,
    memory: Mapping,
}

fn file(length: u64) -> OwnedFd {
    // SAFETY: the name is static and ends with a zero; the descriptor is new and ours.
    let file = unsafe {
        OwnedFd::from_raw_fd(libc::memfd_create(
            c"queue".as_ptr(),
            libc::MFD_ALLOW_SEALING,
        ))
    };
    let file = File::from(file);
    file.set_len(length).unwrap();
    // SAFETY: no pointers, and the descriptor is open.
    let sealed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK) };
    assert_eq!(sealed, 0);
    file.into()
}

/// Both ends of a ring.
fn ring<T: Entry>() -> (Producer<T>, Consumer<T>) {
    let mapping = Arc::new(Mapping::of(&file(4096), 0, 4096).unwrap());
    let producer = Producer::new(Arc::clone(&mapping), AT, RING).unwrap();
    (producer, Consumer::new(mapping, AT, RING).unwrap())
}

fn queue(longest: usize) -> (Queue, Kernel) {
    let size = 2 * RING as usize * CHUNK as usize;
    let memory = file(size as u64);
    let (fill, completion, incoming, outgoing) = (ring(), ring(), ring(), ring());
    let queue = Queue {
        socket: file(1),
        umem: Umem::of(&memory, RING, CHUNK).unwrap(),
        fill: fill.0,
        completion: completion.1,
        incoming: incoming.1,
        outgoing: outgoing.0,
        assembly: Assembly::new(longest),
        missed: Missed::default(),
        taken: false,
        readable: true,
    };
    let kernel = Kernel {
        fill: fill.1,
        completion: completion.0,
        incoming: incoming.0,
        outgoing: outgoing.1,
        memory: Mapping::of(&memory, 0, size).unwrap(),
    };
    (queue, kernel)
}

impl Kernel {
    fn bytes(&mut self, address: u64, length: u32) -> &mut [u8] {
        let length = length as usize;
        let start = self.memory.place::<u8>(address as usize, length).unwrap();
        // SAFETY: within the mapping; the test has one thread, and the queue's end is not in use meanwhile.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), length) }
    }

    /// Puts parts of a frame into chunks from `first` on.
    fn deliver(&mut self, first: u64, parts: &[(&[u8], bool)]) {
        for (number, (part, continued)) in (first..).zip(parts) {
            let address = number * u64::from(CHUNK) + 256;
            let length = part.len() as u32;
            self.bytes(address, length).copy_from_slice(part);
            self.describe(address, length, *continued);
        }
        self.incoming.commit();
    }

    fn describe(&mut self, address: u64, length: u32, continued: bool) {
        let options = u32::from(continued);
        assert!(self.incoming.put(Descriptor {
            address,
            length,
            options
        }));
    }

    /// The chunks that were given back, by number.
    fn filled(&mut self) -> Vec<u64> {
        let found = std::iter::from_fn(|| self.fill.take()).map(|at| at / u64::from(CHUNK));
        let found = found.collect();
        self.fill.commit();
        found
    }

    /// The frames that were sent, each with its chunks; then they are the queue's again.
    fn sent(&mut self) -> Vec<(Vec<u8>, usize)> {
        let (mut frames, mut frame, mut chunks) = (Vec::new(), Vec::new(), 0);
        while let Some(part) = self.outgoing.take() {
            frame.extend_from_slice(self.bytes(part.address, part.length));
            chunks += 1;
            assert!(self.completion.put(part.address));
            if part.options == 0 {
                frames.push((std::mem::take(&mut frame), std::mem::take(&mut chunks)));
            }
        }
        assert!(frame.is_empty(), "a frame without its last part");
        self.outgoing.commit();
        self.completion.commit();
        frames
    }
}

fn read(queue: &mut Queue) -> Option<Result<Vec<u8>, XskDrop>> {
    queue.next(<[u8]>::to_vec)
}

#[test]
fn a_frame_in_several_chunks_is_read_whole_and_its_chunks_are_given_back() {
    let (mut queue, mut kernel) = queue(5000);
    let (first, second, third) = ([1; 1792], [2; 1792], [3; 1000]);
    let parts: [(&[u8], bool); 3] = [(&first, true), (&second, true), (&third, false)];
    kernel.deliver(0, &parts);
    kernel.deliver(3, &[(&[4; 60], false)]);
    let whole = [&first[..], &second, &third].concat();
    assert_eq!(read(&mut queue), Some(Ok(whole)));
    assert_eq!(read(&mut queue), Some(Ok(vec![4; 60])));
    assert_eq!(read(&mut queue), None);
    assert!(kernel.filled().is_empty(), "until it is told");
    queue.settle();
    assert_eq!(kernel.filled(), [0, 1, 2, 3]);
}

#[test]
fn a_frame_whose_last_part_is_missing_is_waited_for_and_keeps_no_chunk() {
    let (mut queue, mut kernel) = queue(5000);
    kernel.deliver(0, &[(&[1; 1792], true), (&[2; 1792], true)]);
    assert_eq!(read(&mut queue), None);
    queue.settle();
    assert_eq!(kernel.filled(), [0, 1]);
    kernel.deliver(0, &[(&[3; 10], false)]);
    let whole = [&[1; 1792][..], &[2; 1792], &[3; 10]].concat();
    assert_eq!(read(&mut queue), Some(Ok(whole)));
    queue.settle();
    assert_eq!(kernel.filled(), [0]);
}

#[test]
fn a_frame_that_cannot_be_costs_nothing_but_itself() {
    let (mut queue, mut kernel) = queue(3000);
    let outside = 16 * u64::from(CHUNK);
    kernel.deliver(0, &[(&[1; 60], true)]);
    kernel.describe(outside, 60, true);
    kernel.deliver(1, &[(&[1; 60], false), (&[5; 60], false)]);
    assert_eq!(read(&mut queue), Some(Err(XskDrop::Memory)));
    assert_eq!(read(&mut queue), Some(Ok(vec![5; 60])));
    kernel.deliver(
        3,
        &[(&[1; 1792], true), (&[1; 1792], false), (&[6; 60], false)],
    );
    assert_eq!(read(&mut queue), Some(Err(XskDrop::Length)));
    assert_eq!(read(&mut queue), Some(Ok(vec![6; 60])));
    queue.settle();
    assert_eq!(kernel.filled(), [0, 16, 1, 2, 3, 4, 5]);
}

#[test]
fn parts_without_an_end_are_given_up_and_their_chunks_are_not() {
    let (mut queue, mut kernel) = queue(65_549);
    for _ in 0..100 {
        kernel.deliver(0, &[(&[1; 1792], true), (&[1; 1792], true)]);
        assert_eq!(read(&mut queue), None);
        queue.settle();
        assert_eq!(kernel.filled(), [0, 1]);
    }
    kernel.deliver(0, &[(&[1; 1792], false), (&[7; 60], false)]);
    assert_eq!(read(&mut queue), Some(Err(XskDrop::Parts)));
    assert_eq!(read(&mut queue), Some(Ok(vec![7; 60])));
}

#[test]
fn a_ring_that_is_too_full_for_all_of_a_frame_takes_no_part_of_it() {
    let (mut queue, mut kernel) = queue(5000);
    let (head, payload) = ([8; 62], [9; 4500]);
    let whole = [&head[..], &payload].concat();
    for _ in 0..3 {
        // Eight chunks: two frames of three leave room for a small one, and for no third.
        assert!(queue.put_scattered(&head, &payload));
        assert!(queue.put_scattered(&head, &payload));
        assert!(!queue.put_scattered(&head, &payload));
        assert!(queue.put(|space| {
            space[..60].fill(7);
            Some(60)
        }));
        assert!(!queue.put_scattered(&head, &payload[..3000]));
        queue.flush().unwrap();
        let small = (vec![7; 60], 1);
        let expected = [(whole.clone(), 3), (whole.clone(), 3), small];
        assert_eq!(kernel.sent(), expected);
    }
}
