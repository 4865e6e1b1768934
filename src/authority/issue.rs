//! What stands in the certificates.

use super::{Error, files};
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::ServerName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// The CA outlives what it issues.
const CA_DAYS: i64 = 3650;
/// The gateway's certificate is easily replaced.
const SERVER_DAYS: i64 = 825;
/// A device's hardly ever.
const DEVICE_DAYS: i64 = 3650;

/// A certificate and its key as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) private_key: Zeroizing<String>,
}

/// Whom a certificate is for.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    /// The gateway, under this name or address.
    Server(&'a str),
    /// A device of this name.
    Device(&'a str),
}

/// A CA that can issue certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ends: OffsetDateTime,
}

impl Authority {
    /// A new one, and what to write to disk.
    pub(super) fn new(now: OffsetDateTime) -> Result<(Self, Issued), Error> {
        let key = KeyPair::generate()?;
        // Each CA has a name of its own, so that a certificate of another one is told as just that
        // (unknown issuer) and not as one with a bad signature.
        let mark: String = digest(&SHA256, key.public_key_raw())
            .as_ref()
            .iter()
            .take(4)
            .map(|b| format!("{b:02x}"))
            .collect();
        let mut params = params(
            &format!("coaps-gateway trial CA {mark}"),
            now,
            CA_DAYS,
            None,
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        let issued = Issued {
            certificate,
            private_key: Zeroizing::new(key.serialize_pem()),
        };
        Ok((
            Authority {
                ends: params.not_after,
                issuer: Issuer::new(params, key),
            },
            issued,
        ))
    }

    /// The one that is there.
    pub(super) fn load(
        certificate: &Path,
        private_key: &Path,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let unusable = |path: &Path, reason: &str| Error::Unusable {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let der = files::read_certificate(certificate)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)
            .map_err(|_| unusable(certificate, "the certificate is malformed"))?;
        if !parsed.is_ca() {
            return Err(unusable(
                certificate,
                "this is not an authority's certificate (CA:TRUE)",
            ));
        }
        let ends = parsed.validity().not_after.to_datetime();
        if ends <= now {
            return Err(unusable(
                certificate,
                "the authority has ended; use another directory for a new one",
            ));
        }
        let pem = files::read_text(private_key)?;
        let key = KeyPair::from_pem(&pem).map_err(|_| {
            unusable(
                private_key,
                "there is no PKCS#8 private key in it that can be used",
            )
        })?;
        if key.public_key_raw() != parsed.public_key().subject_public_key.data.as_ref() {
            return Err(unusable(
                private_key,
                "the key does not belong to the authority's certificate",
            ));
        }
        Ok(Authority {
            issuer: Issuer::from_ca_cert_der(&der.as_slice().into(), key)?,
            ends,
        })
    }

    /// A new key, and a certificate over it.
    pub(super) fn issue(&self, kind: Kind<'_>, now: OffsetDateTime) -> Result<Issued, Error> {
        let (name, days, usage) = match kind {
            Kind::Server(host) if host.len() > 64 => (
                "coaps-gateway",
                SERVER_DAYS,
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
            Kind::Server(host) => (host, SERVER_DAYS, ExtendedKeyUsagePurpose::ServerAuth),
            Kind::Device(name) => (name, DEVICE_DAYS, ExtendedKeyUsagePurpose::ClientAuth),
        };
        let mut params = params(name, now, days, Some(self.ends));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        if let Kind::Server(host) = kind {
            params.subject_alt_names = server_names(host)?;
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued {
            certificate,
            private_key: Zeroizing::new(key.serialize_pem()),
        })
    }
}

/// A version 3 certificate of this common name from yesterday (clocks differ) for some days, but not beyond an end.
fn params(
    name: &str,
    now: OffsetDateTime,
    days: i64,
    end: Option<OffsetDateTime>,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now.saturating_sub(Duration::days(1));
    let wanted = now.saturating_add(Duration::days(days));
    params.not_after = end.map_or(wanted, |end| wanted.min(end));
    params
}

/// Refuses what can't stand in a certificate as a server's name.
pub(super) fn check_host(host: &str) -> Result<(), Error> {
    server_names(host).map(drop)
}

/// The host, and this machine's names for itself, so that a trial on one machine works with any of them.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is no address is a name, whatever else the enum may get"
)]
fn server_names(host: &str) -> Result<Vec<SanType>, Error> {
    let refused = || Error::Host(host.to_owned());
    let dns = |name: &str| {
        Ia5String::try_from(name)
            .map(SanType::DnsName)
            .map_err(|_| refused())
    };
    let mut names = vec![match ServerName::try_from(host).map_err(|_| refused())? {
        ServerName::IpAddress(address) => SanType::IpAddress(IpAddr::from(address)),
        _ => dns(host)?,
    }];
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ]
    .map(SanType::IpAddress);
    for name in [dns("localhost")?].into_iter().chain(loopback) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}
