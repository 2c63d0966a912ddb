//! Shards on their way to the engine's transfers, by streams and datagrams.

use std::sync::Arc;
use std::time::Instant;

use stoq_wire::frame::shard::{Shard, ShardBody};

use super::super::Worker;
use crate::api::ApiEvent;
use crate::objects::{Asked, From, NotTaken, Proof, Taken, Terms};

/// How a shard came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Way<'a> {
    /// As a part of a copy of what is for this identity.
    pub(super) copy_of: Option<&'a str>,
    /// On the stream where its transfer was asked for.
    pub(super) asked: Option<&'a Asked>,
    /// Behind the signature of its manifest.
    pub(super) proof: Option<&'a Arc<Proof>>,
}

impl Worker {
    /// Hands a shard to the engine's transfers; none when the connection is not authenticated.
    pub(super) fn put_shard(
        &mut self,
        index: usize,
        shard: Shard,
        way: Way<'_>,
        now: Instant,
    ) -> Option<Result<Taken, NotTaken>> {
        let evidence = self.links[index].as_ref()?.evidence.clone()?;
        let sender = &evidence.peer.as_ref()?.spiffe;
        let begins = matches!(shard.body, ShardBody::Manifest(_));
        let token = way.asked.map(|asked| asked.token);
        let token = token.unwrap_or_else(|| self.shared.api.token());
        let from = From {
            sender,
            copy_of: way.copy_of,
            asked: way.asked.map(|asked| Terms {
                signer: asked.signer.as_ref(),
            }),
            proof: way.proof,
            trusts: &|proof| self.shared.signatures.stands(&self.shared.tls, proof),
        };
        let taken = self.shared.objects.take(from, shard, token, now);
        match &taken {
            Ok(Taken::Kept) => {
                self.counters().shard_taken();
                if begins {
                    self.transfers_changed();
                }
            }
            Ok(Taken::Whole) => {
                self.counters().shard_taken();
                self.counters().object_received();
                if way.copy_of.is_some() {
                    self.counters().mirror_received();
                }
                self.shared.api.publish(ApiEvent::Object(token));
                self.transfers_changed();
            }
            Ok(Taken::Repeated) => self.counters().shard_repeated(),
            Ok(Taken::Early | Taken::NoRoom) => {}
            // A transfer that has failed may have streams of other connections.
            Err(refused) if refused.is_fatal() || *refused == NotTaken::Unsigned => {
                self.transfers_changed()
            }
            Err(_) => {}
        }
        Some(taken)
    }

    /// A shard in a datagram: dropped and counted unless it can be kept now (D2, D9, E6).
    pub(in super::super) fn shard_datagram(&mut self, index: usize, shard: Shard, now: Instant) {
        let taken = self.put_shard(index, shard, Way::default(), now);
        if !matches!(
            taken,
            Some(Ok(Taken::Kept | Taken::Whole | Taken::Repeated))
        ) {
            self.counters().shard_dropped();
        }
    }
}
