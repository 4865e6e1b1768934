//! What nodes send to one another: datagrams of devices, and promises.
//!
//! ```text
//!  format (1) ‖ the sender's instance (16) ‖ counter (8) ‖ encrypted frame ‖ tag (16)
//! ```
//!
//! AES-256-GCM under a key for each pair of processes and direction (HKDF over the secret of the group and both instances).
//! The counter is the nonce. The sender has one counter for all, which is never set back: no list of members that changes makes
//! it send two frames with one nonce.
//!
//! A frame is accepted from an instance that the store's list of members has, once ([window]). One that was recorded
//! before this process started is not authentic, as the key depends on this instance.

mod channels;
mod frame;
mod window;

pub(crate) use channels::Channels;
pub(crate) use frame::Frame;

#[cfg(test)]
mod tests;
