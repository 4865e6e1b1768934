//! Issues certificates: their fields, periods and extensions.

use super::key_kind::private_key_pem;
use super::{Error, KeyKind};
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::ServerName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// The CA outlives what it issues.
const CA_DAYS: i64 = 3650;
/// The gateway's certificate is easily replaced.
const SERVER_DAYS: i64 = 825;
/// A device's certificate is hard to replace.
const DEVICE_DAYS: i64 = 3650;

/// A certificate and its key as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) private_key: Zeroizing<String>,
}

/// The subject of a certificate.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    /// The gateway, under this name or address.
    Server(&'a str),
    /// A device of this name.
    Device(&'a str),
}

/// Why a CA's files can't be used.
pub(super) enum LoadError {
    /// The certificate, for this reason.
    Certificate(&'static str),
    /// The private key, for this reason.
    Key(&'static str),
    Issue(rcgen::Error),
}

/// A CA that can issue certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ends: OffsetDateTime,
    /// Whether there may be an authority below it.
    may_have_below: bool,
    /// PEM of the certificates between it and the CA, its own included, which follow those that it issues. Empty: it is the
    /// CA.
    chain: String,
}

impl Authority {
    /// Makes a CA, which may have authorities below it or not. Returns its certificate and key as well, to be written to
    /// disk.
    pub(super) fn new(now: OffsetDateTime, may_have_below: bool) -> Result<(Self, Issued), Error> {
        let key = KeyPair::generate()?;
        // Each CA has a name of its own, so that a certificate of another CA is reported as "unknown issuer" and not as
        // "bad signature".
        let suffix: String = digest(&SHA256, key.public_key_raw())
            .as_ref()
            .iter()
            .take(4)
            .map(|b| format!("{b:02x}"))
            .collect();
        let mut params = params(
            &format!("coaps-gateway trial CA {suffix}"),
            now,
            CA_DAYS,
            None,
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(u8::from(may_have_below)));
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
                may_have_below,
                chain: String::new(),
            },
            issued,
        ))
    }

    /// Makes an authority below this one; `None` if there may be none.
    pub(super) fn authority_below(
        &self,
        now: OffsetDateTime,
    ) -> Result<Option<(Self, Issued)>, Error> {
        if !self.may_have_below {
            return Ok(None);
        }
        let key = KeyPair::generate()?;
        let name = "coaps-gateway trial intermediate";
        let mut params = params(name, now, CA_DAYS, Some(self.ends));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let issued = Issued {
            certificate: certificate.clone(),
            private_key: Zeroizing::new(key.serialize_pem()),
        };
        let authority = Authority {
            ends: params.not_after,
            issuer: Issuer::new(params, key),
            may_have_below: false,
            chain: certificate,
        };
        Ok(Some((authority, issued)))
    }

    /// Sets the certificates that follow those that it issues.
    pub(super) fn with_chain(self, chain: &str) -> Self {
        Authority {
            chain: chain.to_owned(),
            ..self
        }
    }

    /// Loads a CA from its certificate (DER) and its key (PEM).
    pub(super) fn load(
        certificate: &[u8],
        private_key: &str,
        now: OffsetDateTime,
    ) -> Result<Self, LoadError> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|_| LoadError::Certificate("the certificate is malformed"))?;
        if !parsed.is_ca() {
            return Err(LoadError::Certificate(
                "this is not an authority's certificate (CA:TRUE)",
            ));
        }
        let ends = parsed.validity().not_after.to_datetime();
        if ends <= now {
            return Err(LoadError::Certificate(
                "the authority's certificate has expired; use another directory for a new one",
            ));
        }
        let key = KeyPair::from_pem(private_key)
            .map_err(|_| LoadError::Key("there is no PKCS#8 private key in it that can be used"))?;
        if key.public_key_raw() != parsed.public_key().subject_public_key.data.as_ref() {
            return Err(LoadError::Key(
                "the key does not belong to the authority's certificate",
            ));
        }
        let constraints = parsed.basic_constraints().ok().flatten();
        let path_length = constraints.and_then(|found| found.value.path_len_constraint);
        Ok(Authority {
            may_have_below: path_length != Some(0),
            chain: String::new(),
            issuer: Issuer::from_ca_cert_der(&certificate.into(), key).map_err(LoadError::Issue)?,
            ends,
        })
    }

    /// Generates a key and issues a certificate for it.
    pub(super) fn issue(
        &self,
        kind: Kind<'_>,
        key_kind: KeyKind,
        now: OffsetDateTime,
    ) -> Result<Issued, Error> {
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
        let key = key_kind.generate()?;
        let own = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued {
            certificate: format!("{own}{}", self.chain),
            private_key: private_key_pem(&key),
        })
    }
}

/// Parameters of a version 3 certificate: valid from yesterday (clocks differ) for `days`, but not beyond `end`.
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

/// Checks that a host can be a server's name in a certificate.
pub(super) fn check_host(host: &str) -> Result<(), Error> {
    server_names(host).map(drop)
}

/// Subject alternative names: the host, and the local machine's names, so that a trial on one machine works with any.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not an address is a name; the enum is non-exhaustive"
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
