use super::{as_numbers, bytes, numbers, written};
use crate::alert::AlertDescription;
use crate::message::extension::{ClientExtensions, ExtensionType, MaxFragmentLength};

/// One extension as it is on the wire.
fn extension(extension_type: ExtensionType, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [
        &extension_type.0.to_be_bytes()[..],
        &length.to_be_bytes(),
        content,
    ]
    .concat()
}

#[test]
fn what_is_written_is_read_again() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..500 {
        let (groups, schemes, versions) = (
            numbers(&mut random),
            numbers(&mut random),
            numbers(&mut random),
        );
        let (name, ticket) = (bytes(&mut random, 1..=60), bytes(&mut random, 0..=300));
        let (connection_id, verify_data) =
            (bytes(&mut random, 0..=255), bytes(&mut random, 0..=24));
        let extensions = ClientExtensions {
            server_name: random.bool().then_some(&name),
            max_fragment_length: MaxFragmentLength::from_number(random.u8(0..5)),
            supported_groups: random.bool().then(|| as_numbers(&groups)),
            ec_point_formats: random.bool(),
            signature_algorithms: random.bool().then(|| as_numbers(&schemes)),
            extended_master_secret: random.bool(),
            record_size_limit: random.bool().then(|| random.u16(64..)),
            session_ticket: random.bool().then_some(&ticket),
            supported_versions: random.bool().then(|| as_numbers(&versions)),
            connection_id: random.bool().then_some(&connection_id),
            return_routability_check: random.bool(),
            renegotiation_info: random.bool().then_some(&verify_data),
        };
        let mut block = written(|buffer| extensions.write(buffer));
        assert_eq!(ClientExtensions::parse(&block), Ok(extensions));
        // What is unknown is skipped, whatever it has: ALPN, encrypt_then_mac, GREASE (RFC 8701).
        for unknown in [16, 22, 0x0a0a] {
            block.extend(extension(ExtensionType(unknown), &ticket));
        }
        assert_eq!(ClientExtensions::parse(&block), Ok(extensions));
    }
}

/// Class 38, BoringSSL's DuplicateExtensionServer: whether the server knows the extension or not.
#[test]
fn class_38_an_extension_that_occurs_twice_is_refused() {
    let secret = extension(ExtensionType::EXTENDED_MASTER_SECRET, &[]);
    let unknown = extension(ExtensionType(0xffff), &[1, 2]);
    let other = extension(ExtensionType(0xfffe), &[1, 2]);
    assert!(ClientExtensions::parse(&[&secret[..], &unknown, &other].concat()).is_ok());
    for twice in [
        [&secret[..], &secret, &unknown],
        [&secret[..], &unknown, &secret],
        [&unknown[..], &secret, &unknown],
    ] {
        let block = twice.concat();
        assert_eq!(
            ClientExtensions::parse(&block),
            Err(AlertDescription::DECODE_ERROR)
        );
    }
    // As many as fit into a message are compared in no time.
    let many: Vec<u8> = (0x4000..0x5000)
        .flat_map(|number| extension(ExtensionType(number), &[]))
        .collect();
    assert!(ClientExtensions::parse(&many).is_ok());
}

#[test]
fn malformed_contents_are_refused() {
    let malformed: &[(ExtensionType, &[&[u8]])] = &[
        (
            ExtensionType::SERVER_NAME,
            &[
                &[],
                &[0, 0],
                // An empty name; two names; a byte behind the list, and one behind the name.
                &[0, 3, 0, 0, 0],
                &[0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b'],
                &[0, 4, 0, 0, 1, b'a', 0],
                &[0, 5, 0, 0, 1, b'a', 0],
            ],
        ),
        (ExtensionType::MAX_FRAGMENT_LENGTH, &[&[], &[1, 0]]),
        (
            ExtensionType::SUPPORTED_GROUPS,
            &[
                &[],
                &[0, 0],
                &[0, 1, 0],
                &[0, 3, 0, 23, 0],
                &[0, 2, 0, 23, 0],
            ],
        ),
        (ExtensionType::EC_POINT_FORMATS, &[&[], &[2, 0], &[1, 0, 0]]),
        (
            ExtensionType::SIGNATURE_ALGORITHMS,
            &[&[], &[0, 0], &[0, 3, 4, 3, 0], &[0, 2, 4, 3, 0]],
        ),
        (ExtensionType::EXTENDED_MASTER_SECRET, &[&[0]]),
        (
            ExtensionType::COMPRESS_CERTIFICATE,
            &[&[], &[0], &[3, 0, 1, 0], &[4, 0, 1, 0, 1]],
        ),
        (ExtensionType::RECORD_SIZE_LIMIT, &[&[], &[1], &[1, 0, 0]]),
        (
            ExtensionType::SUPPORTED_VERSIONS,
            &[&[], &[0], &[1, 0xfe], &[2, 0xfe, 0xfd, 0]],
        ),
        (ExtensionType::CONNECTION_ID, &[&[], &[1], &[0, 0]]),
        (ExtensionType::RETURN_ROUTABILITY_CHECK, &[&[0]]),
        (ExtensionType::RENEGOTIATION_INFO, &[&[], &[1], &[0, 0]]),
    ];
    for (extension_type, contents) in malformed {
        for content in *contents {
            let block = extension(*extension_type, content);
            let result = ClientExtensions::parse(&block);
            assert_eq!(
                result,
                Err(AlertDescription::DECODE_ERROR),
                "{extension_type:?} {content:02x?}"
            );
        }
    }
    // An extension that is longer than the field of extensions.
    assert_eq!(
        ClientExtensions::parse(&[0, 35, 0, 1]),
        Err(AlertDescription::DECODE_ERROR)
    );
}

#[test]
fn values_that_an_rfc_forbids_are_illegal_parameters() {
    for (extension_type, content) in [
        (ExtensionType::MAX_FRAGMENT_LENGTH, &[0][..]),
        (ExtensionType::MAX_FRAGMENT_LENGTH, &[5]),
        (ExtensionType::RECORD_SIZE_LIMIT, &[0, 63]),
        // Only compressed points; no format at all.
        (ExtensionType::EC_POINT_FORMATS, &[2, 1, 2]),
        (ExtensionType::EC_POINT_FORMATS, &[0]),
    ] {
        let block = extension(extension_type, content);
        let result = ClientExtensions::parse(&block);
        assert_eq!(
            result,
            Err(AlertDescription::ILLEGAL_PARAMETER),
            "{extension_type:?}"
        );
    }
    let with_others = extension(ExtensionType::EC_POINT_FORMATS, &[3, 1, 0, 2]);
    assert!(
        ClientExtensions::parse(&with_others)
            .unwrap()
            .ec_point_formats
    );
}

#[test]
fn names_of_other_kinds_are_skipped() {
    let names = [0, 9, 7, 0, 2, 1, 1, 0, 0, 1, b'a'];
    let block = extension(ExtensionType::SERVER_NAME, &names);
    let found = ClientExtensions::parse(&block).unwrap();
    assert_eq!(found.server_name, Some(&b"a"[..]));
}
