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
//! | [`unanswerable`] | refuses bodies that ThingsBoard would never answer |

pub(crate) mod client_rpc;
pub(crate) mod package;
pub(crate) mod path;
mod query;
pub(crate) mod representation;
pub(crate) mod request;
pub(crate) mod resource;
pub(crate) mod response;
pub(crate) mod unanswerable;
