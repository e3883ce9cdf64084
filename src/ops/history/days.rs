//! How often keys were refreshed on each of the last days, in the days of UTC.

use jiff::Timestamp;

use super::{Action, Event};

/// The seconds of a day.
const DAY: i64 = 86_400;

/// Counts the refreshes of each day, those that failed apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    first: i64,
    /// How many went well, the oldest day first, today last.
    pub done: Vec<u32>,
    /// How many did not.
    pub failed: Vec<u32>,
}

impl Days {
    /// The last `days` days, with nothing counted yet.
    #[must_use]
    pub fn until(now: Timestamp, days: u16) -> Self {
        let none = vec![0; days.into()];
        Self { first: day(now) + 1 - i64::from(days), done: none.clone(), failed: none }
    }

    /// Counts an event, where it is a refresh on one of these days.
    pub fn add(&mut self, event: &Event) {
        let at = usize::try_from(day(event.at) - self.first).unwrap_or(usize::MAX);
        let counts = if event.is_ok() { &mut self.done } else { &mut self.failed };
        if let (Action::Refresh, Some(count)) = (event.action, counts.get_mut(at)) {
            *count = count.saturating_add(1);
        }
    }
}

fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: &str, action: Action, outcome: &str) -> Event {
        let at = at.parse().unwrap();
        Event { outcome: outcome.to_owned(), ..Event::new(&"square/default".parse().unwrap(), action, (at, at)) }
    }

    #[test]
    fn counts_refreshes_by_the_day_and_failures_apart() {
        let mut days = Days::until("2026-03-03T12:00:00Z".parse().unwrap(), 3);
        for (at, action, outcome) in [
            ("2026-02-28T23:59:59Z", Action::Refresh, "ok"),
            ("2026-03-01T00:00:00Z", Action::Refresh, "ok"),
            ("2026-03-01T23:59:59Z", Action::Refresh, "try_again"),
            ("2026-03-02T10:00:00Z", Action::Obtain, "ok"),
            ("2026-03-03T12:00:00Z", Action::Refresh, "ok"),
            ("2026-03-03T13:00:00Z", Action::Refresh, "ok"),
            ("2026-03-04T00:00:00Z", Action::Refresh, "ok"),
        ] {
            days.add(&event(at, action, outcome));
        }
        assert_eq!((days.done, days.failed), (vec![1, 0, 2], vec![1, 0, 0]));
    }
}
