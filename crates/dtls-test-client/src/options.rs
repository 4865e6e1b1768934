//! What a client is made of.

use crate::credentials::Credentials;
use crate::moves::Move;
use dtls_server::crypto::key_exchange::NamedGroup;
use dtls_server::crypto::key_schedule::MasterSecret;
use dtls_server::crypto::signature::SignatureScheme;
use dtls_server::message::extension::MaxFragmentLength;
use dtls_server::record::DTLS_1_2;
use dtls_server::suite::CipherSuite;

/// What a client offers.
#[derive(Debug, Clone)]
pub struct Options {
    /// Cipher suites, by number.
    pub cipher_suites: Vec<u16>,
    /// Groups, by number. `None`: no extension.
    pub groups: Option<Vec<u16>>,
    /// Signature schemes, by number. `None`: no extension.
    pub schemes: Option<Vec<u16>>,
    /// RFC 7627.
    pub extended_master_secret: bool,
    /// RFC 5746.
    pub renegotiation_info: bool,
    /// What goes into records to the client. `None`: no connection IDs.
    pub connection_id: Option<Vec<u8>>,
    /// RFC 9853.
    pub return_routability_check: bool,
    /// RFC 6066 §4.
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// RFC 8449.
    pub record_size_limit: Option<u16>,
    /// `None`: it sends an empty Certificate.
    pub credentials: Option<Credentials>,
    /// Resumes this session.
    pub session: Option<Resumable>,
    /// Takes tickets, and shows the session's (RFC 5077).
    pub tickets: bool,
    /// Whether a flight is one datagram.
    pub packs: bool,
    /// The most bytes of a message in a record.
    pub fragment_length: usize,
    /// The version of its hello.
    pub version: u16,
    /// By which scheme its CertificateVerify is signed. `None`: the first one of its key.
    pub signs_with: Option<SignatureScheme>,
    /// What it does after the ServerHelloDone. Without credentials, it sends an empty Certificate and proves nothing.
    pub second_flight: Vec<Move>,
    /// What it does after the server's Finished, if its session is resumed.
    pub resumed_flight: Vec<Move>,
}

/// A session that can be resumed.
#[derive(Debug, Clone)]
pub struct Resumable {
    /// The session id. Beside a ticket, it is the client's own and may be empty.
    pub id: Vec<u8>,
    /// The ticket. Empty: there is none.
    pub ticket: Vec<u8>,
    /// The master secret.
    pub master_secret: MasterSecret,
}

impl Options {
    /// All cipher suites and groups, and all extensions that modern devices send.
    #[must_use]
    pub fn new(credentials: Credentials) -> Options {
        Options {
            cipher_suites: CipherSuite::ALL.map(CipherSuite::number).to_vec(),
            groups: Some(NamedGroup::ALL.map(NamedGroup::number).to_vec()),
            schemes: Some(SignatureScheme::ALL.map(SignatureScheme::number).to_vec()),
            extended_master_secret: true,
            renegotiation_info: true,
            connection_id: Some(Vec::new()),
            return_routability_check: true,
            max_fragment_length: None,
            record_size_limit: None,
            credentials: Some(credentials),
            session: None,
            tickets: false,
            packs: false,
            fragment_length: usize::MAX,
            version: DTLS_1_2,
            signs_with: None,
            second_flight: Move::SECOND_FLIGHT.to_vec(),
            resumed_flight: Move::RESUMED_FLIGHT.to_vec(),
        }
    }
}
