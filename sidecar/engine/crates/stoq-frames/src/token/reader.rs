//! Tokens on a stream, the side that receives (T1 to T4).

use std::mem;

use bytes::{Bytes, BytesMut};
use stoq_wire::frame::Frame;
use stoq_wire::frame::token::{StreamForm, StreamToken, Token};

use super::key::Tagging;
use super::{TokenFault, TokenKey};

/// Takes the tokens off one direction of a stream, and gives what they cover once it is verified.
///
/// Keeps at most what one token covers, 64 KiB.
pub struct TokenReader {
    key: TokenKey,
    stream: u64,
    /// Sequence that is due.
    due: u64,
    /// Form and length of the first token.
    first: Option<(StreamForm, u64)>,
    /// Of form 2: a token covered less than an interval, so it was the last.
    short: bool,
    state: State,
}

enum State {
    /// A token is due; the bytes of it so far.
    Token(BytesMut),
    /// What a token covers is due.
    Covered {
        token: StreamToken,
        tagging: Tagging,
        left: usize,
        parts: Vec<Bytes>,
    },
}

impl TokenReader {
    /// With the key of the peer's direction, for one stream.
    #[must_use]
    pub fn new(key: TokenKey, stream: u64) -> Self {
        let state = State::Token(BytesMut::new());
        Self {
            key,
            stream,
            due: 0,
            first: None,
            short: false,
            state,
        }
    }

    /// Takes what came on the stream, and gives what is verified by now, in order.
    ///
    /// # Errors
    /// [`TokenFault`]: nothing that is not verified was given, and nothing more is.
    pub fn push(&mut self, mut data: Bytes) -> Result<Vec<Bytes>, TokenFault> {
        let mut verified = Vec::new();
        while !data.is_empty() {
            match mem::replace(&mut self.state, State::Token(BytesMut::new())) {
                State::Token(so_far) => self.read_token(so_far, &mut data)?,
                State::Covered {
                    token,
                    mut tagging,
                    mut left,
                    mut parts,
                } => {
                    let part = data.split_to(left.min(data.len()));
                    tagging.add(&part);
                    left -= part.len();
                    parts.push(part);
                    if parts.len() == MAX_PARTS {
                        parts = vec![Bytes::from(parts.concat())];
                    }
                    if left > 0 {
                        self.state = State::Covered {
                            token,
                            tagging,
                            left,
                            parts,
                        };
                    } else if tagging.is(&token.tag) {
                        verified.append(&mut parts);
                    } else {
                        return Err(TokenFault::Forged(token.sequence));
                    }
                }
            }
        }
        Ok(verified)
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`TokenFault::Cut`] where a token, or what it covers, is not whole.
    pub fn finish(&self) -> Result<(), TokenFault> {
        match &self.state {
            State::Token(so_far) if so_far.is_empty() => Ok(()),
            State::Token(_) => Err(TokenFault::Cut(self.due)),
            State::Covered { token, .. } => Err(TokenFault::Cut(token.sequence)),
        }
    }

    /// Copies what may still be of the token, some 50 bytes; what it covers is not copied.
    fn read_token(&mut self, mut so_far: BytesMut, data: &mut Bytes) -> Result<(), TokenFault> {
        let before = so_far.len();
        so_far.extend_from_slice(&data[..data.len().min(MAX_TOKEN_LEN - before)]);
        let Some((frame, used)) = Frame::decode(&so_far)? else {
            if so_far.len() == MAX_TOKEN_LEN {
                return Err(TokenFault::Other("longer"));
            }
            let _taken = data.split_to(so_far.len() - before);
            self.state = State::Token(so_far);
            return Ok(());
        };
        let token = match frame {
            Frame::Token(Token::Stream(token)) => token,
            Frame::Token(Token::Packet(_)) => return Err(TokenFault::Other("packet's TOKEN")),
            other => return Err(TokenFault::Other(other.kind().name())),
        };
        let _taken = data.split_to(used - before);
        self.admit(&token)?;
        let form = token.form.of_all();
        let tagging = self
            .key
            .begin(form, self.stream, token.sequence, token.length);
        let left = token.length as usize;
        self.state = State::Covered {
            token,
            tagging,
            left,
            parts: Vec::new(),
        };
        Ok(())
    }

    /// Holds a token against those before it.
    fn admit(&mut self, token: &StreamToken) -> Result<(), TokenFault> {
        let (sequence, length, expected) = (token.sequence, token.length, self.due);
        if sequence < expected {
            return Err(TokenFault::Replayed {
                expected,
                found: sequence,
            });
        }
        if sequence > expected {
            return Err(TokenFault::Gap {
                expected,
                found: sequence,
            });
        }
        let (form, interval) = *self.first.get_or_insert((token.form, length));
        if token.form != form {
            return Err(TokenFault::Form(sequence));
        }
        if form == StreamForm::Interval {
            if self.short || length > interval {
                return Err(TokenFault::Interval {
                    sequence,
                    length,
                    interval,
                });
            }
            self.short = length < interval;
        }
        self.due += 1;
        Ok(())
    }
}

/// Pieces that are kept as they came: each may hold a buffer that is much larger.
const MAX_PARTS: usize = 64;

/// At least as many bytes as a token on a stream has: type, form, sequence, length, tag.
const MAX_TOKEN_LEN: usize = 8 + 1 + 8 + 8 + 32;
