use super::*;
use crate::test::hex;

const ALL: [Aead; 7] = [
    Aead::Aes128Gcm,
    Aead::Aes256Gcm,
    Aead::Aes128Ccm,
    Aead::Aes128Ccm8,
    Aead::Aes256Ccm,
    Aead::Aes256Ccm8,
    Aead::ChaCha20Poly1305,
];

fn cipher(aead: Aead, key: &str) -> Cipher {
    let keys = Keys::new(aead, &hex(key), &vec![0; aead.iv_length()]);
    Cipher::new(aead, &keys.unwrap()).unwrap()
}

/// Checks that sealing gives the ciphertext and tag, and that opening gives the plaintext back.
fn check(cipher: &Cipher, nonce: &str, additional_data: &str, plaintext: &str, sealed: &str) {
    let nonce: [u8; NONCE] = hex(nonce).try_into().unwrap();
    let additional_data = hex(additional_data);
    // Something stands before it.
    let mut buffer = [&[1, 2, 3][..], &hex(plaintext)].concat();
    cipher
        .seal(nonce, &additional_data, &mut buffer, 3)
        .unwrap();
    assert_eq!(buffer[..3], [1, 2, 3]);
    let mut buffer = buffer.split_off(3);
    assert_eq!(buffer, hex(sealed));
    cipher.open(nonce, &additional_data, &mut buffer).unwrap();
    assert_eq!(buffer, hex(plaintext));
}

/// NIST CAVP, VNT128.rsp, nonces of 12 bytes, tags of 16.
#[test]
fn aes_128_ccm_of_nist() {
    let cipher = cipher(Aead::Aes128Ccm, "005e8f4d8e0cbf4e1ceeb5d87a275848");
    check(
        &cipher,
        "0ec3ac452b547b9062aac8fa",
        "2f1821aa57e5278ffd33c17d46615b77363149dbc98470413f6543a6b749f2ca",
        "b6f345204526439daf84998f380dcfb4b4167c959c04ff65",
        "9575e16f35da3c88a19c26a7b762044f4d7bbbafeff05d754829e2a7752fa3a14890972884b511d8",
    );
    check(
        &cipher,
        "472711261a9262bef077c0b7",
        "17c87889a2652636bcf712d111c86b9d68d64d18d531928030a5ec97c59931a4",
        "9d63df773b3799e361c5328d44bbb12f4154747ecf7cc667",
        "53323b82d7a754d82cebf0d4bc930ef06d11e162c5c027c4715a641834bbb75bb6572ca5a45c3183",
    );
}

/// NIST CAVP, VNT256.rsp, nonces of 12 bytes, tags of 16.
#[test]
fn aes_256_ccm_of_nist() {
    let key = "d6ff67379a2ead2ca87aa4f29536258f9fb9fc2e91b0ed18e7b9f5df332dd1dc";
    let cipher = cipher(Aead::Aes256Ccm, key);
    check(
        &cipher,
        "2f1d0717a822e20c7cd28f0a",
        "d50741d34c8564d92f396b97be782923ff3c855ea9757bde419f632c83997630",
        "98626ffc6c44f13c964e7fcb7d16e988990d6d063d012d33",
        "50e22db70ac2bab6d6af7059c90d00fbf0fb52eee5eb650e08aca7dec636170f481dcb9fefb85c05",
    );
    check(
        &cipher,
        "819ecbe71f851743871163cc",
        "48e06c3b2940819e58eb24122a2988c997697347a6e34c21267d76049febdcf8",
        "8d164f598ea141082b1069776fccd87baf6a2563cbdbc9d1",
        "70fd9d3c7d9e8af610edb3d329f371cf3052d820e79775a932d42f9954f9d35d989a09e4292949fc",
    );
}

/// NIST SP 800-38C, example 3: a nonce of 12 bytes, a tag of 8.
#[test]
fn aes_128_ccm_8_of_nist() {
    check(
        &cipher(Aead::Aes128Ccm8, "404142434445464748494a4b4c4d4e4f"),
        "101112131415161718191a1b",
        "000102030405060708090a0b0c0d0e0f10111213",
        "202122232425262728292a2b2c2d2e2f3031323334353637",
        "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5 484392fbc1b09951",
    );
}

/// There is no published vector with this nonce and tag: OpenSSL's, for example 3 of SP 800-38C with a longer key.
#[test]
fn aes_256_ccm_8_of_openssl() {
    let key = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f";
    check(
        &cipher(Aead::Aes256Ccm8, key),
        "101112131415161718191a1b",
        "000102030405060708090a0b0c0d0e0f10111213",
        "202122232425262728292a2b2c2d2e2f3031323334353637",
        "04f883aeb3bd0730eaf50bb6de4fa2212034e4e41b0e75e5 2b48c8766f7e7649",
    );
}

/// RFC 3610 §8, packet vectors 1 and 2. Their nonces have 13 bytes, which TLS does not use: they pin the library.
#[test]
fn ccm_of_rfc_3610() {
    use ccm::aead::consts::U13;
    let key = hex("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf");
    let cipher = Ccm::<Aes128Enc, U8, U13>::new_from_slice(&key).unwrap();
    let vectors = [
        (
            "00000003020100a0a1a2a3a4a5",
            "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
            "588c979a61c663d2f066d0c2c0f989806d5f6b61dac384 17e8d12cfdf926e0",
        ),
        (
            "00000004030201a0a1a2a3a4a5",
            "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3b a091d56e10400916",
        ),
    ];
    for (nonce, plaintext, sealed) in vectors {
        let nonce: [u8; 13] = hex(nonce).try_into().unwrap();
        let mut text = hex(plaintext);
        let header = hex("0001020304050607");
        let tag = cipher
            .encrypt_inout_detached(&nonce.into(), &header, text.as_mut_slice().into())
            .unwrap();
        text.extend_from_slice(&tag);
        assert_eq!(text, hex(sealed));
    }
}

/// RFC 8439 §2.8.2.
#[test]
fn chacha20_poly1305_of_rfc_8439() {
    let key = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
    let text = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
        sunscreen would be it.";
    let plaintext: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    check(
        &cipher(Aead::ChaCha20Poly1305, key),
        "070000004041424344454647",
        "50515253c0c1c2c3c4c5c6c7",
        &plaintext,
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
         3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
         92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
         3ff4def08e4b7a9de576d26586cec64b6116
         1ae10b594f09e26a7e902ecbd0600691",
    );
}

/// McGrew and Viega's specification of GCM, test cases 4 and 16.
#[test]
fn gcm_of_its_specification() {
    let key = "feffe9928665731c6d6a8f9467308308";
    let plaintext = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
        1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
    let additional_data = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    check(
        &cipher(Aead::Aes128Gcm, key),
        "cafebabefacedbaddecaf888",
        additional_data,
        plaintext,
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
         21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091
         5bc94fbc3221a5db94fae95ae7121a47",
    );
    check(
        &cipher(Aead::Aes256Gcm, &key.repeat(2)),
        "cafebabefacedbaddecaf888",
        additional_data,
        plaintext,
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
         8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662
         76fc6ece0f4e1768cddf8853bb2d551b",
    );
}

/// RFC 5288 §3, RFC 6655 §3: salt ‖ explicit. RFC 7905 §2: IV xor the padded number.
#[test]
fn nonces_are_built_as_each_suite_says() {
    let explicit = [0, 1, 0, 0, 0, 0, 2, 3];
    for aead in ALL {
        let (key, iv) = (vec![7; aead.key_length()], [0xa0; 12]);
        let keys = Keys::new(aead, &key, &iv[..aead.iv_length()]).unwrap();
        let expected = match aead.explicit_nonce_length() {
            0 => "a0a0a0a0 a0a1a0a0a0a0a2a3",
            _ => "a0a0a0a0 0001000000000203",
        };
        assert_eq!(keys.nonce(aead, explicit).to_vec(), hex(expected));
    }
}

#[test]
fn nothing_that_was_changed_is_opened() {
    let mut random = fastrand::Rng::with_seed(5);
    for aead in ALL {
        let key = vec![9; aead.key_length()];
        let keys = Keys::new(aead, &key, &vec![8; aead.iv_length()]).unwrap();
        let cipher = Cipher::new(aead, &keys).unwrap();
        let nonce = keys.nonce(aead, [1; 8]);
        for length in [0, 1, 15, 16, 17, 80] {
            let plaintext: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            let mut sealed = plaintext.clone();
            cipher.seal(nonce, b"head", &mut sealed, 0).unwrap();
            assert_eq!(sealed.len(), length + aead.tag_length());
            for position in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[position] ^= 1 << random.u8(..8);
                assert_eq!(cipher.open(nonce, b"head", &mut changed), Err(NotAuthentic));
                // Nothing of it is left to be read.
                assert!(changed.is_empty());
            }
            for cut in 0..sealed.len() {
                let mut changed = sealed[..cut].to_vec();
                assert_eq!(cipher.open(nonce, b"head", &mut changed), Err(NotAuthentic));
            }
            let other = keys.nonce(aead, [2; 8]);
            for (nonce, data) in [(other, &b"head"[..]), (nonce, b"Head"), (nonce, b"")] {
                let mut unchanged = sealed.clone();
                assert!(cipher.open(nonce, data, &mut unchanged).is_err());
            }
            cipher.open(nonce, b"head", &mut sealed).unwrap();
            assert_eq!(sealed, plaintext);
        }
        assert!(cipher.seal(nonce, b"", &mut vec![1], 2).is_err());
    }
}

#[test]
fn keys_have_the_lengths_of_the_suite_and_are_not_zero() {
    for aead in ALL {
        let (key, iv) = (vec![1; aead.key_length()], vec![0; aead.iv_length()]);
        assert!(Keys::new(aead, &key, &iv).is_some());
        assert!(Keys::new(aead, &key[1..], &iv).is_none());
        assert!(Keys::new(aead, &key, &iv[1..]).is_none());
        assert!(Keys::new(aead, &[&key[..], &[1]].concat(), &iv).is_none());
        assert!(Keys::new(aead, &vec![0; key.len()], &iv).is_none());
        let keys = Keys::new(aead, &key, &iv).unwrap();
        assert_eq!(keys.key(aead), key);
        assert_eq!(keys.iv(aead), iv);
        assert_eq!(format!("{keys:?}"), "Keys");
    }
}
