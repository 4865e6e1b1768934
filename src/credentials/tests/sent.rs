//! Chains: intermediates that a client sends with its certificate.

use super::*;
use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use std::time::Instant;

fn der(authority: &Authority) -> Vec<u8> {
    let mut all = certificates(authority.pem.as_bytes()).unwrap();
    all.remove(0).to_vec()
}

fn verify(policy: &ClientPolicy, chain: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, CertificateError> {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let known = policy.known(&chain, at(NOW))?;
    let leaf = chain.iter().take(1).copied();
    Ok(leaf.chain(known.sent()).map(<[u8]>::to_vec).collect())
}

/// A root, an authority below it, one below that, and a device's certificate of the last.
struct Line {
    root: Authority,
    upper: Authority,
    lower: Authority,
    leaf: Vec<u8>,
}

impl Line {
    fn new() -> Line {
        let root = Authority::root("root");
        let upper = Authority::under("upper", &root);
        let lower = Authority::under("lower", &upper);
        let leaf = lower.issue(&params("meter"));
        Line {
            root,
            upper,
            lower,
            leaf,
        }
    }

    fn policy(&self) -> ClientPolicy {
        policy(&self.root.pem, Validity::Check)
    }

    fn upper(&self) -> Vec<u8> {
        der(&self.upper)
    }

    fn lower(&self) -> Vec<u8> {
        der(&self.lower)
    }

    /// The path, as it is returned.
    fn path(&self) -> Vec<Vec<u8>> {
        vec![self.leaf.clone(), self.lower(), self.upper()]
    }
}

#[test]
fn intermediates_that_lead_to_an_anchor_are_used_in_any_order_and_the_others_ignored() {
    let line = Line::new();
    let policy = line.policy();
    assert_eq!(verify(&policy, &line.path()), Ok(line.path()));
    let unneeded = Authority::under("unneeded", &Authority::root("other"));
    let others = vec![
        line.leaf.clone(),
        b"no certificate".to_vec(),
        line.upper(),
        der(&line.root),
        der(&unneeded),
        line.lower(),
        line.upper(),
        line.leaf.clone(),
        vec![],
    ];
    assert_eq!(verify(&policy, &others), Ok(line.path()));
    for incomplete in [
        vec![line.leaf.clone()],
        vec![line.leaf.clone(), line.lower()],
        vec![line.leaf.clone(), line.upper()],
    ] {
        let refusal = verify(&policy, &incomplete);
        assert_eq!(refusal, Err(CertificateError::UnknownIssuer));
    }
    assert_eq!(verify(&policy, &[]), Err(CertificateError::Malformed));
}

#[test]
fn what_the_file_has_need_not_be_sent_and_is_not_kept() {
    let line = Line::new();
    let file = format!("{}{}", line.root.pem, line.upper.pem);
    let policy = policy(&file, Validity::Check);
    let wanted = vec![line.leaf.clone(), line.lower()];
    assert_eq!(verify(&policy, &wanted), Ok(wanted.clone()));
    assert_eq!(verify(&policy, &line.path()), Ok(wanted));
}

#[test]
fn without_anchors_the_leaf_alone_counts() {
    let line = Line::new();
    let policy = ClientPolicy::new(None, Validity::Check).unwrap();
    let chain = vec![line.leaf.clone(), b"no certificate".to_vec()];
    assert_eq!(verify(&policy, &chain), Ok(vec![line.leaf.clone()]));
    let late = policy.known(&[&line.leaf], at(NOW + 2 * YEAR));
    assert_eq!(late.unwrap_err().alert(), 45);
}

#[test]
fn certificates_that_may_not_issue_others_are_no_intermediates() {
    let root = Authority::root("root");
    let policy = policy(&root.pem, Validity::Check);
    let mut for_lists = authority_params("lists");
    for_lists.key_usages = vec![KeyUsagePurpose::CrlSign];
    let mut limited = authority_params("limited");
    limited.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    for (params, wanted) in [
        (for_lists, Err(CertificateError::UnknownIssuer)),
        (params("meter"), Err(CertificateError::UnknownIssuer)),
        (limited, Ok(2)),
    ] {
        let issuer = Authority::with(params, &root);
        let leaf = issuer.issue(&super::params("below"));
        let path = verify(&policy, &[leaf, der(&issuer)]);
        assert_eq!(path.map(|path| path.len()), wanted);
    }
    // pathLenConstraint: nothing may issue below it but leaves.
    let mut limited = authority_params("limited");
    limited.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let limited = Authority::with(limited, &root);
    let below = Authority::under("below", &limited);
    let chain = [below.issue(&super::params("x")), der(&below), der(&limited)];
    assert!(verify(&policy, &chain).is_err());
}

#[test]
fn an_intermediate_with_the_right_name_and_a_key_of_its_own_leads_nowhere() {
    let line = Line::new();
    let policy = line.policy();
    let impostor = Authority::under("root", &Authority::root("root"));
    let leaf = impostor.issue(&params("meter"));
    for chain in [
        vec![leaf.clone(), der(&impostor)],
        vec![leaf, der(&impostor), der(&line.root)],
    ] {
        let refusal = verify(&policy, &chain).unwrap_err();
        assert_eq!(refusal.alert(), 48);
    }
    // The right one is found beside it.
    let forged = Authority::under("lower", &impostor);
    let mut chain = line.path();
    chain.insert(1, der(&forged));
    assert_eq!(verify(&policy, &chain), Ok(line.path()));
}

#[test]
fn an_expired_intermediate_is_refused_unless_validity_is_ignored() {
    let root = Authority::root("root");
    let mut short = authority_params("short");
    short.not_after = date_time_ymd(2025, 6, 1);
    let short = Authority::with(short, &root);
    let chain = vec![short.issue(&params("meter")), der(&short)];
    let refusal = verify(&policy(&root.pem, Validity::Check), &chain);
    assert_eq!(refusal, Err(CertificateError::IssuerNotValid));
    let accepted = verify(&policy(&root.pem, Validity::Ignore), &chain);
    assert_eq!(accepted, Ok(chain));
}

#[test]
fn a_revoked_intermediate_is_refused() {
    let root = Authority::root("root");
    let mut params = authority_params("upper");
    params.serial_number = Some(SerialNumber::from(7_u64));
    let upper = Authority::with(params, &root);
    let chain = vec![upper.issue(&super::params("meter")), der(&upper)];
    let mut policy = policy(&root.pem, Validity::Check);
    let list = |serial: u64| {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2025, 5, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 6, 1),
            next_update: date_time_ymd(2025, 7, 1),
            crl_number: SerialNumber::from(serial),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&root.issuer).unwrap().der().to_vec()
    };
    policy.add_revocation_lists(&list(6)).unwrap();
    assert_eq!(verify(&policy, &chain), Ok(chain.clone()));
    policy.add_revocation_lists(&list(7)).unwrap();
    let refusal = verify(&policy, &chain);
    assert_eq!(refusal, Err(CertificateError::IssuerRevoked));
}

#[test]
fn more_than_a_certificate_message_holds_is_refused() {
    let line = Line::new();
    let mut chain = line.path();
    chain.push(vec![0; 16 * 1024]);
    let refusal = verify(&line.policy(), &chain);
    assert_eq!(refusal, Err(CertificateError::Malformed));
}

/// How long a chain took to be refused.
fn time_to_refuse(policy: &ClientPolicy, chain: &[Vec<u8>]) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    let began = Instant::now();
    assert!(verify(policy, chain).is_err());
    began.elapsed()
}

#[test]
fn the_search_through_a_hostile_chain_is_bounded() {
    let root = Authority::root("root");
    let policy = policy(&root.pem, Validity::Check);
    // All of one name, each with another key: any of them could have issued any other.
    for name in ["root", "anything"] {
        let issuer = Authority::root(name);
        let all = (0..15).map(|_| der(&Authority::under(name, &issuer)));
        let leaf = Authority::root(name).issue(&params("meter"));
        let chain: Vec<Vec<u8>> = std::iter::once(leaf).chain(all).collect();
        let took = time_to_refuse(&policy, &chain);
        // All paths over them would be three million; webpki stops at 200,000 after a second or two.
        assert!(took < Duration::from_millis(700), "{name}: {took:?}");
    }
    // Two of each name, below one that the root has issued: a signature to verify on each of 64 paths.
    let mut issuer = Authority::under("0", &root);
    let mut chain = vec![der(&issuer)];
    for name in ["1", "2", "3", "4", "5", "6"] {
        let other = Authority::under(name, &issuer);
        issuer = Authority::under(name, &issuer);
        chain.extend([der(&other), der(&issuer)]);
    }
    chain.insert(0, Authority::root("6").issue(&params("meter")));
    let took = time_to_refuse(&policy, &chain);
    assert!(took < Duration::from_millis(700), "{took:?}");
}
