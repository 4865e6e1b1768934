//! What a ClientHello and the configuration have in common. Nothing is kept, sent or signed here.
//!
//! It happens in two steps, between which a session may be resumed: [`Offer::read`] checks what holds for every handshake, and
//! [`Offer::choose`] chooses the parameters of a full one.

use crate::alert::AlertDescription;
use crate::config::{Config, ExtendedMasterSecret, Identity};
use crate::crypto::key_exchange::NamedGroup;
use crate::crypto::random::{Random, Unavailable};
use crate::crypto::signature::SignatureScheme;
use crate::message::client_hello::{
    ClientHello, EMPTY_RENEGOTIATION_INFO_SCSV, FALLBACK_SCSV, NULL_COMPRESSION,
};
use crate::message::extension::{ClientExtensions, MaxFragmentLength};
use crate::message::server_hello::ServerExtensions;
use crate::message::{HelloRandom, Numbers};
use crate::record::{DTLS_1_2, MAX_CONTENT};
use crate::suite::CipherSuite;

/// DTLS 1.3, as supported_versions names it.
const DTLS_1_3: u16 = 0xfefc;
/// The end of the random of a server that speaks TLS 1.3 and was made to speak 1.2 (RFC 8446 §4.1.3).
const DOWNGRADE: [u8; 8] = *b"DOWNGRD\x01";
/// The longest plaintext of a record that this server receives.
const RECORD_SIZE_LIMIT: u16 = 1 << 14;

/// What a client without signature_algorithms can verify. RFC 5246 §7.4.1.4.1 has SHA-1 for it, which is no longer used (RFC
/// 9155); but every implementation of TLS 1.2 has SHA-256.
const DEFAULT_SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::EcdsaSha256,
    SignatureScheme::EcdsaSha384,
    SignatureScheme::EcdsaSha512,
    SignatureScheme::RsaPkcs1Sha256,
];

/// A ClientHello that can be answered.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    hello: ClientHello<'a>,
    extensions: ClientExtensions<'a>,
    answers: Answers<'a>,
}

/// What a record may have above max_fragment_length before it must be refused: the RFC has room for padding and a MAC, which
/// our cipher suites don't use.
const FRAGMENT_TOLERANCE: u16 = 256 + 32;

/// The answers to extensions that don't depend on the cipher suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers<'a> {
    /// The client has sent it, or its cipher suite (RFC 5746 §3.6). To others the answer would be an unknown extension.
    pub renegotiation_info: bool,
    /// RFC 7627.
    pub extended_master_secret: bool,
    /// RFC 8422 §5.2.
    pub ec_point_formats: bool,
    /// RFC 6066 §4.
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// What the client receives at most (RFC 8449). The server's own limit is the answer.
    pub record_size_limit: Option<u16>,
    /// What goes into records to the client: nothing if it is empty (RFC 9146). `None`: no connection IDs at all.
    pub peer_connection_id: Option<&'a [u8]>,
    /// RFC 9853.
    pub return_routability_check: bool,
    /// The client takes a ticket (RFC 5077), and its session may be resumed (RFC 7627 §5.4).
    pub session_ticket: bool,
}

/// The parameters of a full handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The cipher suite, which says which identity is used.
    pub suite: CipherSuite,
    /// How the ServerKeyExchange is signed.
    pub scheme: SignatureScheme,
    /// The group of the key exchange.
    pub group: NamedGroup,
}

impl<'a> Offer<'a> {
    /// Reads a ClientHello whose cookie was valid.
    ///
    /// # Errors
    /// The alert with which the handshake ends.
    pub fn read(hello: ClientHello<'a>, config: &Config) -> Result<Offer<'a>, AlertDescription> {
        let extensions = hello.client_extensions()?;
        check_version(&hello, &extensions, config)?;
        if !hello.compression_methods.contains(&NULL_COMPRESSION) {
            return Err(AlertDescription::ILLEGAL_PARAMETER);
        }
        // RFC 5746 §3.6: in a first handshake, there is no verify_data of one before.
        if extensions
            .renegotiation_info
            .is_some_and(|verify_data| !verify_data.is_empty())
        {
            return Err(AlertDescription::HANDSHAKE_FAILURE);
        }
        // RFC 7627 §5.4.
        let is_secret_required = config.extended_master_secret() == ExtendedMasterSecret::Require;
        if is_secret_required && !extensions.extended_master_secret {
            return Err(AlertDescription::HANDSHAKE_FAILURE);
        }
        let has_scsv = hello.cipher_suites.contains(EMPTY_RENEGOTIATION_INFO_SCSV);
        let peer_connection_id = match config.connection_id_length() {
            Some(_) => extensions.connection_id,
            None => None,
        };
        let answers = Answers {
            renegotiation_info: has_scsv || extensions.renegotiation_info.is_some(),
            extended_master_secret: extensions.extended_master_secret,
            ec_point_formats: extensions.ec_point_formats,
            // RFC 8449 §5: a server that has both ignores the older one.
            max_fragment_length: match extensions.record_size_limit {
                Some(_) => None,
                None => extensions.max_fragment_length,
            },
            record_size_limit: extensions.record_size_limit,
            peer_connection_id,
            return_routability_check: config.return_routability_check()
                && peer_connection_id.is_some()
                && extensions.return_routability_check,
            session_ticket: config.session_tickets()
                && extensions.extended_master_secret
                && extensions.session_ticket.is_some(),
        };
        Ok(Offer {
            hello,
            extensions,
            answers,
        })
    }

    /// What the client has asked for (RFC 6066 §4), whether or not it is agreed on.
    #[must_use]
    pub const fn offered_max_fragment_length(&self) -> Option<MaxFragmentLength> {
        self.extensions.max_fragment_length
    }

    /// The hello.
    #[must_use]
    pub const fn hello(&self) -> &ClientHello<'a> {
        &self.hello
    }

    /// Its extensions.
    #[must_use]
    pub const fn extensions(&self) -> &ClientExtensions<'a> {
        &self.extensions
    }

    /// The answers to its extensions.
    #[must_use]
    pub const fn answers(&self) -> &Answers<'a> {
        &self.answers
    }

    /// Chooses a cipher suite in the server's order, for which the client can verify the server's signature and certificate.
    ///
    /// # Errors
    /// The alert with which the handshake ends: there is none.
    pub fn choose(&self, config: &Config) -> Result<Choice, AlertDescription> {
        let group = self.group(config)?;
        let suites = config.cipher_suites().iter().copied();
        suites
            .filter(|suite| self.hello.cipher_suites.contains(suite.number()))
            .find_map(|suite| {
                let scheme = self.scheme(config.identity(suite.authentication())?)?;
                Some(Choice {
                    suite,
                    scheme,
                    group,
                })
            })
            .ok_or(AlertDescription::HANDSHAKE_FAILURE)
    }

    fn group(&self, config: &Config) -> Result<NamedGroup, AlertDescription> {
        let mut groups = config.groups().iter().copied();
        let group = match self.extensions.supported_groups {
            Some(offered) => groups.find(|group| offered.contains(group.number())),
            // RFC 8422 §4: the server may choose. Every client has this one.
            None => groups.find(|group| *group == NamedGroup::Secp256r1),
        };
        group.ok_or(AlertDescription::HANDSHAKE_FAILURE)
    }

    /// By which scheme an identity signs for this client. `None`: the client can't verify it.
    fn scheme(&self, identity: &Identity) -> Option<SignatureScheme> {
        // RFC 8422 §5.1: the groups are those of certificates as well.
        let offers = |curve: NamedGroup, groups: Numbers<'_>| groups.contains(curve.number());
        if let (Some(curve), Some(groups)) = (identity.curve(), self.extensions.supported_groups)
            && !offers(curve, groups)
        {
            return None;
        }
        let mut schemes = identity.signer().schemes().iter().copied();
        schemes.find(|scheme| match self.extensions.signature_algorithms {
            Some(offered) => offered.contains(scheme.number()),
            None => DEFAULT_SCHEMES.contains(scheme),
        })
    }
}

impl<'a> Answers<'a> {
    /// The most bytes of plaintext in a record to the client.
    #[must_use]
    pub fn send_limit(&self) -> u16 {
        let max_fragment_length = self.max_fragment_length.map(MaxFragmentLength::bytes);
        let limit = self.record_size_limit.or(max_fragment_length);
        limit.unwrap_or(RECORD_SIZE_LIMIT).min(RECORD_SIZE_LIMIT)
    }

    /// The most bytes of plaintext in a record from the client. Beside max_fragment_length there is the tolerance of RFC 6066
    /// §4: clients that have asked for it send application data that is longer (Californium a block of 512 bytes and its
    /// options).
    #[must_use]
    pub fn receive_limit(&self) -> u16 {
        let limit = |length: MaxFragmentLength| length.bytes().saturating_add(FRAGMENT_TOLERANCE);
        self.max_fragment_length.map_or(RECORD_SIZE_LIMIT, limit)
    }

    /// The extensions of the ServerHello. `own_connection_id`: what shall go into records from the client.
    #[must_use]
    pub fn server_extensions<'b>(&self, own_connection_id: &'b [u8]) -> ServerExtensions<'b> {
        ServerExtensions {
            renegotiation_info: self.renegotiation_info,
            extended_master_secret: self.extended_master_secret,
            ec_point_formats: self.ec_point_formats,
            session_ticket: self.session_ticket,
            max_fragment_length: self.max_fragment_length,
            record_size_limit: self.record_size_limit.map(|_| RECORD_SIZE_LIMIT),
            connection_id: self.peer_connection_id.map(|_| own_connection_id),
            return_routability_check: self.return_routability_check,
        }
    }
}

/// A client that has a newer version too is answered with 1.2 (RFC 5246 §E.1).
fn check_version(
    hello: &ClientHello<'_>,
    extensions: &ClientExtensions<'_>,
    config: &Config,
) -> Result<(), AlertDescription> {
    // The numbers go down. RFC 8446 §4.2.1: where supported_versions is, only that counts.
    let has_12 = match extensions.supported_versions {
        Some(versions) => versions.contains(DTLS_1_2),
        None => hello.version <= DTLS_1_2,
    };
    if !has_12 {
        return Err(AlertDescription::PROTOCOL_VERSION);
    }
    // RFC 7507 §3: the client has come back with less, although this server has more.
    let versions = extensions.supported_versions;
    let has_13 = versions.is_some_and(|versions| versions.contains(DTLS_1_3));
    let is_fallback = hello.cipher_suites.contains(FALLBACK_SCSV);
    match is_fallback && config.speaks_dtls13() && !has_13 {
        true => Err(AlertDescription::INAPPROPRIATE_FALLBACK),
        false => Ok(()),
    }
}

/// The random of a ServerHello.
///
/// # Errors
/// There are no random bytes.
pub fn server_random(random: &mut dyn Random, config: &Config) -> Result<HelloRandom, Unavailable> {
    let mut bytes = HelloRandom::default();
    random.fill(&mut bytes)?;
    if config.speaks_dtls13()
        && let Some(end) = bytes.last_chunk_mut()
    {
        *end = DOWNGRADE;
    }
    Ok(bytes)
}

const _: () = assert!(MAX_CONTENT == 1 << 14);

#[cfg(test)]
mod tests;
