//! The pseudorandom function of TLS 1.2 (RFC 5246 §5).

use super::Failed;
use crate::suite::PrfHash;
use aws_lc_rs::tls_prf::{P_SHA256, P_SHA384, Secret};
use zeroize::Zeroizing;

/// Derives `N` bytes: PRF(secret, label, first seed ‖ second seed).
///
/// # Errors
/// The secret is empty, or the library failed.
pub fn prf<const N: usize>(
    hash: PrfHash,
    secret: &[u8],
    label: &str,
    seeds: (&[u8], &[u8]),
) -> Result<Zeroizing<[u8; N]>, Failed> {
    let algorithm = match hash {
        PrfHash::Sha256 => &P_SHA256,
        PrfHash::Sha384 => &P_SHA384,
    };
    let derived = Secret::new(algorithm, secret)
        .and_then(|secret| {
            secret.derive_with_seed_concatination(label.as_bytes(), seeds.0, seeds.1, N)
        })
        .map_err(|_| Failed)?;
    let bytes = derived.as_ref().try_into().map_err(|_| Failed)?;
    Ok(Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::hex;

    /// The vectors that the TLS working group's list agreed on for RFC 5246.
    #[test]
    fn sha256_of_the_working_group() {
        let derived = prf::<100>(
            PrfHash::Sha256,
            &hex("9bbe436ba940f017b17652849a71db35"),
            "test label",
            (&hex("a0ba9f936cda3118"), &hex("27a6f796ffd5198c")),
        );
        let expected = "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a
            6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab
            4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701
            87347b66";
        assert_eq!(derived.unwrap()[..], hex(expected)[..]);
    }

    #[test]
    fn sha384_of_the_working_group() {
        let derived = prf::<148>(
            PrfHash::Sha384,
            &hex("b80b733d6ceefcdc71566ea48e5567df"),
            "test label",
            (&hex("cd665cf6a8447dd6ff8b27555edb7465"), &[]),
        );
        let expected = "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cd
            e9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd
            8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425
            9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee6
            91c8f3a26854308d5eaa3be85e0990703d73e56f";
        assert_eq!(derived.unwrap()[..], hex(expected)[..]);
    }

    #[test]
    fn an_empty_secret_is_refused() {
        assert!(prf::<12>(PrfHash::Sha256, &[], "label", (&[1], &[])).is_err());
    }
}
