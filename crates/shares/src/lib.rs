//! Fair division of bounded resources between devices and source addresses.
//!
//! A bound on a total (half-open handshakes, calls in flight, buffered bytes) protects the process,
//! but by itself it lets one peer take all of it. So each such resource has *holders*, and the same
//! rules:
//!
//! 1. **Each holder has a share.** Before an address is verified as a device's, the holder is its *source*: the address
//!    ([`source::host`]: an IPv4 address, or the /64 of an IPv6 address) within its network ([`source::network`]: the
//!    /16 or the /48). Afterwards the holder is the *device*, over all its sessions.
//! 2. **The largest holder loses first**: what can be taken back is evicted from it ([`SourcePlaces`] by source and
//!    network, which take turns as well; [`Weights`] by size); where nothing can be taken back, its next request is
//!    refused ([`Counts`]).
//! 3. **Sources that succeeded recently go first.** A source from which a registered device completed a handshake comes
//!    before other sources ([`Recent`]).
//! 4. **What is counted is counted until it ends**, and not until its session does.
//!
//! This crate owns the data structures for these rules. It has no clock, no I/O and no
//! dependencies, and knows neither DTLS nor CoAP.
//!
//! `TABLE.md`, which follows, lists every bound: the resource, its holder, the limit, what is
//! evicted or refused at the limit, what its peer gets, and the metric.
#![doc = ""]
#![doc = include_str!("TABLE.md")]
#![warn(missing_docs)]

mod counts;
mod recent;
pub mod source;
mod source_places;
mod weights;

pub use counts::{Counts, Refused};
pub use recent::Recent;
pub use source_places::SourcePlaces;
pub use weights::Weights;
