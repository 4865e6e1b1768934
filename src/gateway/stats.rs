//! What the gateway counts.
//!
//! | Part | Counts |
//! |---|---|
//! | [`answers`] | requests by resource and response |
//! | [`handshakes`] | handshakes and sessions by how they ended |
//! | [`upstream_calls`] | calls to ThingsBoard by how they ended, and how long they took |
//! | [`counters`] | all of these, and the rest of this room |

pub(crate) mod answers;
pub(crate) mod counters;
pub(crate) mod handshakes;
pub(crate) mod upstream_calls;

pub(crate) use counters::Counters;
