//! Requests to ThingsBoard about packages: few at a time, and what devices wait for first.
//!
//! Chunks take half of the connections at most, so that the fleet's many small questions never wait for a package
//! to come, nor it for them.

use super::cache::{Cache, Key};
use super::readers::ReaderId;
use super::{Effect, Name};
use crate::device::Device;
use crate::ota::Settings;
use crate::upstream::Operation;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Names a request to ThingsBoard for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

/// Chunks under way at once.
const MOST_CHUNKS: usize = Settings::CONNECTIONS / 2;
/// Chunks under way at once while they are for nobody yet.
const MOST_AHEAD: usize = Settings::CONNECTIONS / 4;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Which package is assigned to a device.
    Assignment(ReaderId),
    /// Whether a device may have a package, and whether that is still the one we have. The number is the check's.
    Probe(ReaderId, Name, u64),
    /// A chunk.
    Chunk(Key),
}

/// A request that waits for a connection.
#[derive(Debug)]
struct Order {
    purpose: Purpose,
    device: Arc<Device>,
    operation: Operation,
}

/// Which queue a chunk waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A device waits for it.
    Wanted,
    /// Somebody may soon.
    Ahead,
}

/// All requests: waiting or under way.
#[derive(Debug, Default)]
pub struct Calls {
    questions: VecDeque<Order>,
    wanted: VecDeque<Order>,
    ahead: VecDeque<Order>,
    under_way: HashMap<CallId, Purpose>,
    chunks_under_way: usize,
    last_id: u64,
}

impl Calls {
    /// Has a small question asked.
    pub fn ask(&mut self, purpose: Purpose, device: Arc<Device>, operation: Operation) {
        self.questions.push_back(Order {
            purpose,
            device,
            operation,
        });
    }

    /// Has a chunk fetched.
    pub fn fetch(&mut self, key: Key, device: Arc<Device>, operation: Operation, urgency: Urgency) {
        let queue = match urgency {
            Urgency::Wanted => &mut self.wanted,
            Urgency::Ahead => &mut self.ahead,
        };
        queue.push_back(Order {
            purpose: Purpose::Chunk(key),
            device,
            operation,
        });
    }

    /// Somebody waits now for what was to be fetched ahead.
    pub fn hurry(&mut self, key: Key) {
        let purpose = Purpose::Chunk(key);
        if let Some(at) = self.ahead.iter().position(|order| order.purpose == purpose) {
            self.wanted.extend(self.ahead.remove(at));
        }
    }

    /// A chunk that still waits for a connection is not wanted any more. False if it is under way.
    pub fn withdraw(&mut self, key: Key) -> bool {
        let before = self.wanted.len() + self.ahead.len();
        for queue in [&mut self.wanted, &mut self.ahead] {
            queue.retain(|order| order.purpose != Purpose::Chunk(key));
        }
        self.wanted.len() + self.ahead.len() < before
    }

    /// The next request that can begin: there is a connection for it and, if it is a chunk, room in the cache.
    /// Comes with the number of chunks that had to make room.
    pub fn begin(&mut self, cache: &mut Cache) -> Option<(Effect, usize)> {
        if self.under_way.len() >= Settings::CONNECTIONS {
            return None;
        }
        let mut displaced = None;
        let chunk = if self.chunks_under_way >= MOST_CHUNKS {
            None
        } else if !self.wanted.is_empty() {
            displaced = cache.reserve();
            displaced.and_then(|_| self.wanted.pop_front())
        } else if self.chunks_under_way < MOST_AHEAD && !self.ahead.is_empty() {
            displaced = cache.reserve();
            displaced.and_then(|_| self.ahead.pop_front())
        } else {
            None
        };
        self.chunks_under_way += usize::from(chunk.is_some());
        let order = chunk.or_else(|| self.questions.pop_front())?;
        self.last_id += 1;
        let call = CallId(self.last_id);
        self.under_way.insert(call, order.purpose);
        let effect = Effect::Ask {
            call,
            device: order.device,
            operation: order.operation,
        };
        Some((effect, displaced.unwrap_or_default()))
    }

    /// A request has come to its end. `None` if it is none of ours.
    pub fn end(&mut self, call: CallId) -> Option<Purpose> {
        let purpose = self.under_way.remove(&call)?;
        if matches!(purpose, Purpose::Chunk(_)) {
            self.chunks_under_way = self.chunks_under_way.saturating_sub(1);
        }
        Some(purpose)
    }

    /// Requests under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Requests that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.questions.len() + self.wanted.len() + self.ahead.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::AccessToken;
    use crate::ota::edition::EditionId;
    use crate::upstream::Package;

    #[test]
    fn what_is_withdrawn_is_not_begun_and_what_is_hurried_comes_before_what_is_ahead() {
        let mut calls = Calls::default();
        let mut cache = Cache::new(4096, 1024);
        let keys = [1, 2, 3].map(|number| Key {
            edition: EditionId(1),
            number,
        });
        for key in keys {
            let device = Device {
                name: "meter-1".into(),
                token: AccessToken::new("token").unwrap(),
            };
            let operation = Operation::ReadAssignment(Package::Firmware);
            calls.fetch(key, Arc::new(device), operation, Urgency::Ahead);
        }
        calls.hurry(keys[2]);
        assert!(calls.withdraw(keys[0]) && !calls.withdraw(keys[0]));
        let mut begun = Vec::new();
        while let Some((Effect::Ask { call, .. }, _)) = calls.begin(&mut cache) {
            begun.extend(calls.end(call));
        }
        assert_eq!(begun, [Purpose::Chunk(keys[2]), Purpose::Chunk(keys[1])]);
    }
}
