//! CoAP resources ⇄ ThingsBoard's operations.
//!
//! | Part | Owns |
//! |---|---|
//! | [`resource`] | which resource a path names |
//! | [`translate`] | requests into upstream requests, outcomes into responses |
//! | [`package`] | a GET for a package into a range of it, and bytes of it into a block |
//! | [`client_rpc`] | what ThingsBoard's HTTP API wants in a client-side RPC |

pub mod client_rpc;
pub mod package;
pub mod resource;
pub mod translate;
