//! Certificates: valid, expired, not yet valid, of another authority, of any size.

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A certificate authority that exists for one test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    pub name: String,
    pub certificate_pem: String,
    pub key_pem: String,
    /// SHA-256 of the DER, lower-case hex.
    pub fingerprint: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub enum Valid {
    Now,
    NoLonger,
    NotYet,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Its private key, for programs that issue certificates.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    pub fn server(&self) -> Identity {
        self.server_for(&["localhost", "127.0.0.1"])
    }

    /// A server's certificate for these names and addresses. Its files are named after the first.
    pub fn server_for(&self, names: &[&str]) -> Identity {
        let subject: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(subject).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(names[0], params)
    }

    /// A revocation list with these certificates, as PEM.
    pub fn revoke(&self, revoked: &[&Identity]) -> String {
        let entry = |identity: &&Identity| RevokedCertParams {
            serial_number: identity.serial(),
            revocation_time: date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 2),
            next_update: date_time_ymd(4096, 1, 1),
            crl_number: SerialNumber::from(u64::try_from(revoked.len()).unwrap() + 1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    pub fn device(&self, name: &str) -> Identity {
        self.device_valid(name, Valid::Now)
    }

    /// A server's certificate with an RSA key.
    pub fn server_with_rsa(&self) -> Identity {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        self.issue_for("localhost-rsa", params, &key)
    }

    /// A device's certificate with this key.
    pub fn device_with(&self, name: &str, key: &KeyPair) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue_for(name, params, key)
    }

    /// A device's certificate of `size` bytes (DER), or a few less.
    pub fn device_of_size(&self, name: &str, size: usize) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        // The rest takes up to 600 bytes.
        let padding = vec![4; size.saturating_sub(600)];
        let number = [1, 3, 6, 1, 4, 1, 55555, 1];
        let extension = CustomExtension::from_oid_content(&number, padding);
        params.custom_extensions.push(extension);
        self.issue(name, params)
    }

    pub fn device_valid(&self, name: &str, valid: Valid) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (from, to) = match valid {
            Valid::Now => (2020, 4096),
            Valid::NoLonger => (2020, 2021),
            Valid::NotYet => (4000, 4096),
        };
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        self.issue(name, params)
    }

    fn issue(&self, name: &str, params: CertificateParams) -> Identity {
        self.issue_for(name, params, &KeyPair::generate().unwrap())
    }

    fn issue_for(&self, name: &str, mut params: CertificateParams, key: &KeyPair) -> Identity {
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let hash = digest(&SHA256, certificate.der());
        Identity {
            name: name.to_owned(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            fingerprint: hash
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }
}

impl Identity {
    /// Writes `NAME.pem` and `NAME.key`, and returns their paths.
    pub fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let certificate = directory.join(format!("{}.pem", self.name));
        let key = directory.join(format!("{}.key", self.name));
        // Not again: a program that another thread has started may be reading them.
        if fs::read_to_string(&key).ok().as_ref() == Some(&self.key_pem) {
            return (certificate, key);
        }
        fs::write(&certificate, &self.certificate_pem).unwrap();
        fs::write(&key, &self.key_pem).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        (certificate, key)
    }

    fn serial(&self) -> SerialNumber {
        let der = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        SerialNumber::from_slice(parsed.raw_serial())
    }

    /// A line of the key's base64, by which a leaked key is recognised.
    pub fn secret(&self) -> String {
        self.key_pem.lines().nth(2).unwrap().to_owned()
    }
}
