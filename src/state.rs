//! What outlives the process.
//!
//! | File | Holds |
//! |---|---|
//! | [`settings`] | where it is stored |
//! | [`report`] | what there is to say of it |

pub(crate) mod report;
pub(crate) mod settings;
