use super::*;

fn of(version: u16) -> Hello {
    Hello {
        version,
        ..Hello::default()
    }
}

/// Class 36. BoringSSL's MinorVersionTolerance-DTLS, MajorVersionTolerance-DTLS, VersionTooLow-DTLS.
#[test]
fn class_36_a_version_above_1_2_is_answered_with_1_2() {
    for newer in [0xfefd, 0xfefc, 0xfe00, 0xfdff, 0x0303, 0] {
        assert!(of(newer).choice(both()).is_ok(), "{newer:#06x}");
    }
    // DTLS 1.0, the 1.1 that never was, and older than any.
    for older in [0xfefe, 0xfeff, 0xff00, 0xffff] {
        let result = of(older).choice(both());
        assert_eq!(
            result,
            Err(AlertDescription::PROTOCOL_VERSION),
            "{older:#06x}"
        );
    }
}

/// RFC 8446 §4.2.1, BoringSSL's VersionNegotiationExtension-TLS12-DTLS.
#[test]
fn supported_versions_count_more_than_the_version() {
    let naming = |versions: &[u16]| Hello {
        versions: Some(versions.to_vec()),
        ..Hello::default()
    };
    for versions in [&[0x1111, 0xfefd, 0x2222][..], &[0xfefc, 0xfefd], &[0xfefd]] {
        assert!(naming(versions).choice(both()).is_ok(), "{versions:04x?}");
    }
    for versions in [&[0xfefc][..], &[0x1111], &[0xfeff]] {
        let result = naming(versions).choice(both());
        assert_eq!(
            result,
            Err(AlertDescription::PROTOCOL_VERSION),
            "{versions:04x?}"
        );
    }
}

/// RFC 7507.
#[test]
fn a_fallback_is_refused_where_there_is_more() {
    let mut hello = Hello::default();
    hello.suites.push(FALLBACK_SCSV);
    assert!(hello.choice(both()).is_ok());
    let with_13 = || both().speaks_dtls13(true);
    assert_eq!(
        hello.choice(with_13()),
        Err(AlertDescription::INAPPROPRIATE_FALLBACK)
    );
    hello.versions = Some(vec![DTLS_1_3, DTLS_1_2]);
    assert!(hello.choice(with_13()).is_ok());
}

/// RFC 8446 §4.1.3. Class 29: a random that could not be filled is none.
#[test]
fn the_random_shows_a_downgrade_if_there_is_more() {
    struct Fixed(Result<u8, Unavailable>);
    impl Random for Fixed {
        fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
            buffer.fill(self.0?);
            Ok(())
        }
    }
    let only_12 = both().build().unwrap();
    let both_versions = both().speaks_dtls13(true).build().unwrap();
    assert_eq!(server_random(&mut Fixed(Ok(7)), &only_12), Ok([7; 32]));
    let random = server_random(&mut Fixed(Ok(7)), &both_versions).unwrap();
    assert_eq!(random[..24], [7; 24]);
    assert_eq!(random[24..], [0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, 1]);
    let none = server_random(&mut Fixed(Err(Unavailable)), &both_versions);
    assert_eq!(none, Err(Unavailable));
}
