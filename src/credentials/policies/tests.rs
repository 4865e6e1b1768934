use super::*;
use crate::credentials::chain::AnchorsError;
use crate::credentials::tests::{Authority, NOW, YEAR, at, authority_params, params};
use crate::credentials::{CertificateError, ClientPolicy, Validity};
use rcgen::{CertificateParams, CustomExtension, KeyPair, KeyUsagePurpose, date_time_ymd};

/// 1.3.6.1.4.1.99999.n, DER.
fn oid(number: u8) -> Vec<u8> {
    vec![0x2b, 6, 1, 4, 1, 0x86, 0x8d, 0x1f, number]
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = match content.len() {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&header, content].concat()
}

fn extension(last: u64, content: Vec<u8>, critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, last], content);
    extension.set_criticality(critical);
    extension
}

/// certificatePolicies that name these.
fn policies(oids: &[Vec<u8>]) -> CustomExtension {
    let all: Vec<u8> = oids
        .iter()
        .flat_map(|oid| tlv(0x30, &tlv(0x06, oid)))
        .collect();
    extension(32, tlv(0x30, &all), true)
}

fn require_explicit(skip: u8) -> CustomExtension {
    extension(36, tlv(0x30, &tlv(0x80, &[skip])), true)
}

fn inhibit_any(skip: u8) -> CustomExtension {
    extension(54, tlv(0x02, &[skip]), true)
}

fn with(mut params: CertificateParams, extensions: &[CustomExtension]) -> CertificateParams {
    params.custom_extensions = extensions.to_vec();
    params
}

/// The verdict on a leaf below an authority below a root, each with these extensions.
fn judge(
    root: &[CustomExtension],
    authority: &[CustomExtension],
    leaf: &[CustomExtension],
) -> Result<(), CertificateError> {
    let key = KeyPair::generate().unwrap();
    let root_params = with(authority_params("root"), root);
    let root = Authority {
        pem: root_params.self_signed(&key).unwrap().pem(),
        issuer: rcgen::Issuer::new(root_params, key),
    };
    let authority = Authority::with(with(authority_params("authority"), authority), &root);
    let file = format!("{}{}", root.pem, authority.pem);
    let policy = ClientPolicy::new(Some(file.as_bytes()), Validity::Check).unwrap();
    let leaf = authority.issue(&with(params("meter"), leaf));
    let verdict = policy.verify_leaf(&leaf, at(NOW));
    // The same, if the client sends the authority's certificate.
    let policy = ClientPolicy::new(Some(root.pem.as_bytes()), Validity::Check).unwrap();
    let sent = crate::credentials::certificates(authority.pem.as_bytes()).unwrap();
    let with_sent = policy.known(&[&leaf, sent[0].as_ref()], at(NOW));
    assert_eq!(with_sent.map(drop), verdict);
    verdict
}

#[test]
fn critical_policy_extensions_are_processed_in_each_certificate_of_a_path() {
    let rows = [
        vec![policies(&[oid(1)])],
        vec![policies(&[ANY_POLICY.to_vec(), oid(1)])],
        vec![inhibit_any(0)],
        vec![policies(&[oid(1)]), inhibit_any(2)],
        // Long enough for a length of two and of three bytes.
        vec![policies(&(0..11).map(oid).collect::<Vec<_>>())],
        vec![policies(&(0..30).map(oid).collect::<Vec<_>>())],
    ];
    for row in rows {
        assert_eq!(judge(&row, &[], &[]), Ok(()), "root");
        assert_eq!(judge(&[], &row, &[]), Ok(()), "authority");
        assert_eq!(judge(&[], &[], &row), Ok(()), "leaf");
        assert_eq!(judge(&row, &row, &row), Ok(()), "all");
    }
    let all = [policies(&[oid(1)]), require_explicit(0), inhibit_any(0)];
    assert_eq!(judge(&all, &all, &all), Ok(()));
}

#[test]
fn a_required_policy_must_be_in_all_certificates_of_the_path() {
    let one = [policies(&[oid(1)])];
    let other = [policies(&[oid(2)])];
    let any = [policies(&[ANY_POLICY.to_vec()])];
    let requires = |more: &[CustomExtension]| [&[require_explicit(0)], more].concat();
    let refused = Err(CertificateError::NoPolicy);
    assert_eq!(CertificateError::NoPolicy.alert(), 42);
    for (authority, leaf, expected) in [
        (requires(&one), &one[..], Ok(())),
        (requires(&one), &[][..], refused.clone()),
        (requires(&one), &other[..], refused.clone()),
        (requires(&[]), &one[..], refused.clone()),
        (requires(&any), &other[..], Ok(())),
        (requires(&one), &any[..], Ok(())),
        (
            requires(&[policies(&[oid(1)]), inhibit_any(0)]),
            &any[..],
            refused.clone(),
        ),
        (
            requires(&[policies(&[oid(1)]), inhibit_any(0)]),
            &one[..],
            Ok(()),
        ),
        // Required only of certificates further down the path.
        (vec![require_explicit(5)], &[][..], Ok(())),
        (vec![], &[require_explicit(0)][..], refused.clone()),
        (vec![], &[require_explicit(1)][..], Ok(())),
    ] {
        assert_eq!(
            judge(&[], &authority, leaf),
            expected,
            "{authority:?} {leaf:?}"
        );
    }
}

#[test]
fn malformed_and_unknown_critical_extensions_are_rejected() {
    for malformed in [
        extension(32, tlv(0x30, &tlv(0x30, &[])), true),
        extension(36, vec![0x05, 0x00], true),
        extension(54, vec![0x30, 0x00], true),
    ] {
        let verdict = judge(&[], &[], std::slice::from_ref(&malformed));
        assert_eq!(verdict, Err(CertificateError::Malformed), "{malformed:?}");
    }
    // policyMappings, and an unknown extension.
    for last in [33, 99] {
        let content = tlv(
            0x30,
            &tlv(0x30, &[tlv(6, &oid(1)), tlv(6, &oid(2))].concat()),
        );
        let verdict = judge(&[], &[], &[extension(last, content, true)]);
        assert!(
            matches!(verdict, Err(CertificateError::Chain(_))),
            "{verdict:?}"
        );
    }
    let maps = || {
        let content = tlv(
            0x30,
            &tlv(0x30, &[tlv(6, &oid(1)), tlv(6, &oid(2))].concat()),
        );
        extension(33, content, false)
    };
    let authority = [policies(&[oid(1)]), maps()];
    let leaf = [policies(&[oid(1)])];
    assert_eq!(judge(&[], &authority, &leaf), Ok(()));
    let authority = [require_explicit(0), policies(&[oid(1)]), maps()];
    assert_eq!(
        judge(&[], &authority, &leaf),
        Err(CertificateError::NoPolicy)
    );
}

#[test]
fn a_damaged_certificate_with_policies_is_rejected() {
    let root = Authority::root("root");
    let policy = ClientPolicy::new(Some(root.pem.as_bytes()), Validity::Ignore).unwrap();
    let own = [policies(&[oid(1)]), inhibit_any(0)];
    let leaf = root.issue(&with(params("meter"), &own));
    assert_eq!(policy.verify_leaf(&leaf, at(NOW)), Ok(()));
    for index in 0..leaf.len() {
        for bit in [0x01, 0x80, 0xff] {
            let mut damaged = leaf.clone();
            damaged[index] ^= bit;
            assert!(
                policy.verify_leaf(&damaged, at(NOW)).is_err(),
                "{index} {bit:#x}"
            );
        }
    }
    // The patched copy for webpki was never signed.
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    let shown = Patches::default().patch(&leaf, &parsed).unwrap();
    assert_eq!(shown.len(), leaf.len());
    assert!(policy.verify_leaf(&shown, at(NOW)).is_err());
}

#[test]
fn counters_decrease_with_each_certificate_that_is_not_self_issued() {
    let names = |number: u8| Policies {
        named: Some([oid(number)].into()),
        ..Policies::default()
    };
    let silent = Policies::default();
    let requires = |skip| Policies {
        require_explicit: Some(skip),
        ..names(1)
    };
    let self_issued = Policies {
        is_self_issued: true,
        ..names(1)
    };
    assert!(are_satisfied(&[]) && are_satisfied(&[&silent]));
    // A policy is required after two more certificates.
    assert!(!are_satisfied(&[&requires(2), &silent, &silent, &silent]));
    assert!(are_satisfied(&[&requires(4), &silent, &silent, &silent]));
    assert!(are_satisfied(&[&requires(0), &names(1), &names(1)]));
    assert!(!are_satisfied(&[&requires(0), &names(1), &names(2)]));
    assert!(!are_satisfied(&[&requires(0), &names(2), &names(1)]));
    let self_issued_step = [&requires(3), &self_issued, &self_issued, &silent];
    assert!(are_satisfied(&self_issued_step));
}

#[test]
fn an_expired_root_is_rejected_unless_it_was_renewed() {
    let key = KeyPair::generate().unwrap();
    let root = |last: i32| {
        let mut params = authority_params("root");
        params.not_after = date_time_ymd(last, 1, 1);
        params.self_signed(&key).unwrap().pem()
    };
    let (old, new) = (root(2026), root(2030));
    let issuer = rcgen::Issuer::new(authority_params("root"), &key);
    let leaf = KeyPair::generate().unwrap();
    let leaf = params("meter").signed_by(&leaf, &issuer).unwrap();
    let judge = |file: &str, validity, now| {
        let policy = ClientPolicy::new(Some(file.as_bytes()), validity).unwrap();
        policy.verify_leaf(leaf.der(), at(now))
    };
    let later = NOW + YEAR / 2;
    assert_eq!(judge(&old, Validity::Check, NOW - YEAR / 2), Ok(()));
    let refused = judge(&old, Validity::Check, later);
    assert_eq!(refused, Err(CertificateError::IssuerNotValid));
    assert_eq!(CertificateError::IssuerNotValid.alert(), 42);
    assert_eq!(judge(&old, Validity::Ignore, later), Ok(()));
    assert_eq!(
        judge(&format!("{old}{new}"), Validity::Check, later),
        Ok(())
    );
}

#[test]
fn an_authority_without_key_cert_sign_is_rejected_when_it_is_read() {
    for (usages, expected) in [
        (vec![KeyUsagePurpose::CrlSign], Some("root")),
        (vec![KeyUsagePurpose::DigitalSignature], Some("root")),
        (vec![KeyUsagePurpose::KeyCertSign], None),
        (vec![], None),
    ] {
        let mut params = authority_params("root");
        params.key_usages = usages;
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let read = ClientPolicy::new(Some(pem.as_bytes()), Validity::Check).err();
        let expected = expected.map(|name| AnchorsError::MayNotSign(format!("CN={name}")));
        assert_eq!(read, expected);
    }
}

#[test]
fn a_leaf_without_digital_signature_is_rejected_with_42() {
    let root = Authority::root("root");
    let policy = ClientPolicy::new(Some(root.pem.as_bytes()), Validity::Check).unwrap();
    for (usages, expected) in [
        (
            vec![KeyUsagePurpose::KeyAgreement],
            Err(CertificateError::NotForSigning),
        ),
        (
            vec![
                KeyUsagePurpose::KeyAgreement,
                KeyUsagePurpose::DigitalSignature,
            ],
            Ok(()),
        ),
        (vec![], Ok(())),
    ] {
        let mut params = params("meter");
        params.key_usages = usages;
        assert_eq!(policy.verify_leaf(&root.issue(&params), at(NOW)), expected);
    }
    assert_eq!(CertificateError::NotForSigning.alert(), 42);
}

/// Where validity is ignored, an authority that has ended counts for the time before, even if another certificate of it, which
/// has not ended, requires a policy.
#[test]
fn a_path_without_its_policy_does_not_hide_one_of_another_moment() {
    let root = Authority::root("root");
    let strict = with(authority_params("upper"), &[require_explicit(0)]);
    let strict = Authority::with(strict, &root);
    let mut ended = authority_params("upper");
    ended.not_after = date_time_ymd(2025, 6, 1);
    let ended = ended.signed_by(strict.issuer.key(), &root.issuer).unwrap();
    let leaf = strict.issue(&params("meter"));
    for file in [
        [&*root.pem, &*strict.pem, &*ended.pem()].concat(),
        [&*root.pem, &*ended.pem()].concat(),
    ] {
        let policy = ClientPolicy::new(Some(file.as_bytes()), Validity::Ignore).unwrap();
        assert_eq!(policy.verify_leaf(&leaf, at(NOW)), Ok(()));
    }
}
