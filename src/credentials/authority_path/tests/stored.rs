//! Paths and clients that are stored, and judged after a restart.

use super::random_authorities::{KEYS, TIMES, WORLDS, World, slices};
use super::*;
use aws_lc_rs::digest::digest;
use fastrand::Rng;
use std::collections::BTreeMap;

/// What is stored of paths.
#[derive(Default)]
struct Store(BTreeMap<PathName, Vec<u8>>);

impl Store {
    fn update(&mut self, paths: &mut AuthorityPaths, random: &mut Rng) {
        for is_put in [random.bool(), random.bool()] {
            match is_put {
                true => self.put_changed(paths),
                false => self.delete_unused(paths),
            }
        }
    }

    fn put_changed(&mut self, paths: &mut AuthorityPaths) {
        let changed = paths.take_changed().into_iter();
        self.0
            .extend(changed.map(|changed| (changed.name, changed.encoded.unwrap())));
    }

    fn delete_unused(&mut self, paths: &mut AuthorityPaths) {
        for name in paths.take_unused() {
            self.0.remove(&name);
        }
    }

    /// After a restart.
    fn restore(&self) -> AuthorityPaths {
        let mut paths = AuthorityPaths::default();
        paths.list_changes();
        for (name, encoded) in &self.0 {
            assert_eq!(paths.insert_encoded(encoded).as_ref(), Some(name));
        }
        paths
    }
}

fn listing() -> AuthorityPaths {
    let mut paths = AuthorityPaths::default();
    paths.list_changes();
    paths
}

/// Whatever authorities, files, lists and times: a stored client is judged as one that was never stored.
#[test]
fn clients_are_judged_after_a_restart_as_before_under_random_authorities() {
    let keys: Vec<KeyPair> = (0..KEYS).map(|_| KeyPair::generate().unwrap()).collect();
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..WORLDS {
        let random = &mut Rng::with_seed(u64::try_from(seed).unwrap());
        let world = World::new(&keys, random);
        let validity = random.choice([Validity::Check, Validity::Ignore]).unwrap();
        let policies: Vec<ClientPolicy> = (0..5)
            .filter_map(|_| world.policy(validity, random))
            .collect();
        let (mut paths, mut store) = (listing(), Store::default());
        let mut clients = Vec::new();
        for policy in &policies {
            for chain in &world.chains {
                let time = random.choice(TIMES).unwrap();
                clients.extend(policy.verify(&slices(chain), at(time), &mut paths));
                store.update(&mut paths, random);
            }
        }
        for _ in 0..2 {
            store.put_changed(&mut paths);
            let restored_paths = store.restore();
            let restored: Vec<KnownClient> = clients
                .iter()
                .map(|client| KnownClient::decode(&client.encode(), &restored_paths).unwrap())
                .collect();
            for policy in &policies {
                for (client, restored) in clients.iter().zip(&restored) {
                    let time = random.choice(TIMES).unwrap();
                    let verdict = judge(policy, client, time);
                    assert_eq!(judge(policy, restored, time), verdict, "{seed}");
                    match verdict {
                        [Ok(()), _] => accepted += 1,
                        _ => refused += 1,
                    }
                }
            }
            // The next time, those that were restored are stored.
            (clients, paths) = (restored, restored_paths);
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > 10 * WORLDS && refused > 10 * WORLDS);
}

/// Clients come and go, and what has changed is stored or deleted at any time, in any order: after the last time, all clients that
/// are there can be restored, and nothing else is stored.
#[test]
fn what_is_stored_of_paths_is_what_clients_have() {
    let keys: Vec<KeyPair> = (0..KEYS).map(|_| KeyPair::generate().unwrap()).collect();
    let mut most = 0;
    for seed in 0..WORLDS {
        let random = &mut Rng::with_seed(u64::try_from(seed).unwrap());
        let world = World::new(&keys, random);
        let Some(policy) = world.policy(Validity::Ignore, random) else {
            continue;
        };
        let (mut paths, mut store) = (listing(), Store::default());
        // A few are enough to remove unused ones.
        paths.remove_unused_at = 2;
        let mut clients: Vec<KnownClient> = Vec::new();
        for _ in 0..60 {
            match random.u8(..4) {
                0 | 1 => {
                    let chain = random.choice(&world.chains).unwrap();
                    clients.extend(policy.verify(&slices(chain), at(NOW), &mut paths));
                    paths.remove_unused_at = 2;
                }
                2 if !clients.is_empty() => {
                    clients.swap_remove(random.usize(..clients.len()));
                }
                2 => {}
                _ => store.update(&mut paths, random),
            }
        }
        store.put_changed(&mut paths);
        store.delete_unused(&mut paths);
        let mut used: Vec<PathName> = clients
            .iter()
            .map(|client| *client.verified.as_ref().unwrap().path.name())
            .collect();
        used.sort_unstable();
        used.dedup();
        assert!(store.0.keys().eq(&used), "{seed}");
        most = most.max(used.len());
        // After a restart with half of them, the others are not used any more.
        let mut restored = store.restore();
        clients.truncate(clients.len() / 2);
        let decoded: Vec<KnownClient> = clients
            .iter()
            .map(|client| KnownClient::decode(&client.encode(), &restored).unwrap())
            .collect();
        let unused = restored.take_unused();
        used.retain(|name| {
            let mut clients = decoded.iter();
            !clients.any(|client| client.verified.as_ref().unwrap().path.name() == name)
        });
        assert_eq!(unused, used, "{seed}");
        assert_eq!(restored.take_changed(), []);
    }
    assert!(most > 2);
}

/// Another path is searched for by the certificate that ends last.
#[test]
fn a_path_is_stored_again_when_a_client_has_a_later_certificate() {
    let line = Line::new();
    let policy = trusting(&line.root.pem);
    let mut paths = listing();
    let verify = |year, paths: &mut AuthorityPaths| {
        let mut params = params("meter");
        params.not_after = date_time_ymd(year, 1, 1);
        let leaf = line.upper.issue(&params);
        let chain: [&[u8]; 2] = [&leaf, &der(&line.upper.pem)];
        policy.verify(&chain, at(NOW), paths).unwrap()
    };
    let mut clients = vec![verify(2027, &mut paths)];
    let first = paths.take_changed();
    assert_eq!((first.len(), paths.take_changed().len()), (1, 0));
    clients.push(verify(2026, &mut paths));
    assert_eq!(paths.take_changed(), []);
    clients.push(verify(2028, &mut paths));
    let second = paths.take_changed();
    assert_eq!((second.len(), second[0].name), (1, first[0].name));
    assert_ne!(second[0].encoded, first[0].encoded);
    drop(clients);
    assert_eq!(paths.take_unused(), [first[0].name]);
    assert_eq!((paths.take_unused().len(), paths.len()), (0, 0));
}

#[test]
fn nothing_is_listed_unless_somebody_wants_it() {
    let line = Line::new();
    let mut paths = AuthorityPaths::default();
    let chain: [&[u8]; 2] = [&line.leaf, &der(&line.upper.pem)];
    let client = trusting(&line.root.pem).verify(&chain, at(NOW), &mut paths);
    assert_eq!(paths.take_changed(), []);
    drop(client);
    assert!(paths.take_unused().is_empty());
}

/// An encoded path of each kind: with and without intermediates, sent or of the file, with constraints of the anchor.
fn encoded() -> Vec<Vec<u8>> {
    let line = Line::new();
    let file = [&*line.root.pem, &*line.upper.pem].concat();
    let sent = der(&line.upper.pem);
    let mut constrained = authority_params("root");
    constrained.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![],
        excluded_subtrees: vec![GeneralSubtree::DnsName("example".to_owned())],
    });
    let key = KeyPair::generate().unwrap();
    let constrained = Authority {
        pem: constrained.self_signed(&key).unwrap().pem(),
        issuer: rcgen::Issuer::new(constrained, key),
    };
    let below = constrained.issue(&params("meter"));
    let mut paths = listing();
    let cases: [(&str, &[&[u8]]); 4] = [
        (&line.root.pem, &[&line.leaf, &sent]),
        (&file, &[&line.leaf]),
        (&line.upper.pem, &[&line.leaf]),
        (&constrained.pem, &[&below]),
    ];
    let clients = cases.map(|(file, chain)| {
        let client = trusting(file).verify(chain, at(NOW), &mut paths);
        client.unwrap()
    });
    let changed = paths.take_changed();
    assert_eq!(changed.len(), clients.len());
    changed
        .into_iter()
        .map(|changed| changed.encoded.unwrap())
        .collect()
}

#[test]
fn a_changed_or_cut_path_is_refused() {
    for bytes in encoded() {
        let mut paths = listing();
        for end in 0..bytes.len() {
            assert_eq!(paths.insert_encoded(&bytes[..end]), None);
            let mut changed = bytes.clone();
            changed[end] ^= 1;
            assert_eq!(paths.insert_encoded(&changed), None, "{end}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(paths.insert_encoded(&longer), None);
        assert_eq!(paths.len(), 0);
        let name = paths.insert_encoded(&bytes);
        assert!(name.is_some() && paths.insert_encoded(&bytes) == name);
        assert_eq!(paths.len(), 1);
    }
}

/// What was changed on purpose has the digest that fits.
#[test]
fn arbitrary_encoded_paths_never_panic_and_have_one_encoding() {
    let mut random = Rng::with_seed(4);
    let all = encoded();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = random.choice(&all).unwrap().clone();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(33..bytes.len());
            match random.u8(..4) {
                0 => bytes.truncate(place.max(34)),
                1 => bytes.insert(place, random.u8(..)),
                _ => bytes[place] = random.u8(..),
            }
        }
        let fitting = digest(&SHA256, &bytes[33..]);
        bytes[1..33].copy_from_slice(fitting.as_ref());
        match AuthorityPath::decode(&bytes) {
            Some(path) => {
                assert_eq!(path.encode(), Some(bytes));
                read += 1;
            }
            None => refused += 1,
        }
    }
    assert!(read > 100 && refused > 100, "{read} {refused}");
}

#[test]
fn a_path_that_is_too_large_is_not_stored() {
    let line = Line::new();
    let client = line.client();
    let path = &client.verified.as_ref().unwrap().path;
    let encoded = path.encode().unwrap();
    let mut longer = AuthorityPath::decode(&encoded).unwrap();
    let length = longer.leaf().der.len() + encoding::MAX_ENCODED - encoded.len();
    longer.leaf = Mutex::new(Leaf {
        der: vec![0; length].into(),
        not_after: Moment::from_seconds(0),
    });
    assert_eq!(longer.encode().map(|bytes| bytes.len()), Some(1 << 16));
    longer.leaf = Mutex::new(Leaf {
        der: vec![0; length + 1].into(),
        not_after: Moment::from_seconds(0),
    });
    assert_eq!(longer.encode(), None);
    assert!(AuthorityPath::decode(&vec![1; (1 << 16) + 1]).is_none());
}
