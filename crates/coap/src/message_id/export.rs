//! Message IDs as bytes: see [`crate::export`].

use super::{EXCHANGE_LIFETIME, MessageIds, Used};
use crate::export::{MESSAGE_IDS_SKIPPED, RestoreError, Restored, age};
use bytes::{Buf, BufMut};
use std::time::Instant;

/// Stands for the age of an eighth that was not used within EXCHANGE_LIFETIME.
const UNUSED: u8 = u8::MAX;

impl MessageIds {
    /// Whether one was used within EXCHANGE_LIFETIME.
    pub(crate) fn used_lately(&self, now: Instant) -> bool {
        let is_recent = |at: &Instant| *at + EXCHANGE_LIFETIME > now;
        match &self.used {
            Used::Never => false,
            Used::OneEighth(at) => is_recent(at),
            Used::Eighths(used) => used.iter().flatten().any(is_recent),
        }
    }

    /// Writes the last one, and the ages if one was [used lately](Self::used_lately).
    pub(crate) fn export(&self, now: Instant, out: &mut Vec<u8>) {
        out.put_u16(self.last);
        if !self.used_lately(now) {
            return;
        }
        for n in 0..8 {
            let at = match &self.used {
                Used::Never => None,
                Used::OneEighth(at) => (n == eighth(self.last)).then_some(*at),
                Used::Eighths(used) => used.get(n).copied().flatten(),
            };
            let age = at.map(|at| age(now, at));
            out.put_u8(age.and_then(|age| u8::try_from(age).ok()).unwrap_or(UNUSED));
        }
    }

    pub(crate) fn restore(
        restored: Restored,
        used_lately: bool,
        from: &mut &[u8],
    ) -> Result<MessageIds, RestoreError> {
        let last = from.try_get_u16()?;
        let mut used = [None; 8];
        if used_lately {
            for used in &mut used {
                let age = from.try_get_u8()?;
                *used = (age != UNUSED).then(|| restored.at(u64::from(age)));
            }
        }
        if !restored.sent_since {
            return Ok(MessageIds::of(last, used));
        }
        // Those that may have been used count as used, whether or not they were free.
        let skipped_to = last.wrapping_add(MESSAGE_IDS_SKIPPED);
        for skipped in [last.wrapping_add(1), skipped_to] {
            if let Some(used) = used.get_mut(eighth(skipped)) {
                *used = Some(restored.now);
            }
        }
        Ok(MessageIds::of(skipped_to, used))
    }

    fn of(last: u16, used: [Option<Instant>; 8]) -> MessageIds {
        let others = used.iter().flatten().count() > 1;
        let used = match used.get(eighth(last)).copied().flatten() {
            Some(at) if !others => Used::OneEighth(at),
            None if !others && used.iter().all(Option::is_none) => Used::Never,
            _ => Used::Eighths(Box::new(used)),
        };
        MessageIds { last, used }
    }
}

fn eighth(message_id: u16) -> usize {
    usize::from(message_id >> 13)
}
