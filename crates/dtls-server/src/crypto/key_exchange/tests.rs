use super::*;
use crate::crypto::random::SystemRandom;
use crate::test::hex;

struct Fixed(Vec<u8>);

impl Random for Fixed {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
        if self.0.len() < buffer.len() {
            return Err(Unavailable);
        }
        let rest = self.0.split_off(buffer.len());
        buffer.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

fn system(group: NamedGroup) -> KeyShare {
    KeyShare::generate(group, &mut SystemRandom).unwrap()
}

#[test]
fn both_sides_get_the_same_secret() {
    for group in NamedGroup::ALL {
        assert_eq!(NamedGroup::from_number(group.number()), Some(group));
        let (ours, theirs) = (system(group), system(group));
        assert_ne!(ours.public_key(), theirs.public_key());
        let public = ours.public_key().to_vec();
        let secret = ours.agree(theirs.public_key()).unwrap();
        assert_eq!(secret.as_bytes(), theirs.agree(&public).unwrap().as_bytes());
        assert_eq!(secret.as_bytes().len(), group.scalar_length());
    }
    // secp224r1, secp256k1, brainpoolP256r1, x448.
    for number in [21, 22, 26, 30] {
        assert_eq!(NamedGroup::from_number(number), None);
    }
}

/// RFC 7748 §6.1: Bob's key pair and Alice's public key.
#[test]
fn x25519_of_rfc_7748() {
    let private = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let bob = KeyShare::generate(NamedGroup::X25519, &mut Fixed(private)).unwrap();
    let public = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    assert_eq!(bob.public_key(), public);
    let alice = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(bob.agree(&alice).unwrap().as_bytes(), shared);
}

/// The key is the random bytes: a handshake with the same bytes is the same handshake.
#[test]
fn fixed_random_bytes_make_fixed_keys() {
    for group in NamedGroup::ALL {
        let bytes = vec![0x42; group.scalar_length()];
        let one = KeyShare::generate(group, &mut Fixed(bytes.clone())).unwrap();
        let two = KeyShare::generate(group, &mut Fixed(bytes)).unwrap();
        assert_eq!(one.public_key(), two.public_key());
    }
}

#[test]
fn scalars_out_of_range_are_drawn_again() {
    for group in [
        NamedGroup::Secp256r1,
        NamedGroup::Secp384r1,
        NamedGroup::Secp521r1,
    ] {
        let length = group.scalar_length();
        let mut bytes = vec![0xff; length];
        bytes.extend(vec![0; length]);
        bytes.extend(vec![0x42; length]);
        let share = KeyShare::generate(group, &mut Fixed(bytes)).unwrap();
        let expected = KeyShare::generate(group, &mut Fixed(vec![0x42; length])).unwrap();
        assert_eq!(share.public_key(), expected.public_key());
        // Nor for ever.
        let zeros = Fixed(vec![0; 100 * length]);
        assert!(KeyShare::generate(group, &mut { zeros }).is_err());
        assert!(KeyShare::generate(group, &mut Fixed(Vec::new())).is_err());
    }
}

#[test]
fn bug_class_38_compressed_points_are_refused() {
    for group in [
        NamedGroup::Secp256r1,
        NamedGroup::Secp384r1,
        NamedGroup::Secp521r1,
    ] {
        let theirs = system(group);
        let point = theirs.public_key();
        let length = group.scalar_length();
        let last = point.last().unwrap();
        let mut compressed = vec![2 | (last & 1)];
        compressed.extend_from_slice(&point[1..=length]);
        let mut hybrid = point.to_vec();
        hybrid[0] = 6 | (last & 1);
        let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der>::as_der(
            &theirs.public_key,
        )
        .unwrap();
        for form in [&compressed, &hybrid, &der.as_ref().to_vec()] {
            let agreed = system(group).agree(form);
            assert_eq!(agreed.unwrap_err(), AlertDescription::ILLEGAL_PARAMETER);
        }
    }
}

#[test]
fn points_that_are_not_on_the_curve_are_refused() {
    for group in [
        NamedGroup::Secp256r1,
        NamedGroup::Secp384r1,
        NamedGroup::Secp521r1,
    ] {
        let mut point = system(group).public_key().to_vec();
        *point.last_mut().unwrap() ^= 1;
        assert!(system(group).agree(&point).is_err());
        let zeros = [&[4][..], &vec![0; 2 * group.scalar_length()]].concat();
        assert!(system(group).agree(&zeros).is_err());
        // The point at infinity, a point of another curve, a byte more, a byte less, nothing.
        let good = system(group).public_key().to_vec();
        let longer = [&good[..], &[0]].concat();
        for form in [&[0][..], &longer, &good[..good.len() - 1], &[]] {
            assert!(system(group).agree(form).is_err());
        }
    }
    let other = system(NamedGroup::Secp384r1);
    assert!(
        system(NamedGroup::Secp256r1)
            .agree(other.public_key())
            .is_err()
    );
}

/// RFC 8422 §5.11: points of small order yield zeros.
#[test]
fn an_all_zero_x25519_secret_is_refused() {
    let low_order = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for point in low_order {
        let agreed = system(NamedGroup::X25519).agree(&hex(point));
        assert_eq!(agreed.unwrap_err(), AlertDescription::ILLEGAL_PARAMETER);
    }
    for length in [0, 31, 33, 44] {
        assert!(system(NamedGroup::X25519).agree(&vec![9; length]).is_err());
    }
}

#[test]
fn no_secret_is_shown() {
    let share = system(NamedGroup::X25519);
    assert_eq!(format!("{share:?}"), "KeyShare(X25519)");
    let secret = share
        .agree(system(NamedGroup::X25519).public_key())
        .unwrap();
    assert_eq!(format!("{secret:?}"), "SharedSecret");
}
