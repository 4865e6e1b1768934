//! Random authorities that certify each other in random ways, and random files, lists and times: what is accepted by what is
//! kept of a client would be by its certificates.

use super::{certificates, list_of};
use crate::credentials::authority_path::AuthorityPaths;
use crate::credentials::tests::{Authority, NOW, YEAR, at, authority_params, params};
use crate::credentials::{CertificateError, ClientPolicy, KnownClient, Validity};
use fastrand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, SerialNumber, date_time_ymd,
};
use std::collections::BTreeMap;

pub(super) const WORLDS: usize = if cfg!(feature = "slow-tests") {
    2_500
} else {
    60
};
const NAMES: [&str; 3] = ["a", "b", "c"];
pub(super) const KEYS: usize = 4;
pub(super) const TIMES: [u64; 4] = [
    NOW - YEAR / 2 - YEAR / 4,
    NOW - YEAR / 4,
    NOW,
    NOW + 2 * YEAR,
];

/// Every name with every key.
fn identities(keys: &[KeyPair]) -> Vec<Authority> {
    let with = |name: &&str| {
        let of_key = |key: &KeyPair| {
            let key = KeyPair::from_pem(&key.serialize_pem()).unwrap();
            Authority {
                pem: String::new(),
                issuer: Issuer::new(authority_params(name), key),
            }
        };
        keys.iter().map(of_key).collect::<Vec<_>>()
    };
    NAMES.iter().flat_map(with).collect()
}

/// What any certificate may have.
fn vary(params: &mut CertificateParams, random: &mut Rng) {
    match random.u8(..6) {
        0 => params.not_after = date_time_ymd(2025, 6, 1),
        1 => params.not_before = date_time_ymd(2025, 8, 1),
        2 => params.not_after = date_time_ymd(2029, 1, 1),
        _ => {}
    }
    params.serial_number = Some(match random.u8(..12) {
        0 => SerialNumber::from_slice(&[random.u8(1..4); 21]),
        _ => SerialNumber::from(random.u64(1..12)),
    });
    params.extended_key_usages = match random.u8(..8) {
        0 => vec![ExtendedKeyUsagePurpose::ClientAuth],
        1 => vec![ExtendedKeyUsagePurpose::ServerAuth],
        _ => vec![],
    };
    let extension = |last, content: &[u8]| {
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, last], content.to_vec());
        extension.set_criticality(true);
        extension
    };
    let policy = |number| [0x30, 8, 0x30, 6, 6, 4, 0x2b, 6, 1, number];
    match random.u8(..8) {
        0 | 1 => params
            .custom_extensions
            .push(extension(32, &policy(random.u8(1..3)))),
        2 => params
            .custom_extensions
            .push(extension(32, &[0x30, 8, 0x30, 6, 6, 4, 0x55, 0x1d, 32, 0])),
        _ => {}
    }
    if random.u8(..10) == 0 {
        let skip = random.u8(..2);
        params
            .custom_extensions
            .push(extension(36, &[0x30, 3, 0x80, 1, skip]));
    }
}

fn authority(name: &str, random: &mut Rng) -> CertificateParams {
    let mut params = authority_params(name);
    vary(&mut params, random);
    if random.u8(..3) == 0 {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(random.u8(..2)));
    }
    params.key_usages = match random.u8(..6) {
        0 => vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
        1 => vec![KeyUsagePurpose::KeyCertSign],
        _ => vec![],
    };
    let subtree = GeneralSubtree::DnsName(random.choice(["x", "y"]).unwrap().to_owned());
    params.name_constraints = match random.u8(..8) {
        0 => Some((vec![subtree], vec![])),
        1 => Some((vec![], vec![subtree])),
        _ => None,
    }
    .map(|(permitted_subtrees, excluded_subtrees)| NameConstraints {
        permitted_subtrees,
        excluded_subtrees,
    });
    params
}

fn leaf(random: &mut Rng) -> CertificateParams {
    let mut params = params("meter");
    vary(&mut params, random);
    if random.bool() {
        let name = random.choice(["x", "y"]).unwrap();
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    }
    params
}

pub(super) struct World {
    identities: Vec<Authority>,
    /// Of authorities: PEM.
    certificates: Vec<String>,
    /// What each client sends.
    pub(super) chains: Vec<Vec<Vec<u8>>>,
}

impl World {
    pub(super) fn new(keys: &[KeyPair], random: &mut Rng) -> World {
        let identities = identities(keys);
        // Few, so that they often have several certificates.
        let mut few: Vec<usize> = (0..identities.len()).collect();
        random.shuffle(&mut few);
        few.truncate(3);
        let mut certificates_of_authorities = Vec::new();
        for _ in 0..random.usize(4..10) {
            let subject = random.choice(few.iter().copied()).unwrap();
            let issuer = match random.u8(..3) {
                0 => subject,
                _ => random.choice(few.iter().copied()).unwrap(),
            };
            let name = NAMES[subject / KEYS];
            let made = authority(name, random)
                .signed_by(identities[subject].issuer.key(), &identities[issuer].issuer);
            certificates_of_authorities.push((subject, made.unwrap().pem()));
        }
        let mut chains = Vec::new();
        for _ in 0..5 {
            let issuer = random.choice(&certificates_of_authorities).unwrap().0;
            let key = KeyPair::from_pem(&random.choice(keys).unwrap().serialize_pem()).unwrap();
            let made = leaf(random).signed_by(&key, &identities[issuer].issuer);
            let mut sent: Vec<Vec<u8>> = certificates_of_authorities
                .iter()
                .filter(|_| random.bool())
                .map(|(_, pem)| certificates(pem.as_bytes()).unwrap().remove(0).to_vec())
                .collect();
            random.shuffle(&mut sent);
            sent.insert(0, made.unwrap().der().to_vec());
            chains.push(sent);
        }
        World {
            identities,
            certificates: (certificates_of_authorities.into_iter())
                .map(|(_, pem)| pem)
                .collect(),
            chains,
        }
    }

    /// A policy of some of the certificates, and lists of some authorities.
    pub(super) fn policy(&self, validity: Validity, random: &mut Rng) -> Option<ClientPolicy> {
        let chosen = self.certificates.iter().filter(|_| random.u8(..3) > 0);
        let file: String = chosen.map(String::as_str).collect();
        let mut policy = ClientPolicy::new(Some(file.as_bytes()), validity).ok()?;
        for number in 1..=random.u64(..4) {
            let issuer = random.choice(&self.identities).unwrap();
            let serials: Vec<u64> = (0..random.usize(1..4)).map(|_| random.u64(1..12)).collect();
            let _ = policy.add_revocation_lists(&list_of(issuer, number, &serials));
        }
        Some(policy)
    }
}

/// Whether a client is accepted that sends the certificates of its path alone.
fn is_accepted_by_its_path(
    policy: &ClientPolicy,
    chain: &[Vec<u8>],
    client: &KnownClient,
    time: u64,
) -> bool {
    let mut path = client.sent();
    path.insert(0, &chain[0]);
    policy.known(&path, at(time)).is_ok()
}

pub(super) fn slices(chain: &[Vec<u8>]) -> Vec<&[u8]> {
    chain.iter().map(Vec::as_slice).collect()
}

#[test]
fn nothing_is_accepted_again_that_would_not_be_by_its_certificates_under_random_authorities() {
    let keys: Vec<KeyPair> = (0..KEYS).map(|_| KeyPair::generate().unwrap()).collect();
    let (mut accepted, mut refused, mut only_by_certificates) = (0, 0, 0);
    let mut only_again: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    // In these two it once was not so.
    for seed in (0..WORLDS).chain([122, 693]) {
        let random = &mut Rng::with_seed(u64::try_from(seed).unwrap());
        let world = World::new(&keys, random);
        let validity = random.choice([Validity::Check, Validity::Ignore]).unwrap();
        let policies: Vec<ClientPolicy> = (0..5)
            .filter_map(|_| world.policy(validity, random))
            .collect();
        let mut paths = AuthorityPaths::default();
        let mut clients = Vec::new();
        for policy in &policies {
            for chain in &world.chains {
                let time = random.choice(TIMES).unwrap();
                let Ok(client) = policy.verify(&slices(chain), at(time), &mut paths) else {
                    continue;
                };
                let encoded = client.encode();
                clients.push((chain, KnownClient::decode(&encoded, &paths).unwrap()));
            }
        }
        for _ in 0..3 {
            for policy in &policies {
                for (chain, client) in &clients {
                    let time = random.choice(TIMES).unwrap();
                    let again = policy.verify_again(client, at(time));
                    match (again, policy.known(&slices(chain), at(time))) {
                        (Ok(()), Ok(_)) => accepted += 1,
                        // There are limits on the work of a search: of a client's certificates not all are looked at.
                        (Ok(()), Err(_))
                            if is_accepted_by_its_path(policy, chain, client, time) => {}
                        (Ok(()), Err(refusal)) => only_again
                            .entry(format!("{validity:?}: {refusal}"))
                            .or_default()
                            .push(seed),
                        (Err(_), Err(_)) => refused += 1,
                        (Err(_), Ok(_)) => only_by_certificates += 1,
                    }
                }
            }
        }
    }
    println!(
        "{accepted} accepted, {refused} refused, {only_by_certificates} by certificates alone"
    );
    for (refusal, seeds) in &only_again {
        println!(
            "{} times, {refusal}: {:?}",
            seeds.len(),
            &seeds[..seeds.len().min(5)]
        );
    }
    assert!(accepted > 10 * WORLDS && refused > 10 * WORLDS);
    assert!(only_again.is_empty());
}

/// The first client of a path stands for all, but not with its own period: it may be long gone.
#[test]
fn an_expired_client_does_not_stand_for_the_others_of_its_path() {
    let root = Authority::root("root");
    let upper = Authority::with(authority_params("upper"), &root);
    let file = [&*root.pem, &*upper.pem].concat();
    let before = ClientPolicy::new(Some(file.as_bytes()), Validity::Check).unwrap();
    let mut short = params("short");
    short.not_after = date_time_ymd(2025, 6, 1);
    let (short, long) = (upper.issue(&short), upper.issue(&params("long")));
    let mut paths = AuthorityPaths::default();
    let early = at(TIMES[0]);
    let _first = before.verify(&[&short], early, &mut paths).unwrap();
    let client = before.verify(&[&long], early, &mut paths).unwrap();
    // The intermediate of the file is renewed.
    let mut renewed = authority_params("upper");
    renewed.not_before = date_time_ymd(2025, 8, 1);
    let renewed = renewed.signed_by(upper.issuer.key(), &root.issuer).unwrap();
    let file = [&*root.pem, &*renewed.pem()].concat();
    let after = ClientPolicy::new(Some(file.as_bytes()), Validity::Check).unwrap();
    assert_eq!(after.known(&[&long], at(NOW)).map(drop), Ok(()));
    assert_eq!(after.verify_again(&client, at(NOW)), Ok(()));
    let session = after.verify_authorities(client.verified.as_deref(), at(NOW));
    assert_eq!(session, Ok(()));
    // It has expired itself.
    let expired = after.known(&[&short], at(NOW)).map(drop).unwrap_err();
    assert!(matches!(expired, CertificateError::Expired { .. }));
}
