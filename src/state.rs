//! What outlives the process.
//!
//! | File | Holds |
//! |---|---|
//! | [`settings`] | where it is stored |

pub(crate) mod settings;
