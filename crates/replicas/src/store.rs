//! What a node calls the shared store for, and what the store replies.
//!
//! Each call is one atomic step in the store, whoever else calls. [`Model`](crate::model::Model) is what each step does;
//! the scripts of a real store do the same.
//!
//! | In the store | |
//! |---|---|
//! | lease of each node number | fencing number, instance, address; until when, by the store's clock |
//! | the last fencing number | each lease has a higher one |
//! | the store's id | drawn when there is none: a store that lost everything has another one |
//! | each session | owner, *version*, *bound*, row, address, device, when it was established, and its rank in that order |
//! | each address | the session that was there last; the one before it has none any more |
//! | each device | its newest session, as far as any was created with its name |
//! | sessions that a newer one of their device has superseded, in that order | so that their nodes end them |
//! | for each owner, its sessions with observations | so that others find them when it has died |
//! | all addresses, in the order in which they were added | so that each node knows which addresses may have a session |
//!
//! The *version* of a session is raised whenever it gets another owner, so that a node knows whether what it has in memory is
//! what the store's owner has.
//!
//! A device is followed by the node of its newest session: that with which it has completed a handshake last. If another node owns
//! an older one, that is superseded; two of one node are both served. Who claims, creates or saves a session that is superseded
//! learns it from the reply, and it is removed. So when one of two of one node is superseded or ends, the other one is to be
//! saved: it is superseded as well, or becomes the newest.
//!
//! When a session was established its node reckons by the store's clock, of which it knows seconds. So of two that were established
//! within [`CLOCK_ERROR`] that one is newer which is created last.
//!
//! The *bound* of a session is the first send number that was given to nobody. It only rises. The store also notes
//! in which *run* of the store it was last raised. A store that was started again, or a replica that has become the
//! primary, may have forgotten blocks that it gave out, and may even forget the same ones twice. So the first block in
//! another run begins at [`Settings::pace`](crate::Settings::pace) numbers for each second since the session was established:
//! above all that was ever given out, as long as that is fewer, and above all that an earlier run has begun with. The
//! clocks of those that are primaries one after the other may differ by less than the time that lies between.

use crate::id::{AddressKey, DeviceKey, Instance, Member, Name, Owner, SessionKey};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// By how many seconds two nodes may differ when they reckon the store's clock: both round down, and a reply takes a while.
pub const CLOCK_ERROR: u64 = 3;

/// A call. A caller without a valid lease gets [`Reply::NotLeased`], except for that of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Renews a lease, or takes a free node number.
    Lease {
        /// The lease that is to be renewed. If it has ended the caller gets another fencing number, and another node number
        /// if that is taken.
        had: Option<Owner>,
        /// Which process it is for.
        instance: Instance,
        /// Where it receives what other nodes send.
        address: SocketAddr,
        /// How long it is valid.
        length: Duration,
        /// Which addresses are known already: [`Reply::Leased::seen`] of the last reply.
        seen: u64,
        /// Which superseded sessions are: [`Reply::Leased::superseded_seen`].
        superseded_seen: u64,
    },
    /// Looks for sessions with observations whose owner has no lease.
    Orphans {
        /// The caller.
        owner: Owner,
        /// How many at most.
        most: usize,
    },
    /// Ends a lease.
    Release {
        /// Which one.
        owner: Owner,
    },
    /// Adds a session.
    Create {
        /// Its key.
        key: SessionKey,
        /// The caller.
        owner: Owner,
        /// Its peer's address, if it is found by that.
        address: Option<AddressKey>,
        /// Its device.
        device: Option<DeviceKey>,
        /// Whether it has observations.
        observes: bool,
        /// The bound is to be a block above this.
        start: u64,
        /// When it was established, in seconds of the store's clock.
        born: u64,
        /// The store had this session, and has forgotten which numbers it gave out.
        is_again: bool,
        /// The block's size.
        block: u64,
        /// How many numbers are skipped for each second in another run of the store.
        pace: u64,
        /// Its row, encrypted.
        row: Vec<u8>,
    },
    /// Looks a session up, and takes it over if its owner has no valid lease.
    Claim {
        /// Which one.
        name: Name,
        /// The caller.
        owner: Owner,
        /// Which version of it the caller has in memory.
        held: Option<u64>,
        /// Whether to take it over from a node that has no lease. The caller takes it in any case if it is as it has it in memory:
        /// then the owner is the caller, under a former lease.
        take: bool,
        /// The block's size.
        block: u64,
        /// How many numbers are skipped for each second in another run of the store.
        pace: u64,
    },
    /// Replaces the row of a session that the caller owns.
    Save {
        /// Which one.
        key: SessionKey,
        /// Its version.
        version: u64,
        /// The caller.
        owner: Owner,
        /// Its peer's address, if it is found by that.
        address: Option<AddressKey>,
        /// Whether that is another one than before. A session whose address another one has got since does not get it back
        /// by being saved.
        moves: bool,
        /// Whether it has observations.
        observes: bool,
        /// The size of another block, if one is needed.
        block: Option<u64>,
        /// How many numbers are skipped for each second in another run of the store.
        pace: u64,
        /// Its row, encrypted.
        row: Vec<u8>,
    },
    /// Removes a session that the caller owns.
    Remove {
        /// Which one.
        key: SessionKey,
        /// Its version.
        version: u64,
        /// The caller.
        owner: Owner,
    },
}

/// What the store replies.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// The lease is valid, counted from when the store carried the call out.
    Leased {
        /// The node number and fencing number.
        owner: Owner,
        /// It had ended in the meantime, or is a new one: sessions may have been taken over.
        is_new: bool,
        /// The store's id.
        store: u64,
        /// Its run: in another one the list of addresses may be another.
        run: u64,
        /// All that hold a lease, the caller included.
        members: Vec<Member>,
        /// Addresses that were added since.
        addresses: Vec<AddressKey>,
        /// How far the list of addresses was read.
        seen: u64,
        /// Sessions that were superseded since.
        superseded: Vec<SessionKey>,
        /// How far that list was read.
        superseded_seen: u64,
        /// There are sessions with observations whose owner has no lease.
        has_orphans: bool,
        /// The store's clock, in seconds.
        time: u64,
    },
    /// All node numbers are taken.
    NoNumber,
    /// The lease has ended.
    Released,
    /// The session is in the store, and the caller owns it.
    Created {
        /// The caller's block.
        start: u64,
        /// Its end, and the session's bound.
        end: u64,
        /// The node that has a former session of the same device, which is superseded, and a valid lease.
        former: Option<Owner>,
    },
    /// Another node owns a newer session of the same device. This one is not in the store any more.
    Superseded {
        /// Its key.
        key: SessionKey,
    },
    /// Sessions with observations whose owner has no lease.
    Orphans {
        /// Their keys.
        keys: Vec<SessionKey>,
    },
    /// Another node owns a session with this key.
    Exists,
    /// The caller owns the session now.
    Claimed {
        /// Its key.
        key: SessionKey,
        /// The owner until now.
        previous: Owner,
        /// The session's version now. It was one less until now.
        version: u64,
        /// When it was established.
        born: u64,
        /// Its peer's address, if it is found by that.
        address: Option<AddressKey>,
        /// The caller's block.
        start: u64,
        /// Its end.
        end: u64,
        /// The row, encrypted.
        row: Vec<u8>,
    },
    /// The caller owns the session, and has its present version.
    Owned {
        /// Its key.
        key: SessionKey,
    },
    /// Another node with a valid lease owns the session.
    OwnedBy {
        /// Its key.
        key: SessionKey,
        /// That node.
        owner: Owner,
        /// How long its lease is valid.
        remaining: Duration,
    },
    /// The session's owner has no valid lease, and it was not to be taken over.
    Free {
        /// Its key.
        key: SessionKey,
    },
    /// There is no such session.
    Missing,
    /// The row is replaced.
    Saved {
        /// The block that was requested.
        block: Option<(u64, u64)>,
    },
    /// Another node owns the session.
    NotOwner,
    /// The session is removed, or was not there.
    Removed,
    /// The caller has no valid lease.
    NotLeased,
    /// The store could not be reached, or failed. Whether the call was carried out is not known.
    Failed,
}

impl fmt::Debug for Reply {
    /// Without rows and lists: one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Leased { owner, is_new, .. } => write!(f, "Leased {owner}, new: {is_new}"),
            Reply::NoNumber => f.write_str("NoNumber"),
            Reply::Released => f.write_str("Released"),
            Reply::Created { start, end, .. } => write!(f, "Created {start}..{end}"),
            Reply::Superseded { .. } => f.write_str("Superseded"),
            Reply::Orphans { keys } => write!(f, "Orphans {}", keys.len()),
            Reply::Exists => f.write_str("Exists"),
            Reply::Claimed {
                previous,
                start,
                end,
                ..
            } => write!(f, "Claimed from {previous}, {start}..{end}"),
            Reply::Owned { .. } => f.write_str("Owned"),
            Reply::OwnedBy { owner, .. } => write!(f, "OwnedBy {owner}"),
            Reply::Free { .. } => f.write_str("Free"),
            Reply::Missing => f.write_str("Missing"),
            Reply::Saved { block } => write!(f, "Saved, {block:?}"),
            Reply::NotOwner => f.write_str("NotOwner"),
            Reply::Removed => f.write_str("Removed"),
            Reply::NotLeased => f.write_str("NotLeased"),
            Reply::Failed => f.write_str("Failed"),
        }
    }
}
