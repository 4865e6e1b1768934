use super::*;
use crate::credentials::tests::{Authority, NOW, YEAR, at, authority_params, params};
use crate::credentials::{KnownClient, Validity, certificates};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, GeneralSubtree, KeyIdMethod, KeyPair,
    NameConstraints, RevokedCertParams, SerialNumber, date_time_ymd,
};

mod random_authorities;
mod stored;

const VALID: [Result<(), CertificateError>; 2] = [Ok(()), Ok(())];

fn refused(refusal: &CertificateError) -> [Result<(), CertificateError>; 2] {
    [Err(refusal.clone()), Err(refusal.clone())]
}

fn der(pem: &str) -> Vec<u8> {
    certificates(pem.as_bytes()).unwrap().remove(0).to_vec()
}

fn trusting(file: &str) -> ClientPolicy {
    ClientPolicy::new(Some(file.as_bytes()), Validity::Check).unwrap()
}

/// What is decided about a client that resumes its session, and about its session.
fn judge(
    policy: &ClientPolicy,
    client: &KnownClient,
    seconds: u64,
) -> [Result<(), CertificateError>; 2] {
    [
        policy.verify_again(client, at(seconds)),
        policy.verify_authorities(client.verified.as_deref(), at(seconds)),
    ]
}

fn list_of(issuer: &Authority, number: u64, serials: &[u64]) -> Vec<u8> {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2025, 5, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 6, 1),
        next_update: date_time_ymd(2025, 7, 1),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&issuer.issuer).unwrap().der().to_vec()
}

fn numbered(mut params: CertificateParams, serial: u64) -> CertificateParams {
    params.serial_number = Some(SerialNumber::from(serial));
    params
}

/// Another certificate of an authority, for the same key.
fn renewed(authority: &Authority, params: &CertificateParams, parent: &Authority) -> String {
    let made = params.signed_by(authority.issuer.key(), &parent.issuer);
    made.unwrap().pem()
}

/// A root, an authority below it, and a device's certificate of that.
struct Line {
    root: Authority,
    upper: Authority,
    leaf: Vec<u8>,
}

impl Line {
    fn new() -> Line {
        let root = Authority::root("root");
        let upper = Authority::with(numbered(authority_params("upper"), 5), &root);
        let leaf = upper.issue(&numbered(params("meter"), 7));
        Line { root, upper, leaf }
    }

    /// Accepted when the client sends the intermediate.
    fn client(&self) -> KnownClient {
        let chain = [self.leaf.as_slice(), &der(&self.upper.pem)];
        trusting(&self.root.pem).known(&chain, at(NOW)).unwrap()
    }
}

#[test]
fn clients_of_one_path_share_it_and_unused_paths_are_removed() {
    let line = Line::new();
    let (policy, upper) = (trusting(&line.root.pem), der(&line.upper.pem));
    let mut paths = AuthorityPaths::default();
    let mut client = || {
        let leaf = line.upper.issue(&params("meter"));
        let client = policy.verify(&[&leaf, &upper], at(NOW), &mut paths);
        client.unwrap().verified.unwrap().path
    };
    let (one, two) = (client(), client());
    assert!(Arc::ptr_eq(&one, &two));
    drop((one, two));
    let mut most = 0;
    for _ in 0..4 * FEW {
        let other = Authority::with(authority_params("upper"), &line.root);
        let leaf = other.issue(&params("meter"));
        let chain: [&[u8]; 2] = [&leaf, &der(&other.pem)];
        let client = policy.verify(&chain, at(NOW), &mut paths).unwrap();
        assert_eq!(client.sent().len(), 1);
        most = most.max(paths.len());
    }
    assert_eq!(most, FEW);
    // What is not needed of what a client sends is not kept.
    let unneeded = der(&Authority::under("unneeded", &line.root).pem);
    let chain: [&[u8]; 3] = [&line.leaf, &unneeded, &upper];
    let client = policy.verify(&chain, at(NOW), &mut paths).unwrap();
    assert_eq!(client.sent(), [upper]);
}

#[test]
fn tickets_keep_a_bounded_number_of_paths() {
    let root = Authority::root("root");
    let policy = trusting(&root.pem);
    let mut paths = AuthorityPaths::default();
    let mut encoded = Vec::new();
    for _ in 0..=MOST_IN_TICKETS {
        let other = Authority::with(authority_params("upper"), &root);
        let leaf = other.issue(&params("meter"));
        let chain: [&[u8]; 2] = [&leaf, &der(&other.pem)];
        let client = policy.verify(&chain, at(NOW), &mut paths).unwrap();
        paths.keep_for_ticket(&client);
        encoded.push(client.encode());
        // The first one is named again and again.
        let first = KnownClient::decode(&encoded[0], &paths).unwrap();
        paths.keep_for_ticket(&first);
    }
    let is_known = |bytes: &Vec<u8>| KnownClient::decode(bytes, &paths).is_some();
    let unknown: Vec<usize> = (0..encoded.len())
        .filter(|index| !is_known(&encoded[*index]))
        .collect();
    assert_eq!(unknown, [1]);
    let first = KnownClient::decode(&encoded[0], &paths).unwrap();
    assert_eq!(judge(&policy, &first, NOW), VALID);
}

#[test]
fn a_client_is_judged_again_by_its_path() {
    let line = Line::new();
    let client = line.client();
    assert_eq!(judge(&trusting(&line.root.pem), &client, NOW), VALID);
    let other = trusting(&Authority::root("root").pem);
    let refusal = CertificateError::UnknownIssuer;
    assert_eq!(judge(&other, &client, NOW), refused(&refusal));
    // Beside another root, and where the file has the intermediate too.
    for file in [
        [other_root(), line.root.pem.clone()].concat(),
        [line.root.pem.clone(), line.upper.pem.clone()].concat(),
    ] {
        assert_eq!(judge(&trusting(&file), &client, NOW), VALID);
    }
    // Any issuer is accepted.
    let any = ClientPolicy::new(None, Validity::Check).unwrap();
    assert_eq!(judge(&any, &client, NOW), VALID);
    // A client that was accepted that way has not been verified.
    let unverified = any.known(&[&line.leaf], at(NOW)).unwrap();
    let refusal = CertificateError::authorities_changed();
    let verdict = judge(&trusting(&line.root.pem), &unverified, NOW);
    assert_eq!(verdict, refused(&refusal));
}

fn other_root() -> String {
    Authority::root("other").pem
}

#[test]
fn authorities_with_another_certificate_for_the_same_key_are_found() {
    let line = Line::new();
    let client = line.client();
    // The root is replaced by what was an intermediate.
    assert_eq!(judge(&trusting(&line.upper.pem), &client, NOW), VALID);
    // The intermediate of the file is renewed.
    let file = [&*line.root.pem, &*line.upper.pem].concat();
    let client = trusting(&file).known(&[&line.leaf], at(NOW)).unwrap();
    assert!(client.sent().is_empty());
    let refusal = CertificateError::UnknownIssuer;
    let verdict = judge(&trusting(&line.root.pem), &client, NOW);
    assert_eq!(verdict, refused(&refusal), "it is in no file");
    let params = numbered(authority_params("upper"), 6);
    let again = renewed(&line.upper, &params, &line.root);
    let file = [&*line.root.pem, &*again].concat();
    let mut policy = trusting(&file);
    assert_eq!(judge(&policy, &client, NOW), VALID);
    assert_eq!(judge(&policy, &client, NOW), VALID, "the second time");
    // The former one is revoked.
    let list = list_of(&line.root, 1, &[5]);
    policy.add_revocation_lists(&list).unwrap();
    assert_eq!(judge(&policy, &client, NOW), VALID);
    let list = list_of(&line.root, 2, &[5, 6]);
    policy.add_revocation_lists(&list).unwrap();
    let refusal = CertificateError::IssuerRevoked;
    assert_eq!(judge(&policy, &client, NOW), refused(&refusal));
    // One of the same name has another key.
    let impostor = Authority::with(authority_params("upper"), &line.root);
    let file = [&*line.root.pem, &*impostor.pem].concat();
    let refusal = CertificateError::UnknownIssuer;
    assert_eq!(judge(&trusting(&file), &client, NOW), refused(&refusal));
}

#[test]
fn a_new_path_whose_authorities_constrain_names_is_not_taken() {
    let line = Line::new();
    let file = [&*line.root.pem, &*line.upper.pem].concat();
    let client = trusting(&file).known(&[&line.leaf], at(NOW)).unwrap();
    let mut constrained = authority_params("upper");
    constrained.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example".to_owned())],
        excluded_subtrees: vec![],
    });
    let again = renewed(&line.upper, &constrained, &line.root);
    let policy = trusting(&[&*line.root.pem, &*again].concat());
    let refusal = CertificateError::authorities_changed();
    assert_eq!(judge(&policy, &client, NOW), refused(&refusal));
    // A client that was verified by these constraints is judged by its path.
    let client = policy.known(&[&line.leaf], at(NOW)).unwrap();
    assert_eq!(judge(&policy, &client, NOW), VALID);
}

#[test]
fn revoked_clients_and_clients_of_revoked_intermediates_are_refused() {
    let line = Line::new();
    let client = line.client();
    let file = [&*line.root.pem, &*line.upper.pem].concat();
    for (list, verdict) in [
        (list_of(&line.root, 1, &[7]), VALID),
        (list_of(&line.upper, 1, &[5, 8]), VALID),
        (
            list_of(&line.upper, 1, &[7]),
            refused(&CertificateError::Revoked),
        ),
        (
            list_of(&line.root, 1, &[5]),
            refused(&CertificateError::IssuerRevoked),
        ),
    ] {
        let mut policy = trusting(&file);
        let before = policy.clone();
        policy.add_revocation_lists(&list).unwrap();
        for _ in 0..2 {
            assert_eq!(judge(&policy, &client, NOW), verdict);
            assert_eq!(judge(&before, &client, NOW), VALID, "a clone");
        }
        // The policy that has judged it already gets another list.
        policy
            .add_revocation_lists(&list_of(&line.upper, 2, &[7]))
            .unwrap();
        assert_ne!(judge(&policy, &client, NOW), VALID);
    }
}

#[test]
fn periods_are_checked_when_a_session_is_resumed_and_end_no_session() {
    let root = Authority::root("root");
    let mut short = authority_params("short");
    short.not_after = date_time_ymd(2025, 6, 1);
    let short = Authority::with(short, &root);
    let chain = [short.issue(&params("meter")), der(&short.pem)];
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let policy = trusting(&root.pem);
    let early = NOW - YEAR / 2 - YEAR / 4;
    let client = policy.known(&chain, at(early)).unwrap();
    assert_eq!(judge(&policy, &client, early), VALID);
    let refusal = CertificateError::IssuerNotValid;
    assert_eq!(judge(&policy, &client, NOW), [Err(refusal), Ok(())]);
    // Beyond the certificate's own end, and the root's.
    for seconds in [NOW - 2 * YEAR, NOW + 2 * YEAR] {
        let [again, session] = judge(&policy, &client, seconds);
        assert_eq!((again.unwrap_err().alert(), session), (45, Ok(())));
    }
    let ignoring = ClientPolicy::new(Some(root.pem.as_bytes()), Validity::Ignore).unwrap();
    for seconds in [0, NOW, NOW + 2 * YEAR] {
        assert_eq!(judge(&ignoring, &client, seconds), VALID);
    }
    // A root that has ended.
    let mut ended = authority_params("ended");
    ended.not_after = date_time_ymd(2025, 6, 1);
    let key = KeyPair::generate().unwrap();
    let ended = Authority {
        pem: ended.self_signed(&key).unwrap().pem(),
        issuer: rcgen::Issuer::new(ended, key),
    };
    let policy = trusting(&ended.pem);
    let leaf = ended.issue(&params("meter"));
    let client = policy.known(&[&leaf], at(early)).unwrap();
    let refusal = CertificateError::IssuerNotValid;
    assert_eq!(judge(&policy, &client, NOW), [Err(refusal), Ok(())]);
}

/// Whatever a file and its lists become: a client that is accepted by what is kept of it would be by its certificates.
#[test]
fn nothing_is_accepted_again_that_would_not_be_by_its_certificates() {
    let root = Authority::root("root");
    let upper = Authority::with(numbered(authority_params("upper"), 5), &root);
    let upper_again = renewed(&upper, &numbered(authority_params("upper"), 6), &root);
    let mut ended = numbered(authority_params("upper"), 9);
    ended.not_after = date_time_ymd(2025, 6, 1);
    let upper_ended = renewed(&upper, &ended, &root);
    let mut narrow = authority_params("lower");
    narrow.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let lower = Authority::with(numbered(narrow, 8), &upper);
    let other = Authority::root("other");
    let crossed = renewed(&root, &authority_params("root"), &other);
    let leaves = [&upper, &lower, &root].map(|issuer| issuer.issue(&numbered(params("x"), 7)));
    let sent = [
        vec![],
        vec![der(&upper.pem)],
        vec![der(&lower.pem), der(&upper_again)],
        vec![der(&lower.pem), der(&upper.pem), der(&crossed)],
    ];
    let parts = [
        &root.pem,
        &upper.pem,
        &upper_again,
        &upper_ended,
        &lower.pem,
        &other.pem,
    ];
    let mut policies = Vec::new();
    for subset in 1_u32..1 << parts.len() {
        let is_in = |index: &usize| subset >> index & 1 == 1;
        let chosen = (0..parts.len()).filter(is_in);
        let file: String = chosen.map(|index| parts[index].as_str()).collect();
        let Ok(mut policy) = ClientPolicy::new(Some(file.as_bytes()), Validity::Check) else {
            continue;
        };
        policies.push(policy.clone());
        for list in [
            list_of(&root, 1, &[5]),
            list_of(&upper, 1, &[7]),
            list_of(&upper, 2, &[8]),
        ] {
            if policy.add_revocation_lists(&list).is_ok() {
                policies.push(policy.clone());
            }
        }
    }
    let (mut accepted, mut refused, mut only_by_certificates) = (0, 0, 0);
    let mut paths = AuthorityPaths::default();
    let early = NOW - YEAR / 2 - YEAR / 4;
    let mut random = fastrand::Rng::with_seed(1);
    for before in &policies {
        for leaf in &leaves {
            for sent in &sent {
                let chain: Vec<&[u8]> = std::iter::once(leaf)
                    .chain(sent)
                    .map(Vec::as_slice)
                    .collect();
                let Ok(client) = before.verify(&chain, at(early), &mut paths) else {
                    continue;
                };
                for _ in 0..3 {
                    let after = random.choice(&policies).unwrap();
                    let seconds = random.choice([early, NOW, NOW + 2 * YEAR]).unwrap();
                    let again = after.verify_again(&client, at(seconds));
                    let by_certificates = after.known(&chain, at(seconds));
                    match (again, by_certificates) {
                        (Ok(()), Ok(_)) => accepted += 1,
                        (Ok(()), Err(refusal)) => panic!("{refusal}"),
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
    assert!(accepted > 100 && refused > 100);
    // Those would be full handshakes without need.
    assert!(only_by_certificates < accepted / 5);
}
