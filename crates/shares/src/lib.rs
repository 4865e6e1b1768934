//! Who may take how much of what all share: one idea for every bound that peers can reach.
//!
//! A bound on a whole (half-open handshakes, calls in flight, buffered bytes) keeps the process alive, but by itself it
//! lets whoever comes first, or most often, take all of it. So every such whole has *holders*, and the same rules:
//!
//! 1. **Each holder has a share.** Before an address is proven to be a device's, the holder is its *source*: the
//!    address ([`source::host`]: an IPv4 address, or the /64 of an IPv6 one) within its network ([`source::network`]:
//!    the /16 or the /48). Afterwards it is the *device*, whatever number of sessions it has.
//! 2. **Who holds most gives way first** ([`Places`], and by source and network [`SourcePlaces`], which has the turns as
//!    well), where what is held can be taken back; where it can't, who holds
//!    most is refused first ([`Counts`]).
//! 3. **Who lately succeeded goes first.** A source from which a registered device completed a handshake comes before
//!    those from which none did ([`Recent`]).
//! 4. **What is counted is counted until it ends**, not until its session does.
//!
//! `TABLE.md`, which follows, has all of them: what, whose, how many, who gives way, what the loser gets, and the metric.
//! This module is a leaf: it knows neither DTLS nor CoAP, and has no clock.
#![doc = ""]
#![doc = include_str!("TABLE.md")]
#![warn(missing_docs)]

mod counts;
mod places;
mod recent;
pub mod source;
mod source_places;
mod weights;

pub use counts::{Counts, Refused};
pub use places::Places;
pub use recent::Recent;
pub use source_places::SourcePlaces;
pub use weights::Weights;
