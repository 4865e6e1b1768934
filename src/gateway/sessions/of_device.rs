//! The sessions of one device.

use crate::dtls::SessionId;
use std::slice;

/// The sessions of a device, oldest first; never none. A device has one, unless it has just begun another, and that one
/// takes no heap.
#[derive(Debug)]
pub(super) enum OfDevice {
    One(SessionId),
    Several(Box<Sessions>),
}

/// Two sessions or more.
#[derive(Debug)]
pub(super) struct Sessions(Vec<SessionId>);

impl OfDevice {
    pub(super) fn as_slice(&self) -> &[SessionId] {
        match self {
            OfDevice::One(session) => slice::from_ref(session),
            OfDevice::Several(sessions) => &sessions.0,
        }
    }

    pub(super) fn push(&mut self, session: SessionId) {
        match self {
            OfDevice::One(first) => {
                let both = vec![*first, session];
                *self = OfDevice::Several(Box::new(Sessions(both)));
            }
            OfDevice::Several(sessions) => sessions.0.push(session),
        }
    }

    /// Removes a session. Returns whether others are left; if none is, the last one stays in here.
    pub(super) fn remove(&mut self, session: SessionId) -> bool {
        match self {
            OfDevice::One(only) => *only != session,
            OfDevice::Several(sessions) => {
                sessions.0.retain(|other| *other != session);
                if let [only] = *sessions.0 {
                    *self = OfDevice::One(only);
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_session_of_a_device_is_kept_without_heap() {
        assert_eq!(size_of::<OfDevice>(), 16);
        let mut sessions = OfDevice::One(SessionId(1));
        sessions.push(SessionId(2));
        sessions.push(SessionId(3));
        assert_eq!(sessions.as_slice(), [1, 2, 3].map(SessionId));
        assert!(sessions.remove(SessionId(2)) && sessions.remove(SessionId(1)));
        assert!(sessions.remove(SessionId(9)), "not one of them");
        assert!(matches!(sessions, OfDevice::One(SessionId(3))));
        assert!(!sessions.remove(SessionId(3)));
    }
}
