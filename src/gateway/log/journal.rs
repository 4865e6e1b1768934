//! What the gateway tells its operator: one line for each handshake and each failure, each request
//! at debug, and nothing a thousand times over.
//!
//! Nothing secret is written here, and nothing a stranger chose: of a certificate only its
//! fingerprint, of a path only what it resolves to.

use crate::device::{CertificateId, Fingerprint};
use crate::dtls::record::cipher_suite_name;
use crate::dtls::{EndReason, HandshakeFailure, Path, Refusal};
use crate::gateway::call::Errand;
use crate::gateway::sessions::Peer;
use crate::logging::churn::Churn;
use crate::logging::notices::Notices;
use crate::mapping::resource::{NoRoute, Resource};
use crate::mapping::translate::Expect;
use crate::relay::refusal::Refusal as CommandRefusal;
use crate::relay::{Kind, Last};
use crate::upstream::Error;
use coap::{ExchangeId, ObservationId, Request, Response};
use shares::source;
use std::mem::{Discriminant, discriminant};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Sessions of one device that are logged one by one in a minute; of more the number is logged.
const SESSIONS_TOLD: u64 = 4;
/// Bounds that [`Journal::pressure`] watches.
pub const BOUNDS: usize = 10;

/// What makes two failed handshakes of one address the same to an operator.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Failed {
    Refused(Discriminant<Refusal>),
    NoCertificate,
    TimedOut,
    /// The engine's words without numbers, which a peer may choose.
    Engine(String),
}

/// The log lines of the gateway, and what was said lately.
#[derive(Debug)]
pub struct Journal {
    handshakes: Notices<(Failed, IpAddr)>,
    /// Apart from the others, because these addresses may be forged: a flood of them hides only itself.
    no_suite: Notices<IpAddr>,
    sessions_full: Notices<()>,
    established: Churn<Arc<str>>,
    ended: Churn<Arc<str>>,
    /// Sessions of unregistered certificates that are not logged one by one, by address.
    strangers: Churn<IpAddr>,
    unregistered: Notices<[u8; 32]>,
    claimed_by_two: Notices<[u8; 32]>,
    provisioned: Notices<[u8; 32]>,
    refused_tokens: Notices<Arc<str>>,
    parked: Notices<Arc<str>>,
    upstream: Notices<Discriminant<Error>>,
    polls: Notices<Discriminant<Error>>,
    packages: Notices<Discriminant<Error>>,
    nonsense: Notices<Kind>,
    commands_refused: Notices<Arc<str>>,
    bounds_told: [u64; BOUNDS],
    held_back_told: u64,
}

impl Default for Journal {
    /// Nothing said yet.
    fn default() -> Journal {
        Journal {
            handshakes: Notices::every(HOUR),
            no_suite: Notices::every(HOUR),
            sessions_full: Notices::every(MINUTE),
            established: Churn::telling(SESSIONS_TOLD),
            ended: Churn::telling(SESSIONS_TOLD),
            strangers: Churn::telling(0),
            unregistered: Notices::every(HOUR),
            claimed_by_two: Notices::every(HOUR),
            provisioned: Notices::every(HOUR),
            refused_tokens: Notices::every(HOUR),
            parked: Notices::every(MINUTE),
            upstream: Notices::every(MINUTE),
            polls: Notices::every(MINUTE),
            packages: Notices::every(MINUTE),
            nonsense: Notices::every(MINUTE),
            commands_refused: Notices::every(HOUR),
            bounds_told: [0; BOUNDS],
            held_back_told: 0,
        }
    }
}

impl Journal {
    /// A handshake is complete.
    pub fn established(&mut self, now: Instant, peer: &Peer) {
        let (address, session) = (peer.path, peer.session.0);
        if let Some(device) = &peer.device {
            if self.established.count(&device.name) {
                info!(device = peer.name(), session, %address, dtls = peer.version(), "session established");
            } else {
                debug!(device = peer.name(), session, %address, "session established; one of many in this minute");
            }
            return;
        }
        let fingerprint = peer.fingerprint();
        let (ip, certificate) = (address.remote.ip(), peer.certificate.sha256);
        if self.unregistered.is_first_from(now, ip, certificate) {
            info!(
                session, %address, %fingerprint,
                "a certificate that is not registered: its requests get 4.01. \
                 To let this device in, add to the device registry:\n\
                 [[device]]\n\
                 name = \"{}\"\n\
                 fingerprint = \"{fingerprint}\"\n\
                 token = \"…\"   # the device's access token in ThingsBoard",
                suggested_name(peer)
            );
        } else {
            self.strangers.count(&source::host(ip));
            debug!(session, %address, %fingerprint, "session of an unregistered certificate established");
        }
    }

    /// Two devices in the registry have this session's certificate, each by another name of it.
    pub fn claimed_by_two(&mut self, now: Instant, peer: &Peer, other: &str) {
        if self.claimed_by_two.is_first(now, peer.certificate.sha256) {
            warn!(
                device = peer.name(), other, session = peer.session.0, certificate = %peer.certificate,
                "two devices in the registry have this certificate, one by its SHA-256 and the other by ThingsBoard's \
                 credentials id (sha3): the first counts. Correct one of the two"
            );
        }
    }

    /// A session has ended.
    pub fn ended(&mut self, peer: &Peer, reason: &EndReason) {
        let (session, address) = (peer.session.0, peer.path);
        if let Some(device) = &peer.device {
            if self.ended.count(&device.name) {
                info!(device = peer.name(), session, %address, %reason, "session ended");
            } else {
                debug!(device = peer.name(), session, %address, %reason, "session ended; one of many in this minute");
            }
        } else {
            debug!(session, %address, %reason, "session of an unregistered certificate ended");
        }
    }

    /// By a registry that was read anew, a session is another device's, or nobody's.
    pub fn reassigned(&self, peer: &Peer, device: Option<&str>) {
        let (session, address) = (peer.session.0, peer.path);
        info!(
            device = peer.name(), now = device.unwrap_or("-"), session, %address,
            fingerprint = %peer.fingerprint(), "a session's certificate is registered otherwise now"
        );
    }

    /// By what was read anew, a session's certificate is no longer accepted.
    pub fn refused_since(&self, peer: &Peer, refusal: &Refusal) {
        let (session, address) = (peer.session.0, peer.path);
        warn!(
            device = peer.name(), session, %address, fingerprint = %peer.fingerprint(),
            "client certificate no longer accepted: {refusal}"
        );
    }

    /// A handshake has come to nothing.
    pub fn handshake_failed(&mut self, now: Instant, path: Path, failure: &HandshakeFailure) {
        let address = path.remote.ip().to_canonical();
        let first = match failure {
            HandshakeFailure::SessionsFull => self.sessions_full.is_first(now, ()),
            HandshakeFailure::NoCommonCipherSuite { .. } => self.no_suite.is_first(now, address),
            HandshakeFailure::CertificateRefused { refusal, .. } => {
                let failed = Failed::Refused(discriminant(refusal));
                self.handshakes
                    .is_first_from(now, address, (failed, address))
            }
            HandshakeFailure::NoCertificate => {
                let failed = (Failed::NoCertificate, address);
                self.handshakes.is_first_from(now, address, failed)
            }
            HandshakeFailure::TimedOut => {
                let failed = (Failed::TimedOut, address);
                self.handshakes.is_first_from(now, address, failed)
            }
            HandshakeFailure::Engine(reason) => {
                let words = reason.chars().filter(|c| !c.is_ascii_digit());
                let failed = Failed::Engine(words.take(80).collect());
                self.handshakes
                    .is_first_from(now, address, (failed, address))
            }
        };
        if !first {
            debug!(address = %path, ?failure, "handshake failed, as lately from the same address");
            return;
        }
        match failure {
            HandshakeFailure::SessionsFull => {
                warn!("newcomers are refused: limits.sessions are established");
            }
            HandshakeFailure::CertificateRefused {
                certificate,
                refusal,
            } => warn!(
                address = %path,
                shown = %Fingerprint::Sha256(CertificateId::of(certificate).sha256),
                "client certificate refused: {refusal} (shown, not proven to be the client's)"
            ),
            HandshakeFailure::NoCommonCipherSuite { offered, more } => {
                let offered = offered.iter().map(|suite| cipher_suite_name(*suite));
                warn!(
                    address = %path,
                    offered = offered.collect::<Vec<_>>().join(" "),
                    more,
                    "handshake failed: the client offers no cipher suite that the gateway has"
                );
            }
            HandshakeFailure::NoCertificate => {
                warn!(address = %path, "handshake failed: the client has no certificate");
            }
            HandshakeFailure::TimedOut => {
                info!(address = %path, "handshake not completed within dtls.handshake_timeout");
            }
            HandshakeFailure::Engine(reason) => {
                warn!(address = %path, "handshake failed: {reason}");
            }
        }
    }

    /// A request came.
    pub fn asked(
        &self,
        peer: &Peer,
        exchange: ExchangeId,
        request: &Request,
        resource: Result<Resource, NoRoute>,
    ) {
        let (session, exchange) = (peer.session.0, exchange.0);
        debug!(
            device = peer.name(), session, exchange, method = ?request.method, ?resource,
            bytes = request.payload.len(), "request"
        );
    }

    /// A request was answered.
    pub fn answered(&self, peer: &Peer, exchange: ExchangeId, response: &Response) {
        let (session, exchange) = (peer.session.0, exchange.0);
        debug!(device = peer.name(), session, exchange, code = %response.code, "response");
    }

    /// A call to upstream has failed.
    pub fn upstream_failed(
        &mut self,
        now: Instant,
        peer: &Peer,
        exchange: ExchangeId,
        expect: Expect,
        error: &Error,
    ) {
        let (device, session, exchange) = (peer.name(), peer.session.0, exchange.0);
        debug!(device, session, exchange, ?expect, "{error}");
        match error {
            Error::Rejected(status) if status.code == 401 && expect != Expect::Provisioned => {
                if self.refused_tokens.is_first(now, device.into()) {
                    warn!(
                        device,
                        session,
                        exchange,
                        "ThingsBoard does not know the access token registered for this device: \
                         its requests get 4.01"
                    );
                }
            }
            // A rule chain that leaves a client-side RPC unanswered is the device's affair.
            Error::Timeout | Error::Elapsed | Error::Overloaded if expect == Expect::RpcReply => {}
            Error::RetryAfter(_) if expect == Expect::RpcReply => {}
            // The client tells when upstream goes and when it comes back.
            Error::Rejected(_) | Error::Unreachable => {}
            Error::Timeout
            | Error::Elapsed
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_) => {
                if self.upstream.is_first(now, discriminant(error)) {
                    warn!(device, session, exchange, "{error}");
                }
            }
        }
    }

    /// An observation stands.
    pub fn registered(&self, peer: &Peer, kind: Kind, observation: ObservationId) {
        let (session, observation) = (peer.session.0, observation.0);
        debug!(
            device = peer.name(),
            session,
            observation,
            ?kind,
            "observation registered"
        );
    }

    /// Something observed goes to a device.
    pub fn notified(&self, peer: &Peer, observation: ObservationId, bytes: usize) {
        let (session, observation) = (peer.session.0, observation.0);
        debug!(
            device = peer.name(),
            session, observation, bytes, "notification"
        );
    }

    /// The gateway ends an observation.
    pub fn observation_ended(&self, peer: &Peer, observation: ObservationId, last: Last) {
        let (session, observation) = (peer.session.0, observation.0);
        debug!(
            device = peer.name(),
            session,
            observation,
            ?last,
            "observation ended"
        );
    }

    /// A device does not answer what it observes. One that comes and goes is told of once a minute.
    pub fn parked(&mut self, now: Instant, peer: &Peer) {
        if !self.parked.is_first(now, peer.name().into()) {
            return;
        }
        info!(
            device = peer.name(), session = peer.session.0, address = %peer.path,
            "the device does not answer: nothing is polled for it until it is heard again"
        );
    }

    /// A call of a relay has failed.
    pub fn errand_failed(&mut self, now: Instant, device: &str, errand: Errand, error: &Error) {
        match error {
            // Most polls end so.
            Error::Elapsed => return,
            Error::Rejected(status) if matches!(status.code, 401 | 403) => {
                if self.refused_tokens.is_first(now, device.into()) {
                    warn!(
                        device,
                        "ThingsBoard refuses the device ({error}): its observations end"
                    );
                }
            }
            // The client tells when upstream goes and when it comes back.
            Error::Unreachable => {}
            Error::Timeout
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_)
            | Error::Rejected(_) => {
                if self.polls.is_first(now, discriminant(error)) {
                    warn!(
                        device,
                        ?errand,
                        "{error}; trying again, less and less often"
                    );
                }
            }
        }
        debug!(device, ?errand, "{error}");
    }

    /// A call for packages has failed.
    pub fn package_failed(&mut self, now: Instant, error: &Error) {
        debug!("package: {error}");
        match error {
            // What it says of one device is that device's answer; the client tells of upstream itself.
            Error::Rejected(status) if matches!(status.code, 400 | 401 | 403 | 404) => {}
            Error::Unreachable => {}
            Error::Timeout
            | Error::Elapsed
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_)
            | Error::Rejected(_) => {
                if self.packages.is_first(now, discriminant(error)) {
                    warn!("a package, or who may have it, can't be fetched: {error}");
                }
            }
        }
    }

    /// The gateway replies to a command itself.
    pub fn command_refused(
        &mut self,
        now: Instant,
        device: &Arc<str>,
        id: u32,
        why: CommandRefusal,
    ) {
        debug!(%device, command = id, ?why, "command replied to by the gateway");
        if why == CommandRefusal::Unanswered && self.commands_refused.is_first(now, device.clone())
        {
            warn!(
                %device,
                command = id,
                "the device has the command and has not replied within relay.command_answer: the gateway has, with an \
                 error; said once an hour for each device"
            );
        }
    }

    /// A poll brought what makes no sense.
    pub fn nonsense(&mut self, now: Instant, device: &str, kind: Kind) {
        if self.nonsense.is_first(now, kind) {
            warn!(
                device,
                ?kind,
                "a long poll was answered with what is not ThingsBoard's JSON; is it ThingsBoard that answers at \
                 upstream.url?"
            );
        }
    }

    /// ThingsBoard ends polls before they have waited for as long as they were asked to.
    pub fn polls_cut_off(&self, asked: Duration, lasted: Duration) {
        warn!(
            asked = %humantime::format_duration(asked),
            "ThingsBoard ends long polls after {:.0} s: they are kept below it from now on. Lower \
             relay.poll_timeout to 25s, or raise ThingsBoard's SPRING_MVC_ASYNC_REQUEST_TIMEOUT",
            lasted.as_secs_f64()
        );
    }

    /// A device has provisioned itself.
    pub fn provisioned(&mut self, now: Instant, peer: &Peer) {
        let (address, certificate) = (peer.path.remote.ip(), peer.certificate.sha256);
        if peer.device.is_none() && self.provisioned.is_first_from(now, address, certificate) {
            let (session, fingerprint) = (peer.session.0, peer.fingerprint());
            info!(
                session, address = %peer.path, %fingerprint,
                "an unregistered certificate has provisioned a device in ThingsBoard. \
                 To let it in, add to the device registry:\n\
                 [[device]]\n\
                 name = \"{}\"\n\
                 fingerprint = \"{fingerprint}\"\n\
                 token = \"…\"   # credentialsValue of the answer it got, or as ThingsBoard shows it",
                suggested_name(peer)
            );
        }
    }

    /// Lines about handshakes and sessions that were held back, since the start.
    pub fn held_back(&self) -> u64 {
        let sessions = [&self.established, &self.ended].map(|churn| churn.held_back);
        let others = self.strangers.held_back + self.parked.held_back;
        self.failures_held_back() + others + sessions.iter().sum::<u64>()
    }

    fn failures_held_back(&self) -> u64 {
        self.handshakes.held_back + self.no_suite.held_back
    }

    /// Logs the number of sessions that were not logged one by one. Once a minute.
    fn tell_churn(&mut self) {
        for (churn, what) in [
            (&mut self.established, "established"),
            (&mut self.ended, "ended"),
        ] {
            let more = churn.take();
            for (device, times) in more.named {
                info!(device = %device, times, "more sessions of this device {what} in the last minute");
            }
            if more.others > 0 {
                let times = more.others;
                info!(
                    times,
                    "more sessions of other devices {what} in the last minute"
                );
            }
        }
        let more = self.strangers.take();
        for (address, times) in more.named {
            info!(%address, times, "more sessions of unregistered certificates in the last minute");
        }
        if more.others > 0 {
            let times = more.others;
            info!(
                times,
                "more sessions of unregistered certificates from other addresses in the last minute"
            );
        }
    }

    /// Bounds that were reached since the last time, and lines held back: the counts of each since
    /// the start. Once a minute.
    pub fn pressure(&mut self, bounds: [(&'static str, u64); BOUNDS]) {
        for ((bound, count), told) in bounds.into_iter().zip(&mut self.bounds_told) {
            let more = count.saturating_sub(std::mem::replace(told, count));
            if more > 0 {
                warn!(
                    bound,
                    times = more,
                    "a bound was reached in the last minute"
                );
            }
        }
        self.tell_churn();
        let held_back = self.failures_held_back();
        let more = held_back.saturating_sub(std::mem::replace(&mut self.held_back_told, held_back));
        if more > 0 {
            info!(
                times = more,
                "more failed handshakes like those told lately; level debug shows each"
            );
        }
    }
}

/// A name nobody has to think of, to be changed at leisure.
fn suggested_name(peer: &Peer) -> String {
    let [a, b, c, d, ..] = peer.certificate.sha256;
    format!("device-{a:02x}{b:02x}{c:02x}{d:02x}")
}

#[cfg(test)]
mod tests;
