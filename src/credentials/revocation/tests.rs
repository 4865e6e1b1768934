use super::*;
use crate::credentials::tests::{Authority, NOW, at, authority_params, params};
use crate::credentials::{CertificateError, ClientPolicy, Moment, Validity};
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    DnType, Issuer as Signer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, SigningKey, date_time_ymd,
};
use std::error::Error as _;

/// A leaf with this serial number.
fn leaf(authority: &Authority, serial: u64) -> Vec<u8> {
    let mut params = params("meter");
    params.serial_number = Some(SerialNumber::from(serial));
    authority.issue(&params)
}

/// The parameters of a list: number 1, of 2025-06-01, nextUpdate a month later.
fn list_params(serials: &[u64]) -> CertificateRevocationListParams {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2025, 5, 1),
        reason_code: None,
        invalidity_date: None,
    };
    CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 6, 1),
        next_update: date_time_ymd(2025, 7, 1),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

fn signed(params: &CertificateRevocationListParams, authority: &Authority) -> Vec<u8> {
    let list = params.signed_by(&authority.issuer).unwrap();
    list.der().to_vec()
}

fn list_of(authority: &Authority, serials: &[u64]) -> Vec<u8> {
    signed(&list_params(serials), authority)
}

fn pem(der: &[u8]) -> String {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    format!("-----BEGIN X509 CRL-----\n{text}\n-----END X509 CRL-----\n")
}

fn trusting(anchors: &str) -> ClientPolicy {
    ClientPolicy::new(Some(anchors.as_bytes()), Validity::Check).unwrap()
}

fn judge(policy: &ClientPolicy, leaf: &[u8]) -> Result<(), CertificateError> {
    policy.verify_leaf(leaf, at(NOW))
}

#[test]
fn a_revoked_certificate_gets_alert_44_and_others_are_accepted() {
    let ours = Authority::root("ours");
    let (good, bad) = (leaf(&ours, 7), leaf(&ours, 0xfeed_0000_0000_0001));
    let list = list_of(&ours, &[1, 0xfeed_0000_0000_0001]);
    for file in [
        list.clone(),
        pem(&list).into_bytes(),
        format!("prose\n{}{}", ours.pem, pem(&list)).into(),
    ] {
        let mut policy = trusting(&ours.pem);
        assert_eq!(judge(&policy, &bad), Ok(()));
        assert_eq!(policy.add_revocation_lists(&file), Ok(vec![]));
        assert_eq!(judge(&policy, &good), Ok(()));
        assert_eq!(judge(&policy, &bad), Err(CertificateError::Revoked));
    }
    assert_eq!(CertificateError::Revoked.alert(), 44);
}

#[test]
fn devices_under_a_revoked_intermediate_are_rejected() {
    let root = Authority::root("root");
    let mut params = authority_params("intermediate");
    params.serial_number = Some(SerialNumber::from(5u64));
    let intermediate = Authority::with(params.clone(), &root);
    let device = leaf(&intermediate, 7);
    let file = format!("{}{}", root.pem, intermediate.pem);
    let mut policy = trusting(&file);
    // 7 is the device's number, but with another issuer.
    policy.add_revocation_lists(&list_of(&root, &[7])).unwrap();
    assert_eq!(judge(&policy, &device), Ok(()));
    let mut newer = list_params(&[5]);
    newer.crl_number = SerialNumber::from(2u64);
    policy.add_revocation_lists(&signed(&newer, &root)).unwrap();
    assert_eq!(
        judge(&policy, &device),
        Err(CertificateError::IssuerRevoked)
    );
    assert_eq!(CertificateError::IssuerRevoked.alert(), 44);

    // The same authority with another certificate for the same key: there is a path again.
    params.serial_number = Some(SerialNumber::from(6u64));
    let renewed = params
        .signed_by(intermediate.issuer.key(), &root.issuer)
        .unwrap();
    let mut policy = trusting(&format!("{file}{}", renewed.pem()));
    policy.add_revocation_lists(&signed(&newer, &root)).unwrap();
    assert_eq!(judge(&policy, &device), Ok(()));
}

#[test]
fn a_root_that_revokes_itself_is_still_trusted() {
    let mut params = authority_params("root");
    params.serial_number = Some(SerialNumber::from(5u64));
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Signer::new(params, key);
    let root = Authority { pem, issuer };
    let mut policy = trusting(&root.pem);
    policy.add_revocation_lists(&list_of(&root, &[5])).unwrap();
    assert_eq!(judge(&policy, &leaf(&root, 7)), Ok(()));
}

#[test]
fn each_list_revokes_only_certificates_of_its_own_issuer() {
    let (one, other) = (Authority::root("one"), Authority::root("other"));
    let mut policy = trusting(&format!("{}{}", one.pem, other.pem));
    policy.add_revocation_lists(&list_of(&one, &[7])).unwrap();
    assert_eq!(judge(&policy, &leaf(&other, 7)), Ok(()));
    assert_eq!(
        judge(&policy, &leaf(&one, 7)),
        Err(CertificateError::Revoked)
    );
    // Many lists in one file, of many issuers.
    let lists = [pem(&list_of(&one, &[7])), pem(&list_of(&other, &[7]))].concat();
    policy.add_revocation_lists(lists.as_bytes()).unwrap();
    assert_eq!(
        judge(&policy, &leaf(&other, 7)),
        Err(CertificateError::Revoked)
    );
}

#[test]
fn a_list_past_its_next_update_is_still_used_and_its_expiry_is_reported() {
    let ours = Authority::root("ours");
    let mut policy = trusting(&ours.pem);
    policy.add_revocation_lists(&list_of(&ours, &[7])).unwrap();
    assert_eq!(
        judge(&policy, &leaf(&ours, 7)),
        Err(CertificateError::Revoked)
    );
    let dates: Vec<Expiry> = policy.expiries().collect();
    let expected = [
        (ExpiryKind::TrustAnchor, 1_798_761_600),
        (ExpiryKind::RevocationList, 1_751_328_000),
    ]
    .map(|(kind, at)| Expiry {
        kind,
        name: "CN=ours".into(),
        at: Moment::from_seconds(at),
    });
    assert_eq!(dates, expected);
}

#[test]
fn serial_numbers_of_twenty_octets_and_with_a_leading_zero_are_found() {
    let ours = Authority::root("ours");
    for octets in [vec![0x7f; 20], vec![0xff; 20], vec![0x80, 1], vec![0, 0, 9]] {
        let serial = SerialNumber::from(octets.clone());
        let mut params = params("meter");
        params.serial_number = Some(serial.clone());
        let device = ours.issue(&params);
        let mut list = list_params(&[1]);
        list.revoked_certs[0].serial_number = serial;
        let mut policy = trusting(&ours.pem);
        policy.add_revocation_lists(&signed(&list, &ours)).unwrap();
        assert_eq!(
            judge(&policy, &device),
            Err(CertificateError::Revoked),
            "{octets:?}"
        );
        assert_eq!(judge(&policy, &leaf(&ours, 2)), Ok(()));
    }
    assert_eq!(Serial::of(&[1; 21]), None);
    assert_eq!(Serial::of(&[0, 0, 1]), Serial::of(&[1]));
    assert_ne!(Serial::of(&[1, 0]), Serial::of(&[1]));
}

#[test]
fn a_newer_list_supersedes_an_older_one_in_either_order() {
    let ours = Authority::root("ours");
    let old = list_params(&[7]);
    let mut by_number = list_params(&[8]);
    by_number.crl_number = SerialNumber::from(256u64);
    let mut by_both = by_number.clone();
    by_both.this_update = date_time_ymd(2025, 6, 2);
    for new in [by_number, by_both] {
        for order in [[&old, &new], [&new, &old]] {
            let [one, other] = order.map(|params| signed(params, &ours));
            let mut policy = trusting(&ours.pem);
            assert_eq!(policy.add_revocation_lists(&one), Ok(vec![]));
            assert_eq!(
                policy.add_revocation_lists(&other),
                Ok(vec!["CN=ours".into()])
            );
            assert_eq!(judge(&policy, &leaf(&ours, 7)), Ok(()));
            assert_eq!(
                judge(&policy, &leaf(&ours, 8)),
                Err(CertificateError::Revoked)
            );
        }
    }
}

#[test]
fn lists_that_do_not_supersede_each_other_are_all_used() {
    let ours = Authority::root("ours");
    let one = list_params(&[7]);
    // A later date with a lower number, and the same of both with another content.
    let mut contradiction = list_params(&[8]);
    contradiction.this_update = date_time_ymd(2025, 6, 2);
    contradiction.crl_number = SerialNumber::from(0u64);
    let twin = list_params(&[8]);
    let mut part = list_params(&[8]);
    part.crl_number = SerialNumber::from(2u64);
    part.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint {
            uris: vec!["http://ca.example/devices.crl".into()],
        },
        scope: Some(CrlScope::UserCertsOnly),
    });
    for other in [contradiction, twin, part] {
        let mut policy = trusting(&ours.pem);
        for params in [&one, &other, &one, &other] {
            let added = policy.add_revocation_lists(&signed(params, &ours));
            assert_eq!(added, Ok(vec![]));
        }
        for serial in [7, 8] {
            let verdict = judge(&policy, &leaf(&ours, serial));
            assert_eq!(verdict, Err(CertificateError::Revoked));
        }
        assert_eq!(policy.expiries().count(), 3, "the same list twice is one");
    }
}

#[test]
fn an_authority_with_a_new_key_revokes_what_it_issued_with_the_old_one() {
    let (old, new) = (Authority::root("ours"), Authority::root("ours"));
    let mut policy = trusting(&format!("{}{}", old.pem, new.pem));
    policy.add_revocation_lists(&list_of(&new, &[7])).unwrap();
    for authority in [&old, &new] {
        assert_eq!(
            judge(&policy, &leaf(authority, 7)),
            Err(CertificateError::Revoked)
        );
        assert_eq!(judge(&policy, &leaf(authority, 8)), Ok(()));
    }
}

fn unusable(policy: &mut ClientPolicy, file: &[u8]) -> ListFault {
    match policy.add_revocation_lists(file) {
        Err(RevocationError::Unusable { issuer, fault }) => {
            assert_eq!(issuer, "CN=ours");
            fault
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_that_no_trust_anchor_has_signed_is_rejected() {
    let (ours, impostor) = (Authority::root("ours"), Authority::root("ours"));
    let mut elsewhere = trusting(&Authority::root("theirs").pem);
    let mut policy = trusting(&ours.pem);
    let list = list_of(&ours, &[7]);
    assert_eq!(unusable(&mut elsewhere, &list), ListFault::UnknownIssuer);
    let forged = list_of(&impostor, &[7]);
    assert_eq!(unusable(&mut policy, &forged), ListFault::WrongSignature);
    // Another number of days, under the same signature.
    let mut changed = list.clone();
    let date = b"250701000000Z";
    let position = list.windows(date.len()).position(|bytes| bytes == date);
    changed[position.unwrap() + 4] = b'2';
    assert_eq!(unusable(&mut policy, &changed), ListFault::WrongSignature);
    // Of a file with a valid list and an invalid one none is added.
    let both = format!("{}{}", pem(&list), pem(&forged));
    assert!(policy.add_revocation_lists(both.as_bytes()).is_err());
    assert_eq!(judge(&policy, &leaf(&ours, 7)), Ok(()));
    assert_eq!(policy.expiries().count(), 1);
}

#[test]
fn a_list_of_an_authority_without_crl_sign_is_rejected() {
    let key = KeyPair::generate().unwrap();
    let mut params = authority_params("ours");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pem = params.self_signed(&key).unwrap().pem();
    // rcgen itself would not sign.
    let issuer = Signer::new(authority_params("ours"), key);
    let ours = Authority { pem, issuer };
    let mut policy = trusting(&ours.pem);
    let fault = unusable(&mut policy, &list_of(&ours, &[7]));
    assert_eq!(fault, ListFault::NotListSigner);
}

#[test]
fn without_anchors_a_list_is_rejected() {
    let mut policy = ClientPolicy::new(None, Validity::Check).unwrap();
    let list = list_of(&Authority::root("ours"), &[7]);
    let wrong = policy.add_revocation_lists(&list);
    assert_eq!(wrong, Err(RevocationError::NoAnchors));
    assert!(!policy.verifies_chains() && policy.expiries().count() == 0);
}

/// DER: a tag, the length, and what is in it.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let length = u8::try_from(contents.len()).unwrap();
    let head = match length {
        0..=127 => vec![tag, length],
        _ => vec![tag, 0x81, length],
    };
    [head, contents].concat()
}

/// A list made by hand: with or without version and nextUpdate, and with more extensions of the list and its entry.
fn by_hand(
    ours: &Authority,
    version: &[u8],
    next_update: &[u8],
    of_list: &[u8],
    of_entry: &[u8],
) -> Vec<u8> {
    // ecdsa-with-SHA256 (RFC 5758 §3.2).
    let algorithm = der(
        0x30,
        &[&der(0x06, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]])],
    );
    let common_name = [der(0x06, &[&[0x55, 4, 3]]), der(0x0c, &[b"ours"])].concat();
    let name = der(0x30, &[&der(0x31, &[&der(0x30, &[&common_name])])]);
    let date = der(0x17, &[b"250601000000Z"]);
    let entry_extensions = match of_entry {
        [] => vec![],
        _ => der(0x30, &[of_entry]),
    };
    let entry = der(0x30, &[&[0x02, 1, 7], &date, &entry_extensions]);
    let number = extension(20, &[0x02, 1, 1], false);
    let extensions = der(0xa0, &[&der(0x30, &[&number, of_list])]);
    let tbs = der(
        0x30,
        &[
            version,
            &algorithm,
            &name,
            &date,
            next_update,
            &der(0x30, &[&entry]),
            &extensions,
        ],
    );
    let signature = ours.issuer.key().sign(&tbs).unwrap();
    der(0x30, &[&tbs, &algorithm, &der(0x03, &[&[0], &signature])])
}

/// An extension id-ce (2.5.29) with this last number.
fn extension(id: u8, value: &[u8], critical: bool) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 1, 0xff] } else { &[] };
    let parts = [
        &der(0x06, &[&[0x55, 0x1d, id]]),
        critical,
        &der(0x04, &[value]),
    ];
    der(0x30, &parts)
}

#[test]
fn unsupported_kinds_of_lists_are_rejected_by_name() {
    let ours = Authority::root("ours");
    let version = [0x02, 1, 1].as_slice();
    let due = der(0x17, &[b"250701000000Z"]);
    let none = [].as_slice();
    // In the right form it is accepted, so the difference is the reason for the rejections below.
    let mut policy = trusting(&ours.pem);
    let fine = by_hand(&ours, version, &due, none, none);
    policy.add_revocation_lists(&fine).unwrap();
    assert_eq!(
        judge(&policy, &leaf(&ours, 7)),
        Err(CertificateError::Revoked)
    );

    let delta = extension(27, &[0x02, 1, 1], true);
    let indirect = extension(28, &[0x30, 3, 0x84, 1, 0xff], true);
    let some_reasons = extension(28, &[0x30, 4, 0x83, 2, 1, 0x40], true);
    let nameless = extension(28, &[0x30, 3, 0x81, 1, 0xff], true);
    let unknown = extension(99, &[0x05, 0], true);
    let other_issuer = extension(29, &[0x30, 0], true);
    for (list, expected) in [
        (by_hand(&ours, none, &due, none, none), ListFault::Version1),
        (
            by_hand(&ours, version, none, none, none),
            ListFault::NoNextUpdate,
        ),
        (
            by_hand(&ours, version, &due, &delta, none),
            ListFault::Delta,
        ),
        (
            by_hand(&ours, version, &due, &indirect, none),
            ListFault::Indirect,
        ),
        (
            by_hand(&ours, version, &due, &some_reasons, none),
            ListFault::Part,
        ),
        (
            by_hand(&ours, version, &due, &nameless, none),
            ListFault::Part,
        ),
        (
            by_hand(&ours, version, &due, &unknown, none),
            ListFault::CriticalExtension,
        ),
        (
            by_hand(&ours, version, &due, none, &unknown),
            ListFault::CriticalExtension,
        ),
        (
            by_hand(&ours, version, &due, none, &other_issuer),
            ListFault::Indirect,
        ),
    ] {
        assert_eq!(unusable(&mut policy, &list), expected);
    }
    // Extensions that are not critical are ignored.
    let more = extension(99, &[0x05, 0], false);
    let fine = by_hand(&ours, version, &due, &more, none);
    assert_eq!(policy.add_revocation_lists(&fine), Ok(vec![]));
}

#[test]
fn files_that_are_not_lists_are_rejected_with_the_reason() {
    let ours = Authority::root("ours");
    let mut policy = trusting(&ours.pem);
    let mut wrong = |file: &[u8]| policy.add_revocation_lists(file).unwrap_err().to_string();
    assert!(wrong(ours.pem.as_bytes()).contains("no X509 CRL in it"));
    assert!(wrong(b"").contains("no X509 CRL in it"));
    assert!(wrong(&leaf(&ours, 7)).contains("a certificate, not a revocation list"));
    let fine = pem(&list_of(&ours, &[7]));
    assert!(wrong(&fine.as_bytes()[..fine.len() - 20]).contains("-----END"));
    let second = format!("{fine}{}", pem(&[0x30, 0]));
    assert!(wrong(second.as_bytes()).contains("list 2 in it is malformed"));
    let trailing = [list_of(&ours, &[7]), vec![0]].concat();
    assert!(wrong(&trailing).contains("malformed"));
}

#[test]
fn a_damaged_list_is_rejected_without_a_panic() {
    let ours = Authority::root("ours");
    let list = list_of(&ours, &[7, 8]);
    let mut policy = trusting(&ours.pem);
    for index in 0..list.len() {
        assert!(policy.add_revocation_lists(&list[..index]).is_err());
        for bit in [0x01, 0x80, 0xff] {
            let mut damaged = list.clone();
            damaged[index] ^= bit;
            assert!(policy.add_revocation_lists(&damaged).is_err(), "{index}");
        }
    }
    for bad in [vec![0x30; 1000], vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]] {
        assert!(policy.add_revocation_lists(&bad).is_err());
    }
    assert_eq!(policy.expiries().count(), 1);
}

#[test]
fn more_lists_or_entries_than_the_bounds_are_rejected() {
    let ours = Authority::root("ours");
    let of_number = |number: u64| {
        let mut params = list_params(&[number]);
        // Each with a scope of its own, or the newest would supersede the others.
        params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec![format!("http://ca.example/{number}.crl")],
            },
            scope: None,
        });
        pem(&signed(&params, &ours))
    };
    let mut policy = trusting(&ours.pem);
    let file: String = (1..=1000).map(of_number).collect();
    policy.add_revocation_lists(file.as_bytes()).unwrap();
    assert_eq!(
        judge(&policy, &leaf(&ours, 1000)),
        Err(CertificateError::Revoked)
    );
    let more = policy.add_revocation_lists(of_number(1001).as_bytes());
    assert_eq!(more, Err(RevocationError::TooManyLists));

    let certificate = x509_parser::pem::parse_x509_pem(ours.pem.as_bytes()).unwrap();
    let issuer = Issuer::from_certificate(&certificate.1.parse_x509().unwrap());
    let two = list_of(&ours, &[7, 8]);
    let read = |most| RevocationList::read(&two, std::slice::from_ref(&issuer), most);
    assert_eq!(read(2).map(|list| list.serials()).ok(), Some(2));
    let fault = read(1).map(|list| list.serials()).unwrap_err().1;
    assert_eq!(fault, ListFault::TooManyRevoked);
}

#[test]
fn display_names_are_short_and_have_no_control_characters() {
    let mut params = authority_params("odd\u{1b}[31m\nname");
    let long = "x".repeat(60);
    params
        .distinguished_name
        .push(DnType::OrganizationName, long.as_str());
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Signer::new(params, key);
    let odd = Authority { pem, issuer };
    let mut policy = trusting(&odd.pem);
    policy.add_revocation_lists(&list_of(&odd, &[7])).unwrap();
    assert_eq!(policy.expiries().count(), 2);
    for Expiry { name, .. } in policy.expiries() {
        assert!(name.contains("odd") && !name.contains(char::is_control));
        assert_eq!(name.chars().count(), 64);
    }
    let mut elsewhere = trusting(&Authority::root("ours").pem);
    let wrong = elsewhere.add_revocation_lists(&list_of(&odd, &[7]));
    let wrong = wrong.unwrap_err();
    assert!(!wrong.to_string().contains(char::is_control) && wrong.source().is_none());
}
