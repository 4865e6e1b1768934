//! What a client can send, one by one.

/// One thing that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// A ClientHello without a cookie.
    Hello,
    /// A ClientHello with the cookie of the last HelloVerifyRequest.
    HelloWithCookie,
    /// Its certificates.
    Certificate,
    /// No certificates.
    EmptyCertificate,
    /// Its public key.
    ClientKeyExchange,
    /// The proof of its certificate's key.
    CertificateVerify,
    /// What follows is protected.
    ChangeCipherSpec,
    /// The end of its flight.
    Finished,
    /// Application data.
    ApplicationData,
    /// A fatal alert.
    Alert,
    /// A return routability check, which asks for a response.
    PathChallenge,
}

impl Move {
    /// All moves.
    pub const ALL: [Move; 11] = [
        Move::Hello,
        Move::HelloWithCookie,
        Move::Certificate,
        Move::EmptyCertificate,
        Move::ClientKeyExchange,
        Move::CertificateVerify,
        Move::ChangeCipherSpec,
        Move::Finished,
        Move::ApplicationData,
        Move::Alert,
        Move::PathChallenge,
    ];

    /// The flight that answers a ServerHelloDone.
    pub const SECOND_FLIGHT: [Move; 5] = [
        Move::Certificate,
        Move::ClientKeyExchange,
        Move::CertificateVerify,
        Move::ChangeCipherSpec,
        Move::Finished,
    ];

    /// The flight that answers the Finished of a session that is resumed.
    pub const RESUMED_FLIGHT: [Move; 2] = [Move::ChangeCipherSpec, Move::Finished];
}
