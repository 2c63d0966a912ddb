//! Delivery-rate samples: draft-ietf-ccwg-bbr, section 4.1.2.
//!
//! The draft keeps its snapshots in each packet. quinn-proto shows a controller no packets, but it
//! gives every packet of one transmit the same send time and names that time when the packet is
//! acknowledged or lost. So the snapshots are kept per send time, and sends that follow each other
//! within a 256th of the smallest round trip share one.

mod sample;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(crate) use sample::{LossSample, RateSample};

/// Send times remembered at most (96 bytes each). One round trip has at most [`PER_ROUND`], and
/// they are kept for two.
const MOST_RECORDS: usize = 1024;

/// The same with nothing in flight, when they can only be ACKs of ours or very small messages: an
/// idle connection holds 1.5 KB.
const IDLE_RECORDS: usize = 16;

/// Send times told apart within one smallest round trip: the rate is off by at most 1/256.
const PER_ROUND: u32 = 256;

/// Bytes. A send below this may be a mere ACK, which is never acknowledged and so must not count
/// as in flight; if it does hold data, the next ACK sets the count right.
const MAYBE_ONLY_ACKS: u64 = 128;

/// What was known when data was sent: the draft's per-packet state (4.1.2.1.2).
#[derive(Debug, Clone, Copy)]
struct Record {
    sent: Instant,
    delivered: u64,
    delivered_time: Instant,
    first_send_time: Instant,
    app_limited: bool,
    tx_in_flight: u64,
    lost: u64,
}

/// The connection's side of the sampling (4.1.2.1.1).
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    records: VecDeque<Record>,
    delivered: u64,
    delivered_time: Instant,
    first_send_time: Instant,
    lost: u64,
    in_flight: u64,
    /// See [`Sampler::in_flight_at_most`].
    in_flight_at_most: u64,
    /// End of the application-limited bubble in `delivered`; 0: none.
    app_limited: u64,
    /// When the newest packet was sent of the ACK that is being taken in.
    newest: Option<Instant>,
    newly_acked: u64,
}

impl Sampler {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            records: VecDeque::new(),
            delivered: 0,
            delivered_time: now,
            first_send_time: now,
            lost: 0,
            in_flight: 0,
            in_flight_at_most: 0,
            app_limited: 0,
            newest: None,
            newly_acked: 0,
        }
    }

    /// Bytes in flight as far as is known between two ACKs.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The same with everything counted that was sent since, also what may be only ACKs: never less
    /// than quinn-proto counts.
    pub(crate) fn in_flight_at_most(&self) -> u64 {
        self.in_flight_at_most
    }

    /// Bytes that the ACK which is being taken in has acknowledged so far.
    pub(crate) fn newly_acked(&self) -> u64 {
        self.newly_acked
    }

    /// Whether the application is the limit.
    pub(crate) fn is_app_limited(&self) -> bool {
        self.app_limited != 0
    }

    /// 4.1.2.2, OnPacketSent, for everything that one transmit sends.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: u64, min_rtt: Duration) {
        if self.in_flight == 0 {
            self.first_send_time = now;
            self.delivered_time = now;
        }
        if bytes >= MAYBE_ONLY_ACKS {
            self.in_flight += bytes;
        }
        self.in_flight_at_most += bytes;
        if let Some(last) = self.records.back_mut()
            && now.saturating_duration_since(last.sent) <= min_rtt / PER_ROUND
        {
            last.tx_in_flight = self.in_flight;
            return;
        }
        let most = if self.in_flight == 0 {
            IDLE_RECORDS
        } else {
            MOST_RECORDS
        };
        if self.records.len() >= most {
            self.records.pop_front();
        }
        self.records.push_back(Record {
            sent: now,
            delivered: self.delivered,
            delivered_time: self.delivered_time,
            first_send_time: self.first_send_time,
            app_limited: self.is_app_limited(),
            tx_in_flight: self.in_flight,
            lost: self.lost,
        });
    }

    /// 4.1.2.3, UpdateRateSample, for one acknowledged packet.
    pub(crate) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.delivered += bytes;
        self.delivered_time = now;
        self.newly_acked += bytes;
        // Only the newest packet's record tells anything: it is looked for when the ACK is complete.
        self.newest = self.newest.max(Some(sent));
    }

    /// 4.1.2.3, GenerateRateSample. `None` when the ACK held nothing that was remembered.
    pub(crate) fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        min_rtt: Duration,
    ) -> Option<RateSample> {
        self.in_flight = in_flight;
        self.in_flight_at_most = in_flight;
        if app_limited {
            self.mark_app_limited();
        }
        if self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let newly_acked = std::mem::take(&mut self.newly_acked);
        let sent = self.newest.take()?;
        let record = self.record(sent)?;
        self.first_send_time = self.first_send_time.max(record.sent);
        let rtt = now.saturating_duration_since(sent);
        if in_flight == 0 {
            self.records.clear();
            self.records.shrink_to(IDLE_RECORDS);
        }
        self.forget(record.sent, rtt);
        let send_elapsed = record
            .sent
            .saturating_duration_since(record.first_send_time);
        let ack_elapsed = now.saturating_duration_since(record.delivered_time);
        let interval = send_elapsed.max(ack_elapsed);
        let delivered = self.delivered - record.delivered;
        let reliable = interval >= min_rtt && !interval.is_zero();
        Some(RateSample {
            rate: reliable.then(|| (delivered as f64 / interval.as_secs_f64()) as u64),
            delivered,
            prior_delivered: record.delivered,
            total_delivered: self.delivered,
            newly_acked,
            in_flight,
            tx_in_flight: record.tx_in_flight,
            lost: self.lost - record.lost,
            rtt,
            app_limited: record.app_limited,
        })
    }

    /// Packets were found lost, the newest of them sent at `sent`. `bytes` is 0 for an ECN mark.
    pub(crate) fn on_lost(&mut self, sent: Instant, bytes: u64) -> LossSample {
        self.lost += bytes;
        self.in_flight = self.in_flight.saturating_sub(bytes);
        self.in_flight_at_most = self.in_flight_at_most.saturating_sub(bytes);
        let record = self.record(sent);
        LossSample {
            size: bytes,
            tx_in_flight: record.map_or(self.in_flight + bytes, |record| record.tx_in_flight),
            lost: record.map_or(bytes, |record| self.lost - record.lost),
            app_limited: record.is_some_and(|record| record.app_limited),
            total_delivered: self.delivered,
        }
    }

    /// 4.1.2.4, MarkConnectionAppLimited.
    pub(crate) fn mark_app_limited(&mut self) {
        self.app_limited = (self.delivered + self.in_flight).max(1);
    }

    /// The snapshot that a packet sent at `sent` belongs to.
    fn record(&self, sent: Instant) -> Option<Record> {
        let after = self.records.partition_point(|record| record.sent <= sent);
        self.records.get(after.checked_sub(1)?).copied()
    }

    /// Whatever was sent more than a round trip before the newest acknowledged packet is
    /// acknowledged or lost by now (RFC 9002, 6.1.2: 9/8 of a round trip).
    fn forget(&mut self, sent: Instant, rtt: Duration) {
        while let Some(next) = self.records.get(1)
            && next.sent + rtt < sent
        {
            self.records.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
