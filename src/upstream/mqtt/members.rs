//! The devices that share a connection, since they have one access token: nearly always one. The registry may have two for
//! one device, as while its certificate is renewed, and two connections would displace each other.
//!
//! Each has subscriptions of its own, and the connection has those that any of them wants. What comes is for each of them, as
//! it would be over HTTP; ThingsBoard gets the acknowledgement of the first one.

use super::super::Error;
use super::connection::{Kinds, Numbers};
use super::notice::Notice;
use crate::device::Device;
use std::sync::Arc;

/// Devices with one access token that subscribe at a time.
pub(super) const MOST: usize = 8;

#[derive(Default)]
pub(super) struct Members {
    all: Vec<Member>,
    /// What is subscribed to for all of them. The numbers are the connection's own.
    wanted: Numbers,
    last_number: u64,
}

struct Member {
    device: Arc<Device>,
    /// What it subscribes to, with the numbers that it gave.
    own: Numbers,
    /// The connection's number from which on it is subscribed.
    from: Numbers,
}

impl Members {
    /// Those of a new link.
    pub(super) fn new(device: Arc<Device>) -> Members {
        let mut members = Members::default();
        members.all.push(Member::new(device));
        members
    }

    /// What is to be subscribed to.
    pub(super) fn wanted(&self) -> Numbers {
        self.wanted
    }

    /// Subscribes for a device.
    ///
    /// # Errors
    /// Too many devices have this access token.
    pub(super) fn subscribe(
        &mut self,
        device: &Arc<Device>,
        kinds: Kinds,
        number: u64,
    ) -> Result<(), Error> {
        let is_full = self.all.len() >= MOST;
        let member = match self.position(device) {
            Some(at) => self.all.get_mut(at),
            None if is_full => None,
            None => {
                self.all.push(Member::new(device.clone()));
                self.all.last_mut()
            }
        };
        let member = member.ok_or(Error::Overloaded)?;
        let before = member.own;
        member.own.set(kinds, Some(number));
        if member.own != before {
            self.last_number += 1;
            member.from.set(kinds, Some(self.last_number));
            self.wanted.set(kinds, Some(self.last_number));
        }
        Ok(())
    }

    /// Ends subscriptions of a device.
    pub(super) fn unsubscribe(&mut self, device: &Device, kinds: Kinds) {
        if let Some(at) = self.position(device)
            && let Some(member) = self.all.get_mut(at)
        {
            member.own.set(kinds, None);
        }
        self.forget_unwanted();
    }

    /// Removes a device. Returns whether it was the last one.
    pub(super) fn remove(&mut self, device: &Device) -> bool {
        match self.position(device) {
            Some(at) if self.all.len() > 1 => {
                self.all.remove(at);
            }
            // One remains, for what is said of the connection.
            _ => self.unsubscribe_all(),
        }
        self.forget_unwanted();
        self.wanted.is_empty()
    }

    /// Ends all subscriptions.
    pub(super) fn unsubscribe_all(&mut self) {
        for member in &mut self.all {
            member.own = Numbers::default();
        }
        self.forget_unwanted();
    }

    fn position(&self, device: &Device) -> Option<usize> {
        let is_it = |member: &Member| member.device.name == device.name;
        self.all.iter().position(is_it)
    }

    /// Ends what no device wants any more.
    fn forget_unwanted(&mut self) {
        let is_wanted = |is_wanted: fn(Kinds) -> bool| {
            let mut members = self.all.iter();
            members.any(|member| is_wanted(member.own.kinds()))
        };
        let unwanted = Kinds {
            attributes: !is_wanted(|kinds| kinds.attributes),
            commands: !is_wanted(|kinds| kinds.commands),
        };
        self.wanted.set(unwanted, None);
    }

    /// Those that a notice is for, each with the notice in its own form.
    pub(super) fn recipients(&self, notice: &Notice) -> Vec<(Arc<Device>, Notice)> {
        let to = |member: &Member, notice: Notice| (member.device.clone(), notice);
        let subscribers = |is_it: fn(Kinds) -> bool| {
            let is_any = self.all.iter().any(|member| is_it(member.own.kinds()));
            // What was received before an unsubscription is still reported.
            let is_for = |member: &&Member| !is_any || is_it(member.own.kinds());
            let members = self.all.iter().filter(is_for);
            members.map(|member| to(member, notice.clone())).collect()
        };
        match notice {
            Notice::Subscribed {
                numbers,
                connection,
            } => {
                let granted = self.all.iter().filter_map(|member| {
                    let numbers = member.granted(*numbers);
                    let connection = *connection;
                    let notice = Notice::Subscribed {
                        numbers,
                        connection,
                    };
                    (!numbers.is_empty()).then(|| to(member, notice))
                });
                granted.collect()
            }
            Notice::Attributes { .. } => subscribers(|kinds| kinds.attributes),
            Notice::Command { .. } => subscribers(|kinds| kinds.commands),
            Notice::Interrupted { .. }
            | Notice::Displaced
            | Notice::RateLimited
            | Notice::TokenRefused => {
                let members = self.all.iter();
                members.map(|member| to(member, notice.clone())).collect()
            }
        }
    }

    /// How many recipients a notice may have.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

impl Member {
    fn new(device: Arc<Device>) -> Member {
        Member {
            device,
            own: Numbers::default(),
            from: Numbers::default(),
        }
    }

    /// Its own numbers of the subscriptions that were granted under these numbers of the connection.
    fn granted(&self, granted: Numbers) -> Numbers {
        let own = |own: Option<u64>, from: Option<u64>, granted: Option<u64>| {
            own.filter(|_| granted.is_some() && from <= granted)
        };
        Numbers {
            attributes: own(
                self.own.attributes,
                self.from.attributes,
                granted.attributes,
            ),
            commands: own(self.own.commands, self.from.commands, granted.commands),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::AccessToken;
    use crate::upstream::Acknowledgement;
    use bytes::Bytes;

    const ATTRIBUTES: Kinds = Kinds {
        attributes: true,
        commands: false,
    };
    const COMMANDS: Kinds = Kinds {
        attributes: false,
        commands: true,
    };

    fn device(name: &str) -> Arc<Device> {
        Arc::new(Device {
            name: name.into(),
            token: AccessToken::new("T").unwrap(),
        })
    }

    fn numbers(attributes: Option<u64>, commands: Option<u64>) -> Numbers {
        Numbers {
            attributes,
            commands,
        }
    }

    /// The names of those that a message of this kind is for.
    fn names(members: &Members, kinds: Kinds) -> Vec<String> {
        let acknowledgement = Acknowledgement {
            connection: 1,
            packet: 1,
        };
        let body = Bytes::new();
        let notice = match kinds.attributes {
            true => Notice::Attributes {
                body,
                acknowledgement,
            },
            false => Notice::Command {
                id: 1,
                body,
                acknowledgement,
            },
        };
        let recipients = members.recipients(&notice);
        let names = recipients.iter().map(|(device, _)| device.name.to_string());
        names.collect()
    }

    /// Who is subscribed by a grant, and under which numbers of its own.
    fn granted(members: &Members, numbers: Numbers) -> Vec<(String, Numbers)> {
        let connection = 1;
        let recipients = members.recipients(&Notice::Subscribed {
            numbers,
            connection,
        });
        let own = |(device, notice): (Arc<Device>, Notice)| match notice {
            Notice::Subscribed { numbers, .. } => (device.name.to_string(), numbers),
            other => panic!("{other:?}"),
        };
        recipients.into_iter().map(own).collect()
    }

    #[test]
    fn each_device_has_its_own_numbers_and_the_connection_has_new_ones() {
        let (a, b) = (device("a"), device("b"));
        let mut members = Members::new(a.clone());
        members.subscribe(&a, ATTRIBUTES, 70).unwrap();
        let first = members.wanted();
        assert_eq!(
            granted(&members, first),
            [("a".into(), numbers(Some(70), None))]
        );
        // The same once more changes nothing.
        members.subscribe(&a, ATTRIBUTES, 70).unwrap();
        assert_eq!(members.wanted(), first);
        members.subscribe(&b, ATTRIBUTES, 3).unwrap();
        let second = members.wanted();
        assert_ne!(second, first, "ThingsBoard is to grant it for b, too");
        assert_eq!(granted(&members, first).len(), 1, "a grant before b's");
        let both = [
            ("a".into(), numbers(Some(70), None)),
            ("b".into(), numbers(Some(3), None)),
        ];
        assert_eq!(granted(&members, second), both);
        members.unsubscribe(&b, ATTRIBUTES);
        assert_eq!(
            members.wanted(),
            second,
            "nothing is to be requested for it"
        );
        members.unsubscribe(&a, ATTRIBUTES);
        assert!(members.wanted().is_empty());
    }

    #[test]
    fn a_message_is_for_all_that_subscribe_to_its_kind() {
        let (a, b) = (device("a"), device("b"));
        let mut members = Members::new(a.clone());
        members.subscribe(&a, ATTRIBUTES, 1).unwrap();
        members.subscribe(&a, COMMANDS, 1).unwrap();
        members.subscribe(&b, COMMANDS, 1).unwrap();
        assert_eq!(names(&members, ATTRIBUTES), ["a"]);
        assert_eq!(names(&members, COMMANDS), ["a", "b"]);
        members.unsubscribe(&a, COMMANDS);
        assert_eq!(names(&members, COMMANDS), ["b"]);
        members.unsubscribe(&b, COMMANDS);
        assert_eq!(names(&members, COMMANDS), ["a", "b"], "received before");
    }

    #[test]
    fn the_connection_is_no_longer_wanted_when_the_last_device_is_removed() {
        let (a, b) = (device("a"), device("b"));
        let mut members = Members::new(a.clone());
        members.subscribe(&a, ATTRIBUTES, 1).unwrap();
        members.subscribe(&b, COMMANDS, 1).unwrap();
        assert!(!members.remove(&a));
        assert_eq!(members.wanted().kinds(), COMMANDS);
        assert!(members.remove(&b));
        assert_eq!(members.len(), 1);
    }

    #[test]
    fn the_devices_of_one_token_have_a_bound() {
        let mut members = Members::new(device("0"));
        let subscribe = |members: &mut Members, number: usize| {
            members.subscribe(&device(&number.to_string()), COMMANDS, 1)
        };
        for number in 0..MOST {
            assert_eq!(subscribe(&mut members, number), Ok(()));
        }
        assert_eq!(subscribe(&mut members, MOST), Err(Error::Overloaded));
    }
}
