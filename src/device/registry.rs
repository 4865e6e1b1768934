//! The registry: a map from certificates to devices, immutable once built.

use super::{AccessToken, CertificateId, Fingerprint};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A device in ThingsBoard: its name here, and its access token there.
#[derive(Debug)]
pub struct Device {
    /// The name that the operator gave it, unique in the registry.
    pub name: Arc<str>,
    /// Its ThingsBoard access token.
    pub token: AccessToken,
}

type Fingerprints = HashMap<[u8; 32], Arc<Device>>;

/// All registered devices, indexed by certificate.
///
/// A device costs its name, its token, one reference count and 40 bytes per fingerprint, so 100,000 of them need less
/// than 30 MB.
#[derive(Default)]
pub struct Registry {
    sha256: Fingerprints,
    sha3: Fingerprints,
    names: HashSet<Arc<str>>,
    /// From a device's name to its package group, for devices that are in one.
    groups: HashMap<Arc<str>, Arc<str>>,
    group_names: HashSet<Arc<str>>,
}

/// How a registry differs from a former one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Difference {
    /// Devices that the former registry did not have.
    pub added: usize,
    /// Devices that only the former registry had.
    pub removed: usize,
    /// Certificates that now belong to another device, or to one with another token.
    pub changed: usize,
}

/// A device can't be added: its name or a fingerprint is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// There is a device of this name already.
    #[error("there are two devices named {0:?}")]
    Name(String),
    /// The fingerprint belongs to another device.
    #[error("the fingerprint {fingerprint} of {device:?} already belongs to {owner:?}")]
    Fingerprint {
        /// The fingerprint of both.
        fingerprint: Fingerprint,
        /// The device to be added.
        device: String,
        /// The device that has it.
        owner: String,
    },
    /// The same fingerprint twice in one device's list.
    #[error("the fingerprint {fingerprint} of {device:?} is given twice")]
    Repeated {
        fingerprint: Fingerprint,
        /// The device to be added.
        device: String,
    },
}

impl Registry {
    /// Adds a device with all its fingerprints; on a conflict, none. The device may be shared with another registry.
    pub fn add(
        &mut self,
        device: impl Into<Arc<Device>>,
        fingerprints: &[Fingerprint],
    ) -> Result<(), Conflict> {
        let device = device.into();
        if self.names.contains(&device.name) {
            return Err(Conflict::Name(device.name.to_string()));
        }
        for (count, fingerprint) in fingerprints.iter().enumerate() {
            let (map, digest) = self.slot(fingerprint);
            let owner = match map.entry(digest) {
                Entry::Vacant(free) => {
                    free.insert(Arc::clone(&device));
                    continue;
                }
                Entry::Occupied(taken) => Arc::clone(taken.get()),
            };
            // All or nothing: remove the fingerprints inserted before the conflict.
            for added in fingerprints.iter().take(count) {
                let (map, digest) = self.slot(added);
                map.remove(&digest);
            }
            let (fingerprint, name) = (*fingerprint, device.name.to_string());
            return Err(if Arc::ptr_eq(&owner, &device) {
                Conflict::Repeated {
                    fingerprint,
                    device: name,
                }
            } else {
                Conflict::Fingerprint {
                    fingerprint,
                    device: name,
                    owner: owner.name.to_string(),
                }
            });
        }
        self.names.insert(Arc::clone(&device.name));
        Ok(())
    }

    /// The map that a fingerprint belongs into, and its key there.
    fn slot(
        &mut self,
        fingerprint: &Fingerprint,
    ) -> (&mut HashMap<[u8; 32], Arc<Device>>, [u8; 32]) {
        match fingerprint {
            Fingerprint::Sha256(digest) => (&mut self.sha256, *digest),
            Fingerprint::Sha3(digest) => (&mut self.sha3, *digest),
        }
    }

    /// The device of this certificate: by SHA-256 if that is registered, else by ThingsBoard's id.
    pub fn find(&self, certificate: &CertificateId) -> Option<&Arc<Device>> {
        self.sha256
            .get(&certificate.sha256)
            .or_else(|| self.sha3.get(&certificate.sha3))
    }

    /// A second device that has this certificate: [`find`](Self::find) returns the one registered with its SHA-256, and
    /// this one is registered with ThingsBoard's id (SHA3-256). Only the certificate itself shows that both are its.
    pub fn also_claimed_by(&self, certificate: &CertificateId) -> Option<&Arc<Device>> {
        let first = self.sha256.get(&certificate.sha256)?;
        let second = self.sha3.get(&certificate.sha3)?;
        (first.name != second.name).then_some(second)
    }

    /// The device registered with this fingerprint.
    pub fn device_with(&self, fingerprint: &Fingerprint) -> Option<&Arc<Device>> {
        match fingerprint {
            Fingerprint::Sha256(digest) => self.sha256.get(digest),
            Fingerprint::Sha3(digest) => self.sha3.get(digest),
        }
    }

    /// All devices, each once for each of its fingerprints.
    pub fn devices(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.sha256.values().chain(self.sha3.values())
    }

    /// How this registry differs from a former one.
    pub fn difference_from(&self, former: &Registry) -> Difference {
        let changed = |(now, before): (&Fingerprints, &Fingerprints)| {
            let both = now
                .iter()
                .filter_map(|(id, device)| Some((device, before.get(id)?)));
            let other = both.filter(|(device, before)| {
                device.name != before.name || device.token != before.token
            });
            other.count()
        };
        let maps = [(&self.sha256, &former.sha256), (&self.sha3, &former.sha3)];
        Difference {
            added: self.names.difference(&former.names).count(),
            removed: former.names.difference(&self.names).count(),
            changed: maps.into_iter().map(changed).sum(),
        }
    }

    /// Puts a device into a package group: its devices share packages whose checksum was not verified.
    pub fn set_package_group(&mut self, device: Arc<str>, group: &str) {
        let known = self.group_names.get(group).cloned();
        let group = known.unwrap_or_else(|| Arc::from(group));
        self.group_names.insert(group.clone());
        self.groups.insert(device, group);
    }

    /// A device's package group.
    pub fn package_group(&self, device: &str) -> Option<&Arc<str>> {
        self.groups.get(device)
    }

    /// The number of devices.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no devices.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Frees spare capacity, once all devices are added.
    pub fn shrink_to_fit(&mut self) {
        self.sha256.shrink_to_fit();
        self.sha3.shrink_to_fit();
        self.names.shrink_to_fit();
        self.groups.shrink_to_fit();
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A log must not get 100,000 lines or devices' names by accident.
        f.debug_struct("Registry")
            .field("devices", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Device {
        Device {
            name: name.into(),
            token: AccessToken::new(format!("token-of-{name}")).unwrap(),
        }
    }

    fn sha256(byte: u8) -> Fingerprint {
        Fingerprint::Sha256([byte; 32])
    }

    fn id(sha256: u8, sha3: u8) -> CertificateId {
        CertificateId {
            sha256: [sha256; 32],
            sha3: [sha3; 32],
        }
    }

    #[test]
    fn a_device_is_found_by_either_fingerprint() {
        let mut registry = Registry::default();
        registry.add(device("a"), &[sha256(1), sha256(2)]).unwrap();
        registry
            .add(device("b"), &[Fingerprint::Sha3([1; 32])])
            .unwrap();
        let name = |certificate| {
            registry
                .find(&certificate)
                .map(|device| device.name.to_string())
        };
        assert_eq!(name(id(2, 0)).as_deref(), Some("a"));
        assert_eq!(name(id(0, 1)).as_deref(), Some("b"));
        assert_eq!(name(id(1, 1)).as_deref(), Some("a"), "SHA-256 first");
        assert_eq!(name(id(3, 2)), None);
        let other = |certificate| registry.also_claimed_by(&certificate).map(|d| &*d.name);
        assert_eq!(other(id(1, 1)), Some("b"), "the second device");
        assert_eq!(
            other(id(1, 0)).or(other(id(0, 1))).or(other(id(3, 2))),
            None
        );
        assert_eq!(registry.len(), 2);
    }

    #[test]
    fn a_device_in_conflict_is_not_added_in_part() {
        let mut registry = Registry::default();
        registry.add(device("a"), &[sha256(1)]).unwrap();
        let conflict = registry
            .add(device("b"), &[sha256(2), sha256(1)])
            .unwrap_err();
        assert_eq!(
            conflict,
            Conflict::Fingerprint {
                fingerprint: sha256(1),
                device: "b".into(),
                owner: "a".into()
            }
        );
        assert!(conflict.to_string().contains("\"a\"") && conflict.to_string().contains("\"b\""));
        assert!(
            registry.find(&id(2, 0)).is_none(),
            "b's first fingerprint was inserted and not removed"
        );
        assert_eq!(registry.len(), 1);
        registry.add(device("b"), &[sha256(2)]).unwrap();
        assert_eq!(
            registry.find(&id(1, 0)).map(|device| &*device.name),
            Some("a")
        );
    }

    #[test]
    fn the_difference_counts_devices_and_reassigned_certificates() {
        let (mut former, mut now) = (Registry::default(), Registry::default());
        for (name, byte) in [("stays", 1), ("goes", 2), ("moves", 3), ("renews", 4)] {
            former.add(device(name), &[sha256(byte)]).unwrap();
        }
        for (name, byte) in [("stays", 1), ("comes", 3), ("moves", 5)] {
            now.add(device(name), &[sha256(byte)]).unwrap();
        }
        let token = AccessToken::new("another").unwrap();
        let name = "renews".into();
        now.add(Device { name, token }, &[sha256(4)]).unwrap();
        let difference = now.difference_from(&former);
        let (added, removed, changed) = (1, 1, 2);
        assert_eq!(
            difference,
            Difference {
                added,
                removed,
                changed
            }
        );
        assert_eq!(now.difference_from(&now), Difference::default());
    }

    #[test]
    fn names_and_fingerprints_are_unique() {
        let mut registry = Registry::default();
        registry.add(device("a"), &[sha256(1)]).unwrap();
        assert_eq!(
            registry.add(device("a"), &[sha256(2)]),
            Err(Conflict::Name("a".into()))
        );
        assert_eq!(
            registry.add(device("c"), &[sha256(3), sha256(3)]),
            Err(Conflict::Repeated {
                fingerprint: sha256(3),
                device: "c".into()
            })
        );
        assert!(registry.find(&id(3, 0)).is_none());
    }

    #[test]
    fn debug_shows_neither_tokens_nor_devices() {
        let mut registry = Registry::default();
        registry.add(device("a"), &[sha256(1)]).unwrap();
        assert_eq!(format!("{registry:?}"), "Registry { devices: 1, .. }");
        assert!(!format!("{:?}", registry.find(&id(1, 0))).contains("token-of-a"));
    }
}
