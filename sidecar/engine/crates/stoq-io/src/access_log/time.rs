//! Time stamps as RFC 3339 writes them, in UTC with microseconds.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;

/// Shows a time as `2026-01-31T23:59:59.000001Z`; times before 1970 as 1970.
pub(crate) struct Rfc3339(pub(crate) SystemTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (
            since.as_secs() / SECONDS_PER_DAY,
            since.as_secs() % SECONDS_PER_DAY,
        );
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let micros = since.subsec_micros();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
        )
    }
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
///
/// Counted from 1 March of year 0, so that a leap day ends its year: then 400
/// years have 146,097 days, and five months in turn have 153.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_MARCH_0: u64 = 719_468;
    let days = days + DAYS_FROM_MARCH_0;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shown(seconds: u64, micros: u32) -> String {
        Rfc3339(UNIX_EPOCH + Duration::new(seconds, micros * 1000)).to_string()
    }

    #[test]
    fn times_are_shown_in_utc_with_microseconds() {
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(1_000_000_000, 7), "2001-09-09T01:46:40.000007Z");
        assert_eq!(shown(1_767_225_599, 999_999), "2025-12-31T23:59:59.999999Z");
    }

    #[test]
    fn leap_days_are_where_the_calendar_puts_them() {
        assert_eq!(shown(951_782_400, 0), "2000-02-29T00:00:00.000000Z");
        assert_eq!(shown(1_709_164_800, 0), "2024-02-29T00:00:00.000000Z");
        assert_eq!(shown(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn a_day_follows_the_one_before_it_for_400_years() {
        let mut last = civil(0);
        for days in 1..146_097 {
            let next = civil(days);
            let first_of_month = next.2 == 1 && last.2 >= 28;
            assert!(next.2 == last.2 + 1 || first_of_month, "{last:?} {next:?}");
            last = next;
        }
    }

    #[test]
    fn a_time_before_1970_is_shown_as_1970() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Rfc3339(before).to_string(), "1970-01-01T00:00:00.000000Z");
    }
}
