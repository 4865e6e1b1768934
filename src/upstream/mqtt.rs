//! ThingsBoard's MQTT device API: one MQTT 5 connection for each device, under its access token.
//!
//! | Part | Does |
//! |---|---|
//! | [`connection`] | one connection, without a socket and without a clock |
//! | [`validate`] | refuses what ThingsBoard would never answer, or would close the connection for |
//! | [`topics`] | ThingsBoard's topics |
//! | [`encode`] | writes an operation as a message |
//! | [`outcome`] | what a PUBACK, an answer, or the end of a connection means |
#![expect(dead_code, reason = "not wired yet")]

mod connection;
mod encode;
mod outcome;
mod topics;
mod validate;
