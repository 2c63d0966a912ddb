//! Tokens on a stream, the side that sends (T2 to T4).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use stoq_wire::frame::Frame;
use stoq_wire::frame::token::{MAX_COVERED, StreamForm, StreamToken, Token};

use super::TokenKey;

/// Puts a token before each message, or before each so many bytes, of one direction of a stream.
#[derive(Debug)]
pub struct TokenWriter {
    key: TokenKey,
    stream: u64,
    form: StreamForm,
    /// Bytes that a token covers: at most in form 1, exactly in form 2.
    interval: usize,
    sequence: u64,
    /// Of form 2: what is not a whole interval yet.
    waiting: BytesMut,
}

impl TokenWriter {
    /// A token for each call of [`push`](Self::push), and more for a longer message.
    #[must_use]
    pub fn by_message(key: TokenKey, stream: u64) -> Self {
        Self::new(key, stream, StreamForm::Message, MAX_COVERED)
    }

    /// A token for each `interval` bytes, held between 1 and [`MAX_COVERED`].
    #[must_use]
    pub fn by_interval(key: TokenKey, stream: u64, interval: u64) -> Self {
        Self::new(
            key,
            stream,
            StreamForm::Interval,
            interval.clamp(1, MAX_COVERED),
        )
    }

    fn new(key: TokenKey, stream: u64, form: StreamForm, interval: u64) -> Self {
        Self {
            key,
            stream,
            form,
            interval: interval as usize,
            sequence: 0,
            waiting: BytesMut::new(),
        }
    }

    /// What goes on the stream for `data`: frames and what they cover, in order.
    pub fn push(&mut self, mut data: Bytes) -> VecDeque<Bytes> {
        let mut out = VecDeque::new();
        if self.form == StreamForm::Interval {
            if !self.waiting.is_empty() {
                let missing = self.interval - self.waiting.len();
                self.waiting
                    .extend_from_slice(&data.split_to(missing.min(data.len())));
                if self.waiting.len() == self.interval {
                    let whole = self.waiting.split().freeze();
                    self.cover(whole, &mut out);
                }
            }
            while data.len() >= self.interval {
                let whole = data.split_to(self.interval);
                self.cover(whole, &mut out);
            }
            self.waiting.extend_from_slice(&data);
            return out;
        }
        while !data.is_empty() {
            let part = data.split_to(self.interval.min(data.len()));
            self.cover(part, &mut out);
        }
        out
    }

    /// What goes on the stream before its end.
    pub fn finish(&mut self) -> VecDeque<Bytes> {
        let mut out = VecDeque::new();
        let last = self.waiting.split().freeze();
        if !last.is_empty() {
            self.cover(last, &mut out);
        }
        out
    }

    fn cover(&mut self, data: Bytes, out: &mut VecDeque<Bytes>) {
        let (form, sequence) = (self.form, self.sequence);
        let token = StreamToken {
            form,
            sequence,
            length: data.len() as u64,
            tag: self.key.tag(form.of_all(), self.stream, sequence, &data),
        };
        let mut frame = Vec::with_capacity(64);
        Frame::Token(Token::Stream(token))
            .encode(&mut frame)
            .expect("its length is within the limit");
        self.sequence += 1;
        out.extend([Bytes::from(frame), data]);
    }
}
