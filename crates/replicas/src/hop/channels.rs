//! Encrypts frames for the members of the group, and decrypts theirs.

use super::frame::Frame;
use super::window::Window;
use crate::id::{Instance, Member};
use crate::seal::nonce;
use crate::secret::GroupSecret;
use aws_lc_rs::aead::{Aad, LessSafeKey};
use std::collections::HashMap;

const FORMAT: u8 = 1;
const INSTANCE: usize = 16;
const HEADER: usize = 1 + INSTANCE + 8;
/// Processes whose windows are remembered. A process that has lost its lease may get one again, so its window stays.
const MAX_PEERS: usize = 1_024;

struct Peer {
    /// The last list that has it. It is a member if that is the present one.
    list: u64,
    sending: LessSafeKey,
    receiving: LessSafeKey,
    window: Window,
}

/// The keys and windows of all members.
pub(crate) struct Channels {
    secret: GroupSecret,
    me: Instance,
    counter: u64,
    /// Counts the lists of members.
    list: u64,
    peers: HashMap<Instance, Peer>,
}

impl Channels {
    pub(crate) fn new(secret: GroupSecret, me: Instance) -> Channels {
        Channels {
            secret,
            me,
            counter: 0,
            list: 0,
            peers: HashMap::new(),
        }
    }

    /// These hold a lease now.
    pub(crate) fn set_members(&mut self, members: &[Member]) {
        self.list = self.list.saturating_add(1);
        // First those that are there: else a new one could take the place of a member that follows.
        for member in members {
            if let Some(peer) = self.peers.get_mut(&member.instance) {
                peer.list = self.list;
            }
        }
        for member in members {
            if member.instance == self.me || self.peers.contains_key(&member.instance) {
                continue;
            }
            if self.peers.len() >= MAX_PEERS {
                self.evict();
            }
            let sending = self.secret.hop_key(self.me, member.instance);
            let receiving = self.secret.hop_key(member.instance, self.me);
            if let (Some(sending), Some(receiving)) = (sending, receiving) {
                let peer = Peer {
                    list: self.list,
                    sending,
                    receiving,
                    window: Window::default(),
                };
                self.peers.insert(member.instance, peer);
            }
        }
    }

    /// Forgets the process that has been without lease for longest. If it comes back, frames of it that were recorded by who
    /// reads the network between the nodes are accepted once more.
    fn evict(&mut self) {
        let others = self.peers.iter().filter(|(_, peer)| peer.list != self.list);
        let oldest = others.min_by_key(|(_, peer)| peer.list);
        if let Some(oldest) = oldest.map(|(instance, _)| *instance) {
            self.peers.remove(&oldest);
        }
    }

    /// Processes that it has keys for.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// The bytes of a frame for this member. `None`: it is none, or the counter is used up.
    pub(crate) fn seal(&mut self, to: Instance, frame: &Frame) -> Option<Vec<u8>> {
        let list = self.list;
        let peer = self.peers.get(&to).filter(|peer| peer.list == list)?;
        let counter = self.counter;
        self.counter = counter.checked_add(1)?;
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.me.0);
        out.extend_from_slice(&counter.to_be_bytes());
        out.extend_from_slice(&frame.encode());
        let plaintext = out.get_mut(HEADER..)?;
        let nonce = nonce(counter.to_be_bytes());
        let tag = peer
            .sending
            .seal_in_place_separate_tag(nonce, Aad::from([FORMAT]), plaintext);
        out.extend_from_slice(tag.ok()?.as_ref());
        Some(out)
    }

    /// The frame, and who sent it. `None`: it is not authentic, no member's, malformed, or was received before.
    pub(crate) fn open(&mut self, bytes: &[u8]) -> Option<(Instance, Frame)> {
        let (header, ciphertext) = bytes.split_at_checked(HEADER)?;
        let ([format], rest) = header.split_first_chunk()?;
        let (instance, counter) = rest.split_first_chunk()?;
        let counter: [u8; 8] = counter.try_into().ok()?;
        let instance = Instance(*instance);
        let peer = self.peers.get_mut(&instance)?;
        if peer.list != self.list || *format != FORMAT {
            return None;
        }
        let mut plaintext = ciphertext.to_vec();
        let plaintext = peer
            .receiving
            .open_in_place(nonce(counter), Aad::from([FORMAT]), &mut plaintext)
            .ok()?;
        if !peer.window.accept(u64::from_be_bytes(counter)) {
            return None;
        }
        Some((instance, Frame::decode(plaintext)?))
    }
}
