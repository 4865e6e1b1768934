//! The order of a device's requests. Each call is a task of its own, and tasks that begin one after the other need not run in
//! that order. So a request takes its place when its call begins, and is queued when those before it are, or have failed.

use super::connections::Key;
use crate::device::Device;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The last request of each device that has one which is not queued yet.
#[derive(Default)]
pub(super) struct Order {
    last: Mutex<HashMap<Key, Last>>,
}

struct Last {
    number: u64,
    /// Ends when that request is queued.
    queued: oneshot::Receiver<()>,
}

/// The place of a request among those of its device. Dropped when the request is queued.
#[derive(Default)]
pub struct Place(Option<Taken>);

struct Taken {
    order: Arc<Order>,
    device: Arc<Device>,
    number: u64,
    before: Option<oneshot::Receiver<()>>,
    /// Dropped with the place, which ends the wait of the next one.
    _queued: oneshot::Sender<()>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Order {
    /// Takes the next place.
    pub(super) fn place(self: &Arc<Self>, device: &Arc<Device>) -> Place {
        let (sender, queued) = oneshot::channel();
        let mut last = self.last();
        let key = Key(device.clone());
        let before = last.remove(&key);
        let number = before.as_ref().map_or(0, |before| before.number + 1);
        last.insert(key, Last { number, queued });
        Place(Some(Taken {
            order: self.clone(),
            device: device.clone(),
            number,
            before: before.map(|before| before.queued),
            _queued: sender,
        }))
    }

    fn last(&self) -> MutexGuard<'_, HashMap<Key, Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until the requests before this one are queued or have failed.
    pub(super) async fn reached(&mut self) {
        if let Some(Taken { before, .. }) = &mut self.0
            && let Some(before) = before
        {
            // It ends when the sender is dropped.
            let _ = before.await;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut last = self.order.last();
        let key = Key(self.device.clone());
        if last
            .get(&key)
            .is_some_and(|last| last.number == self.number)
        {
            last.remove(&key);
            if last.is_empty() {
                *last = HashMap::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::AccessToken;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn is_reached(place: &mut Place) -> bool {
        let reached = pin!(place.reached());
        let mut context = Context::from_waker(Waker::noop());
        reached.poll(&mut context).is_ready()
    }

    #[test]
    fn a_place_is_reached_when_those_before_it_are_dropped() {
        let device = |name: &str| {
            Arc::new(Device {
                name: name.into(),
                token: AccessToken::new("TOKEN".to_owned()).unwrap(),
            })
        };
        let order = Arc::new(Order::default());
        let [one, other] = [device("one"), device("other")];
        let mut places: Vec<Place> = (0..3).map(|_| order.place(&one)).collect();
        let mut of_other = order.place(&other);
        assert!(is_reached(&mut of_other));
        assert!(!is_reached(&mut places[2]));
        assert!(!is_reached(&mut places[1]));
        assert!(is_reached(&mut places[0]));
        drop(places.remove(0));
        assert!(is_reached(&mut places[0]));
        // One that has failed does not let the next one pass those before it.
        let mut last = places.remove(1);
        let middle = places.remove(0);
        assert!(!is_reached(&mut last));
        drop(middle);
        assert!(is_reached(&mut last));
        drop((last, of_other));
        assert!(order.last().is_empty(), "nothing is kept");
    }
}
