//! An `Instant` in eight bytes.

use std::num::NonZeroU64;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What all moments of the process are counted from. Any time would do, as only differences matter.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing depends on the value, so this is not a clock"
)]
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The number that stands for the origin, so that moments before it have one, too.
const OFFSET: i128 = 1 << 63;

/// An `Instant` in half its size, as nanoseconds since an origin: for what every idle session keeps. It is exact, unless it
/// is 292 years or more from the origin, where the last moment stands for all later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl From<Instant> for Moment {
    fn from(instant: Instant) -> Moment {
        let origin = *ORIGIN;
        let since = |later: Instant, earlier: Instant| {
            let nanoseconds = later.saturating_duration_since(earlier).as_nanos();
            i128::try_from(nanoseconds).unwrap_or(i128::MAX)
        };
        let position = since(instant, origin).saturating_sub(since(origin, instant));
        let number = position.saturating_add(OFFSET).clamp(1, u64::MAX.into());
        let number = u64::try_from(number).ok().and_then(NonZeroU64::new);
        Moment(number.unwrap_or(NonZeroU64::MAX))
    }
}

impl From<Moment> for Instant {
    fn from(Moment(number): Moment) -> Instant {
        let origin = *ORIGIN;
        let number = number.get();
        let offset = 1 << 63;
        let instant = match number.checked_sub(offset) {
            Some(after) => origin.checked_add(Duration::from_nanos(after)),
            None => origin.checked_sub(Duration::from_nanos(offset - number)),
        };
        instant.unwrap_or(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_instant_in_eight_bytes() {
        assert_eq!(size_of::<Option<Moment>>(), 8);
        let second = Duration::from_secs(1);
        let mut instants = vec![*ORIGIN];
        for step in [1, 1_000_000_000, 3_600_000_000_001, u64::MAX / 4] {
            instants.push(*ORIGIN + Duration::from_nanos(step));
            instants.extend(ORIGIN.checked_sub(Duration::from_nanos(step)));
        }
        assert!(instants.len() > 6);
        instants.sort();
        let moments: Vec<Moment> = instants.iter().copied().map(Moment::from).collect();
        assert!(moments.is_sorted());
        assert!(moments.into_iter().map(Instant::from).eq(instants));
        let far = *ORIGIN + 400 * Duration::from_secs(365 * 24 * 3600);
        assert!(Moment::from(far) > Moment::from(*ORIGIN + second));
    }
}
