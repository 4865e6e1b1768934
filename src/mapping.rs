//! CoAP resources ⇄ ThingsBoard's operations.
//!
//! | Part | Does |
//! |---|---|
//! | [`resource`] | the table of resources: paths, methods, labels, links, what is observable |
//! | [`path`] | finds the resource of a Uri-Path |
//! | [`request`] | a device's request into a request to ThingsBoard, or a response at once |
//! | [`response`] | ThingsBoard's answer, or an error, into a response |
//! | [`representation`] | Content-Formats of requests and responses |
//! | [`query`] | query parameters |
//! | [`package`] | a GET for a package into a range of bytes, and bytes into a block of Block2 |
//! | [`client_rpc`] | completes the body of a client-side RPC for ThingsBoard's HTTP API |

pub mod client_rpc;
pub mod package;
pub mod path;
mod query;
pub mod representation;
pub mod request;
pub mod resource;
pub mod response;
