//! `dtls.cipher_suites`: a list of names.

use super::CIPHER_SUITES;
use crate::config::kind::Kind;
use crate::config::mistake::Problem;
use crate::config::reader::Reader;
use crate::config::server::RSA_CERTIFICATE;
use crate::config::value::Value;
use crate::dtls::{CipherSuite, CipherSuites, needs_rsa};
use crate::shown::Shown;

/// The names of cipher suites in the order of preference; in the environment with commas between.
pub(super) struct Suites;

impl Kind<CipherSuites> for Suites {
    fn read(&self, value: &Value) -> Result<CipherSuites, Problem> {
        let names = value.list(
            "a list like [\"TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8\"]; in the environment with commas between",
        )?;
        let mut suites: Vec<CipherSuite> = Vec::new();
        for name in &names {
            let suite = CipherSuite::ALL
                .into_iter()
                .find(|suite| suite.name() == name)
                .ok_or_else(|| unknown(name))?;
            if suites.contains(&suite) {
                let found = format!("{suite} is in the list twice");
                return Err(Problem::new(found, "each suite once"));
            }
            suites.push(suite);
        }
        Ok(suites.into_iter().collect())
    }

    fn write(&self, value: &CipherSuites) -> Option<String> {
        let names: Vec<&str> = value.iter().map(CipherSuite::name).collect();
        Some(format!("{names:?}"))
    }

    fn range(&self) -> String {
        let names: Vec<String> = CipherSuite::ALL
            .into_iter()
            .map(|suite| format!("`{suite}`"))
            .collect();
        format!("a list of {}", names.join(", "))
    }
}

fn unknown(name: &str) -> Problem {
    // Suites of TLS 1.3 name no key exchange.
    let reason = match name.starts_with("TLS_") && !name.contains("_WITH_") {
        true => "is no suite of DTLS 1.2; those of 1.3 are not chosen here",
        false => "is no suite the gateway has",
    };
    let names: Vec<&str> = CipherSuite::ALL
        .into_iter()
        .map(CipherSuite::name)
        .collect();
    Problem::new(
        format!("{} {reason}", Shown::misplaced(name)),
        names.join(", "),
    )
}

/// Leaves out the suites that no certificate of the gateway goes with.
pub(super) fn check(reader: &mut Reader, suites: &mut CipherSuites, has_rsa: bool) {
    let all: Vec<CipherSuite> = suites.iter().collect();
    if all.is_empty() {
        return;
    }
    if has_rsa && !all.iter().any(|suite| needs_rsa(*suite)) {
        let message = format!("never used: {CIPHER_SUITES} has no suite of ECDHE_RSA");
        reader.warn(RSA_CERTIFICATE, message);
    }
    if has_rsa {
        return;
    }
    let usable: CipherSuites = all
        .iter()
        .copied()
        .filter(|suite| !needs_rsa(*suite))
        .collect();
    if usable.iter().next().is_none() {
        let expected = format!("{RSA_CERTIFICATE} as well, or a suite of ECDHE_ECDSA");
        let found = "each suite in the list needs a certificate with an RSA key";
        return reader.mistake(CIPHER_SUITES, found, expected);
    }
    for suite in all.iter().filter(|suite| needs_rsa(**suite)) {
        let message = format!("{suite} is never chosen: {RSA_CERTIFICATE} is not set");
        reader.warn(CIPHER_SUITES, message);
    }
    *suites = usable;
}
