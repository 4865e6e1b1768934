//! HTTP long polling.
//!
//! | File | Holds |
//! |---|---|
//! | [`poller`] | the polls of one device and kind: when to open the next, so that nothing falls between two |
//! | [`poll_rate`] | how many polls of one device and kind may begin a second |
//! | [`pacing`] | what all relays share: back-off, the ramp after an outage, the longest poll that ThingsBoard allows |
//! | [`recovery`] | after an outage, waking the relays that back off |

pub(crate) mod pacing;
mod poll_rate;
pub(crate) mod poller;
pub(crate) mod recovery;
