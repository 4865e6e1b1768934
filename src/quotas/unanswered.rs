//! Devices whose GETs ThingsBoard leaves unanswered, as it does above a device's rate limit.
//!
//! ```text
//! answered ──(two GETs in a row time out)──▶ refused for a while: 5.03 at once ──▶ one GET is let through
//!    ▲                                                 ▲                               │          │
//!    │                                                 └────────(it times out)─────────┘          │
//!    └──────────────────────────────────(it is answered)─────────────────────────────────────────┘
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Consecutive timeouts after which GETs are refused. A single one may be due to the network.
const IN_A_ROW: u32 = 2;
/// For how long they are refused. ThingsBoard's rate limits are for a second or a minute.
const REFUSED: Duration = Duration::from_secs(30);
/// The most devices in the table. When it is full, devices whose refusal is over are removed.
const MAX_DEVICES: usize = 4096;

#[derive(Debug, Default)]
struct State {
    in_a_row: u32,
    /// GETs are refused until then; the first one afterwards is let through.
    until: Option<Instant>,
}

/// The devices with unanswered GETs, by name.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(HashMap<Arc<str>, State>);

impl Unanswered {
    /// For how long a GET of this device is refused, in whole seconds; `None` if it is let through.
    pub(crate) fn refuses(&mut self, now: Instant, device: &str) -> Option<u32> {
        let state = self.0.get_mut(device)?;
        let until = state.until?;
        if until > now {
            let left = until.saturating_duration_since(now).as_secs();
            return u32::try_from(left).ok()?.checked_add(1);
        }
        // This one is let through; those that arrive while it is in flight are not.
        state.until = Some(now + REFUSED);
        None
    }

    /// Records that a GET of this device has timed out.
    pub(crate) fn timed_out(&mut self, now: Instant, device: &Arc<str>) {
        if self.0.len() >= MAX_DEVICES {
            self.0
                .retain(|_, state| state.until.is_some_and(|until| until > now));
        }
        if self.0.len() >= MAX_DEVICES && !self.0.contains_key(device) {
            return;
        }
        let state = self.0.entry(device.clone()).or_default();
        state.in_a_row = state.in_a_row.saturating_add(1);
        if state.in_a_row >= IN_A_ROW {
            state.until = Some(now + REFUSED);
        }
    }

    /// Records that a GET of this device was answered.
    pub(crate) fn answered(&mut self, device: &str) {
        if !self.0.is_empty() {
            self.0.remove(device);
        }
    }

    /// The number of devices in the table.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    #[test]
    fn after_two_timeouts_one_get_in_thirty_seconds_is_let_through() {
        let (now, device) = (start(), Arc::from("meter"));
        let mut unanswered = Unanswered::default();
        unanswered.timed_out(now, &device);
        assert_eq!(unanswered.refuses(now, "meter"), None);
        unanswered.timed_out(now, &device);
        assert_eq!(unanswered.refuses(now, "meter"), Some(31));
        assert_eq!(unanswered.refuses(now, "pump"), None, "another device");
        let later = now + REFUSED;
        assert_eq!(unanswered.refuses(later, "meter"), None, "one is tried");
        assert_eq!(unanswered.refuses(later, "meter"), Some(31), "and no other");
        unanswered.timed_out(later + REFUSED / 2, &device);
        assert_eq!(unanswered.refuses(later + REFUSED, "meter"), Some(16));
        unanswered.answered("meter");
        assert_eq!(unanswered.refuses(later + REFUSED, "meter"), None);
        assert_eq!(unanswered.len(), 0);
    }

    #[test]
    fn the_number_of_devices_in_the_table_is_bounded() {
        let now = start();
        let mut unanswered = Unanswered::default();
        for device in 0..2 * MAX_DEVICES {
            let device = Arc::from(device.to_string());
            unanswered.timed_out(now, &device);
            unanswered.timed_out(now, &device);
        }
        assert_eq!(unanswered.len(), MAX_DEVICES);
        unanswered.timed_out(now + REFUSED, &Arc::from("one more"));
        assert_eq!(unanswered.len(), 1);
    }
}
