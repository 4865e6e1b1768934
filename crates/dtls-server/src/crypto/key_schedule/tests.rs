use super::*;
use crate::crypto::key_exchange::{KeyShare, NamedGroup};
use crate::crypto::random::SystemRandom;
use crate::test::hex;

/// A vector of NIST's (CAVP, TLS 1.2 with SHA-256): the premaster secret is not one of ours, so the PRF alone is asked.
#[test]
fn the_master_secret_of_nist() {
    let premaster = "f8938ecc9edebc5030c0c6a441e213cd24e6f770a50dda07876f8d55da062bca
        db386b411fd4fe4313a604fce6c17fbc";
    let client = hex("36c129d01a3200894b9179faac589d9835d58775f9b5ea3587cb8fd0364cae8c");
    let server = hex("f6c9575ed7ddd73e1f7d16eca115415812a43c2b747daaaae043abfb50053fce");
    let master = prf::<48>(
        PrfHash::Sha256,
        &hex(premaster),
        "master secret",
        (&client, &server),
    );
    let expected = "202c88c00f84a17a20027079604787461176455539e705be730890602c289a50
        01e34eeb3a043e5d52a65e66125188bf";
    assert_eq!(master.unwrap()[..], hex(expected)[..]);
}

/// Rising bytes.
fn numbers(first: u8) -> HelloRandom {
    std::array::from_fn(|index| first + u8::try_from(index).unwrap())
}

/// What RFC 5246 and RFC 7627 say, computed by a PRF written in another language for this test: randoms from 0 and from 0x80 on, a
/// premaster secret of 32 bytes 0x42, a transcript "messages".
struct Expected {
    suites: &'static [CipherSuite],
    master: &'static str,
    extended: &'static str,
    key_block: &'static str,
    client_finished: &'static str,
    server_finished: &'static str,
}

const EXPECTED: [Expected; 2] = [
    Expected {
        suites: &[
            CipherSuite::EcdheEcdsaAes128Ccm8,
            CipherSuite::EcdheEcdsaAes128Gcm,
            CipherSuite::EcdheEcdsaAes256Ccm,
            CipherSuite::EcdheRsaChaCha20Poly1305,
        ],
        master: "22d9db92b96179c821f2786327f6cfcecc0c5a77bbaba2c2bb49e584a0a497f0
            85f95d26b75a9083d9d3896651ffb88b",
        extended: "3e070d4635b768a3282827db794f06f0e5c7f156b6b5e57a5ef37ad0e9c02352
            02ee36dd335502cadcdb9da3f7499624",
        key_block: "3da543746ca8169d0e27755e589cfcb83463f156d48314cc35293558ae07c812
            9ff3c466f21c471d6b0f4025df58d4569c9ee30cb6fbfcf6f94753d13f641da2
            e649d297e349210c7419f22b087e6f438c4dd29a60df2fc5",
        client_finished: "2bf60d45509561fcf216b544",
        server_finished: "0509cdf38819ce04b4455ae3",
    },
    Expected {
        suites: &[
            CipherSuite::EcdheEcdsaAes256Gcm,
            CipherSuite::EcdheRsaAes256Gcm,
        ],
        master: "48966e189ec50ef08c825a800342a5d2ba1958c0ab09eee7e04e3e88084c5f58
            e72214f4833735d20f0fe217e77e3dd1",
        extended: "69aab53c22d952bc7a3cf36974e36f40f168cf3ecfcc78304a9b96172e978070
            3e4816c864cfa7ed4f29cde2fa64a7f1",
        key_block: "5167f26c49b80de46d4539911c8556b9be8acbc3becad7e4033a21e0b0da9b70
            9523148f0893b7c91c5beaf34fe9703b8ed972f1d40f165a6c7c66d2d56bfcd9
            67830eb00078ae769cad558d4c300cc227da753603e17ea7",
        client_finished: "d75a770c6d60d44481546410",
        server_finished: "98e657c0e5a957b13634fbc8",
    },
];

#[test]
fn everything_is_derived_as_the_rfcs_say() {
    for expected in EXPECTED {
        let hash = expected.suites[0].prf_hash();
        let shared = SharedSecret::from_bytes(&[0x42; 32]);
        let algorithm = match hash {
            PrfHash::Sha256 => &aws_lc_rs::digest::SHA256,
            PrfHash::Sha384 => &aws_lc_rs::digest::SHA384,
        };
        let transcript = aws_lc_rs::digest::digest(algorithm, b"messages");
        let transcript = transcript.as_ref();
        let extended = MasterSecret::derive_extended(hash, &shared, transcript).unwrap();
        assert_eq!(extended.as_bytes()[..], hex(expected.extended)[..]);
        let master = MasterSecret::derive(hash, &shared, &numbers(0), &numbers(0x80)).unwrap();
        assert_eq!(master.as_bytes()[..], hex(expected.master)[..]);
        for &suite in expected.suites {
            let (aead, block) = (suite.aead(), hex(expected.key_block));
            let keys = master
                .key_block(suite, &numbers(0), &numbers(0x80))
                .unwrap();
            let parts = [
                keys.client.key(aead),
                keys.server.key(aead),
                keys.client.iv(aead),
                keys.server.iv(aead),
            ];
            let parts = parts.concat();
            assert_eq!(parts, block[..parts.len()], "{suite}");
        }
        for (sender, data) in [
            (Sender::Client, expected.client_finished),
            (Sender::Server, expected.server_finished),
        ] {
            let data = hex(data);
            let derived = master.verify_data(hash, sender, transcript).unwrap();
            assert_eq!(derived[..], data[..]);
            assert!(master.is_finished(hash, sender, transcript, &data));
            let mut other = data.clone();
            other[11] ^= 1;
            for wrong in [&other[..], &data[..11], &[], &[0; 12]] {
                assert!(!master.is_finished(hash, sender, transcript, wrong));
            }
        }
    }
}

/// The Finished messages of the sides differ, so that one can't be sent back.
#[test]
fn a_reflected_finished_is_refused() {
    let master = MasterSecret::from_bytes(&[1; 48]).unwrap();
    let ours = master.verify_data(PrfHash::Sha256, Sender::Server, &[2; 32]);
    assert!(!master.is_finished(PrfHash::Sha256, Sender::Client, &[2; 32], &ours.unwrap()));
}

#[test]
fn both_sides_derive_the_same_keys() {
    let ours = KeyShare::generate(NamedGroup::X25519, &mut SystemRandom).unwrap();
    let theirs = KeyShare::generate(NamedGroup::X25519, &mut SystemRandom).unwrap();
    let our_public = ours.public_key().to_vec();
    let derive = |shared| {
        MasterSecret::derive(PrfHash::Sha256, &shared, &numbers(0), &numbers(0x80)).unwrap()
    };
    let one = derive(ours.agree(theirs.public_key()).unwrap());
    let two = derive(theirs.agree(&our_public).unwrap());
    assert_eq!(one.as_bytes(), two.as_bytes());
}

#[test]
fn bug_class_30_an_all_zero_master_secret_is_refused() {
    assert!(MasterSecret::from_bytes(&[0; 48]).is_none());
    let mut bytes = [0; 48];
    bytes[47] = 1;
    let secret = MasterSecret::from_bytes(&bytes).unwrap();
    assert_eq!(secret.as_bytes(), &bytes);
    assert_eq!(format!("{secret:?}"), "MasterSecret");
}
