//! How many packets a connection gets each time its worker wakes up for it: what batching is worth.

use std::time::Instant;

/// Weight of the last turn, as of a sample of jitter (RFC 3550, 6.4.1).
const WEIGHT: f64 = 1.0 / 16.0;

/// Packets of a turn, smoothed over turns that brought any.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wakes {
    /// The turn that is counted, which is known by the time that it began.
    turn: Option<Instant>,
    packets: u32,
    smoothed: Option<f64>,
}

impl Wakes {
    /// Takes in a packet of the turn that began at `turn`.
    pub(super) fn on_packet(&mut self, turn: Instant) {
        if self.turn != Some(turn) {
            self.smoothed = self.per_turn();
            self.turn = Some(turn);
            self.packets = 0;
        }
        self.packets = self.packets.saturating_add(1);
    }

    /// Packets of a turn, the present one included; none before the first packet.
    pub(super) fn per_turn(&self) -> Option<f64> {
        self.turn?;
        let last = f64::from(self.packets);
        Some(
            self.smoothed
                .map_or(last, |before| before + (last - before) * WEIGHT),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(turns: &[u32]) -> Option<f64> {
        let (mut wakes, mut turn) = (Wakes::default(), Instant::now());
        for packets in turns {
            turn += Duration::from_millis(1);
            (0..*packets).for_each(|_| wakes.on_packet(turn));
        }
        wakes.per_turn()
    }

    #[test]
    fn nothing_is_told_before_the_first_packet() {
        assert_eq!(after(&[]), None);
    }

    #[test]
    fn the_first_turn_is_taken_as_it_is() {
        assert_eq!(after(&[5]), Some(5.0));
    }

    #[test]
    fn each_further_turn_moves_it_by_a_sixteenth() {
        assert_eq!(after(&[16, 32]), Some(17.0));
    }

    #[test]
    fn turns_without_a_packet_count_for_nothing() {
        assert_eq!(after(&[8, 0, 0, 8]), Some(8.0));
    }

    #[test]
    fn a_lasting_change_is_followed() {
        let told = after(&[&[1; 20][..], &[40; 200][..]].concat()).unwrap();
        assert!((39.9..=40.0).contains(&told), "{told}");
    }
}
