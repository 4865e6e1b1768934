//! An established session: its keys, where its client is, and what must be remembered for a while after the handshake.

mod unproven_path;

use super::dtls13::Dtls13;
use super::path::Path;
use crate::credentials::{KnownClient, Period, Verified};
use crate::device::CertificateId;
use crate::timers::Slot;
use crate::timers::moment::Moment;
use dtls_server::association::Association;
use dtls_server::handshake::LastFlight;
use dtls_server::resumption::Session as ResumableSession;
use std::time::{Duration, Instant};
pub(super) use unproven_path::{FACTOR, UnprovenPath};

/// How long the client may repeat its last flight, or its ClientHello.
const FRESH: Duration = LastFlight::LIFETIME;

/// An established session.
pub(super) struct Connection {
    pub(super) engine: Engine,
    /// The addresses of the client and of ours. They change if the client has a connection ID and its address changes.
    pub(super) path: Path,
    /// The path is not proven yet.
    pub(super) unproven: Option<Box<UnprovenPath>>,
    /// When it ends without application data.
    pub(super) deadline: Instant,
    pub(super) timer: Slot,
    /// The beginning of the certificate's SHA-256.
    pub(super) certificate: CertificateTag,
    /// The validity period of the certificate.
    pub(super) period: Period,
    /// How the certificate was verified, if there were trust anchors.
    pub(super) verified: Option<Box<Verified>>,
    /// After the handshake.
    pub(super) fresh: Option<Box<Fresh>>,
    /// It is among the [used](super::used) ones.
    pub(super) is_used: bool,
    /// The session id to resume it by; zeros: it is not resumed.
    pub(super) resumption_id: [u8; 32],
}

/// What protects the records.
pub(super) enum Engine {
    Dtls12(Association),
    Dtls13(Box<Dtls13>),
}

/// Tells certificates apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CertificateTag([u8; 8]);

impl CertificateTag {
    pub(super) fn of(certificate: &CertificateId) -> CertificateTag {
        let first = certificate.sha256.first_chunk();
        CertificateTag(first.copied().unwrap_or_default())
    }
}

/// What is remembered of a handshake for [`FRESH`].
pub(super) struct Fresh {
    /// The end of the random of its first ClientHello, and when that came: a copy of it begins no other handshake.
    random: [u8; 16],
    began: Moment,
    pub(super) expires: Moment,
    /// Until the client has sent application data.
    pub(super) last_flight: Option<Box<LastFlight>>,
    /// To resume it by, if its client turns out to be a registered device.
    pub(super) resumable: Option<Box<(ResumableSession, KnownClient)>>,
}

impl Fresh {
    pub(super) fn new(
        now: Instant,
        random: &[u8; 32],
        began: Instant,
        last_flight: Option<LastFlight>,
        resumable: Option<(ResumableSession, KnownClient)>,
    ) -> Fresh {
        Fresh {
            random: end_of(random),
            began: began.into(),
            expires: (now + FRESH).into(),
            last_flight: last_flight.map(Box::new),
            resumable: resumable.map(Box::new),
        }
    }
}

/// The first bytes may be the time (RFC 5246 §7.4.1.2).
fn end_of(random: &[u8; 32]) -> [u8; 16] {
    random.last_chunk().copied().unwrap_or_default()
}

impl Connection {
    /// Our connection ID in it. Empty: it has none.
    pub(super) fn connection_id(&self) -> &[u8] {
        match &self.engine {
            Engine::Dtls12(association) => association.own_connection_id(),
            Engine::Dtls13(_) => &[],
        }
    }

    pub(super) fn cipher_suite(&self) -> Option<u16> {
        match &self.engine {
            Engine::Dtls12(association) => Some(association.suite().number()),
            Engine::Dtls13(dtls13) => dtls13.cipher_suite,
        }
    }

    /// When its timer must fire.
    pub(super) fn next_timeout(&self) -> Instant {
        let fresh = self.fresh.as_ref().map(|fresh| fresh.expires.into());
        let engine = match &self.engine {
            Engine::Dtls12(_) => None,
            Engine::Dtls13(dtls13) => dtls13.engine.next_timeout(),
        };
        let unproven = self.unproven.as_ref();
        let challenge = unproven.and_then(|unproven| unproven.next_challenge());
        let others = [fresh, engine, challenge].into_iter().flatten();
        others.fold(self.deadline, Instant::min)
    }

    /// Whether a hello with this random and a valid cookie is a late copy of the one that this session began with. A device
    /// with the same random numbers after each restart sends the same one, too, but seldom as soon.
    pub(super) fn began_with(&self, now: Instant, random: &[u8; 32], within: Duration) -> bool {
        self.fresh.as_ref().is_some_and(|fresh| {
            fresh.random == end_of(random)
                && now.saturating_duration_since(fresh.began.into()) < within
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::credentials::Moment;
    use dtls_server::association::Parameters;
    use dtls_server::crypto::aead::Keys;
    use dtls_server::suite::CipherSuite;

    /// A session of DTLS 1.2 without a connection ID.
    pub(in crate::dtls) fn connection() -> Connection {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let suite = CipherSuite::EcdheEcdsaAes128Ccm8;
        let keys = || Keys::new(suite.aead(), &[1; 16], &[2; 4]).unwrap();
        let association = Association::new(Parameters {
            suite,
            extended_master_secret: true,
            return_routability_check: false,
            write: keys(),
            read: keys(),
            own_connection_id: &[],
            peer_connection_id: &[],
            send_limit: 1 << 14,
            receive_limit: 1 << 14,
        });
        Connection {
            engine: Engine::Dtls12(association.unwrap()),
            path: Path {
                remote: ([192, 0, 2, 1], 1).into(),
                local: None,
                via: None,
            },
            unproven: None,
            deadline: now,
            timer: Slot::default(),
            certificate: CertificateTag::of(&CertificateId::of(&[])),
            period: Period {
                not_before: Moment::from_seconds(0),
                not_after: Moment::from_seconds(0),
            },
            verified: None,
            fresh: None,
            is_used: false,
            resumption_id: [0; 32],
        }
    }
}
