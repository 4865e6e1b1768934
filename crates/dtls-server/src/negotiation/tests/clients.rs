//! The hellos of the clients that devices have: recorded where the client runs on any machine, otherwise composed of what their
//! documentation and traces say.

use super::*;
use crate::message::fragments;
use crate::record::records;
use crate::test::hex;

/// OpenSSL 3.0's `s_client`, after a HelloVerifyRequest.
const OPENSSL: &str = "
    16feff000000000000000100d0010000c400010000000000c4fefd7132ecfb9c75056e062912a6956c706b207af59d3e6e2992aacde336a7
    3441220010a0a1a2a3a4a5a6a7a8a9aaabacadaeaf0038c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0
    140039c009c0130033009d009c003d003c0035002f00ff01000052000b000403000102000a000c000a001d0017001e001900180023000000
    16000000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602
";

/// GnuTLS 3.7's `gnutls-cli`, after a HelloVerifyRequest.
const GNUTLS: &str = "
    16feff000000000000000100de010000d200010000000000d2fefd0f72ac96a4fd20a6fba4fe6c433414ad3bf916c02a00cfbecf1766f808
    ec17860010a0a1a2a3a4a5a6a7a8a9aaabacadaeaf0032c02ccca9c0adc00ac02bc0acc009c030cca8c014c02fc013009dc09d0035009cc0
    9c002f009fccaac09f0039009ec09e003301000066000500050100000000000a00160014001700180019001d001e01000101010201030104
    000b00020100000d00220020040108090804040308070501080a0805050308080601080b0806060302010203001600000017000000230000
    ff01000100001c00024000
";

/// Mbed TLS 2.28 with its defaults, after a HelloVerifyRequest.
const MBED_TLS: &str = "
    16feff0000000000000001015e010001520001000000000152fefd6b0d56acfbb29ef334bdeae4fa604f7492a57fad6fdc7174135cf68b77
    04dbcd0010a0a1a2a3a4a5a6a7a8a9aaabacadaeaf00d0cca8cca9ccaac02cc030009fc0adc09fc024c028006bc00ac0140039c0afc0a3c0
    87c08bc07dc073c07700c40088c05dc061c053c049c04dc045c02bc02f009ec0acc09ec023c0270067c009c0130033c0aec0a2c086c08ac0
    7cc072c07600be0045c05cc060c052c048c04cc044009dc09d003d0035c032c02ac00fc02ec026c005c0a1c07b00c00084c08dc079c089c0
    75c05fc063c051c04bc04fc03d009cc09c003c002fc031c029c00ec02dc025c004c0a0c07a00ba0041c08cc078c088c074c05ec062c050c0
    4ac04ec03c00ff01000048000d0012001006030601050305010403040103030301000a001c001a0019001c0018001b00170016001a001500
    1400130012001d001e000b00020100001600000017000000230000
";

/// wolfSSL 5.5.4 with its defaults, after a HelloVerifyRequest.
const WOLFSSL: &str = "
    16fefd00000000000000010102010000f600010000000000f6fefd931352ac4fb1502fb09bbb172f6295077893a126e98092db2c61a73e65
    c10bd70010a0a1a2a3a4a5a6a7a8a9aaabacadaeaf0066c02cc02bc030c02f009f009e00ab003400a700aacca9cca8ccaac027c023c028c0
    24c00ac009c008c014c013c012c0acc0aec0af006b0067003900330016cc14cc13cc15c00600b300b2c0a6c0a7ccabccacccadc037d00100
    b5c03a00b40045008800be00c401000056000d002400220603050304030203080708080806080b0805080a08040809060105010401030102
    01000b00020100000a001c001a0019001c0018001b001e00170016001a001d00150014010101000016000000170000
";

/// Californium 3.13 with its defaults, after a HelloVerifyRequest.
const CALIFORNIUM: &str = "
    16fefd000000000000000100760100006a000100000000006afefd6b0d56dc04115bdabe63950b3f9123681c7d645760c87a1e93a785cd2d
    6c1c5a0010a0a1a2a3a4a5a6a7a8a9aaabacadaeaf000ec02bc02cc0aec0afc0acc0ad00ff01000022000a000a00080017001d001e001800
    0b00020100000d000600040403040100170000
";

/// Californium 3.13 with a connection ID, max_fragment_length and record_size_limit, after a HelloVerifyRequest.
const CALIFORNIUM_SIZES: &str = "
    16fefd0000000000000001008c010000800001000000000080fefd6b0d56e0f610951def3c6c77234cdb9cc63b9026cc5dae947df8a8bd22
    f718590010a0a1a2a3a4a5a6a7a8a9aaabacadaeaf000ec02bc02cc0aec0afc0acc0ad00ff01000038000a000a00080017001d001e001800
    0b00020100000d000600040403040100170000003600070691420018655e001c000203e80001000101
";

/// What a recorded client and a server with both identities agree on.
fn recorded(client: &str) -> (Choice, ServerExtensions<'static>) {
    let datagram = hex(client);
    let record = records(&datagram, 0).next().unwrap();
    let fragment = fragments(record.fragment).next().unwrap().unwrap();
    assert!(fragment.is_whole());
    let hello = ClientHello::parse(fragment.body).unwrap();
    assert_eq!(hello.cookie, (0xa0..0xb0).collect::<Vec<u8>>());
    let config = both().build().unwrap();
    let offer = Offer::read(hello, &config).unwrap();
    (
        offer.choose(&config).unwrap(),
        offer.answers().server_extensions(&[0xcc; 8]),
    )
}

/// P-256, and signed with SHA-256: what all of them have.
const fn choice(suite: CipherSuite) -> Choice {
    Choice {
        suite,
        scheme: SignatureScheme::EcdsaSha256,
        group: NamedGroup::Secp256r1,
    }
}

/// What all recorded clients but wolfSSL ask for.
const USUAL: ServerExtensions<'_> = ServerExtensions {
    renegotiation_info: true,
    extended_master_secret: true,
    ec_point_formats: true,
    session_ticket: false,
    max_fragment_length: None,
    record_size_limit: None,
    connection_id: None,
    return_routability_check: false,
};

#[test]
fn recorded_clients_are_answered_with_what_they_have() {
    let gcm = choice(CipherSuite::EcdheEcdsaAes128Gcm);
    let ccm8 = choice(CipherSuite::EcdheEcdsaAes128Ccm8);
    assert_eq!(recorded(OPENSSL), (gcm, USUAL));
    let with_limit = ServerExtensions {
        record_size_limit: Some(16_384),
        ..USUAL
    };
    assert_eq!(recorded(GNUTLS), (gcm, with_limit));
    assert_eq!(recorded(MBED_TLS), (ccm8, USUAL));
    // It does not ask about renegotiation, and ends the handshake if it is answered nevertheless.
    let not_asked = ServerExtensions {
        renegotiation_info: false,
        ..USUAL
    };
    assert_eq!(recorded(WOLFSSL), (ccm8, not_asked));
    assert_eq!(recorded(CALIFORNIUM), (ccm8, USUAL));
    let with_both = ServerExtensions {
        record_size_limit: Some(16_384),
        connection_id: Some(&[0xcc; 8]),
        ..USUAL
    };
    assert_eq!(recorded(CALIFORNIUM_SIZES), (ccm8, with_both));
}

/// An nRF91 modem: no extended master secret, max_fragment_length 1024, and no connection ID in records to itself.
#[test]
fn modems_get_gcm_and_short_records() {
    let modem = Hello {
        suites: vec![0xc02b, 0xc023, 0xc00a, 0xc02f, 0xc027, 0x003c, 0x00ff],
        groups: Some(vec![23, 24]),
        schemes: Some(vec![0x0403, 0x0503, 0x0401, 0x0501, 0x0201]),
        ..Hello::with(ClientExtensions {
            server_name: Some(b"coap.example"),
            max_fragment_length: Some(MaxFragmentLength::Bytes1024),
            ec_point_formats: true,
            connection_id: Some(&[]),
            session_ticket: Some(&[]),
            ..ClientExtensions::default()
        })
    };
    let (made, answers) = modem.negotiate(both()).unwrap();
    assert_eq!(made, choice(CipherSuite::EcdheEcdsaAes128Gcm));
    assert_eq!(
        answers,
        ServerExtensions {
            extended_master_secret: false,
            max_fragment_length: Some(MaxFragmentLength::Bytes1024),
            connection_id: Some(&[0xcc; 8]),
            ..USUAL
        }
    );
    assert_eq!(modem.limits(), (1024, 1312));
}

/// A Quectel BG96 that is set to one RSA suite, and offers nothing else.
#[test]
fn modems_with_rsa_only_get_the_rsa_certificate() {
    let modem = Hello {
        suites: vec![0xc02f],
        groups: None,
        schemes: Some(vec![0x0401, 0x0501, 0x0201]),
        ..Hello::default()
    };
    let made = modem.choice(both()).unwrap();
    assert_eq!(made.scheme, SignatureScheme::RsaPkcs1Sha256);
    assert_eq!(made.suite, CipherSuite::EcdheRsaAes128Gcm);
    let without_rsa = Config::builder().identity(p256());
    assert_eq!(
        modem.choice(without_rsa),
        Err(AlertDescription::HANDSHAKE_FAILURE)
    );
}

/// pion: the extended master secret, a connection ID of its own, return routability.
#[test]
fn pion_gets_return_routability() {
    let pion = Hello {
        suites: vec![0xc0ac, 0xc0ae, 0xc02b, 0xc02f, 0xc02c, 0xcca9],
        groups: Some(vec![29, 23, 24]),
        ..Hello::with(ClientExtensions {
            extended_master_secret: true,
            renegotiation_info: Some(&[]),
            ec_point_formats: true,
            connection_id: Some(&[1, 2, 3, 4, 5, 6, 7, 8]),
            return_routability_check: true,
            ..ClientExtensions::default()
        })
    };
    let (made, answers) = pion
        .negotiate(both().return_routability_check(true))
        .unwrap();
    assert_eq!(made, choice(CipherSuite::EcdheEcdsaAes128Ccm8));
    let expected = ServerExtensions {
        connection_id: Some(&[0xcc; 8]),
        return_routability_check: true,
        ..USUAL
    };
    assert_eq!(answers, expected);
}
