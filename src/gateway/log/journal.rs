//! The log lines for operators: handshakes, failures and, at level debug, requests. Repeated lines are suppressed and
//! counted.
//!
//! No line has a secret, or text that a peer chose: of a certificate only the fingerprint, of a path only the resource.

use crate::calls::RelayCall;
use crate::credentials::CertificateError;
use crate::device::Fingerprint;
use crate::downlink::Kind;
use crate::dtls::record::cipher_suite_name;
use crate::dtls::{EndReason, HandshakeFailure, Path};
use crate::gateway::sessions::Peer;
use crate::logging::sampler::Sampler;
use crate::logging::throttle::Throttle;
use crate::mapping::path::NoRoute;
use crate::mapping::resource::Resource;
use crate::mapping::response::AnswerKind;
use crate::ota;
use crate::relay::ObservationEnd;
use crate::relay::command_error::CommandError;
use crate::upstream::{Error, Rejection};
use coap::{ExchangeId, ObservationId, Request, Response};
use shares::source;
use std::mem::{Discriminant, discriminant};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Sessions of one device that are logged one by one in a minute. The others are counted, and their number is logged.
const SESSIONS_LOGGED: u64 = 4;
/// Bounds that [`Journal::bounds_reached`] logs.
pub(crate) const BOUNDS: usize = 11;

/// The kind of a failed handshake. One of each kind and address is logged in an hour.
#[derive(Debug, PartialEq, Eq, Hash)]
enum FailureKind {
    Refused(Discriminant<CertificateError>),
    NoCertificate,
    TimedOut,
    /// The engine's message without digits, which a peer may choose.
    Engine(String),
}

/// Writes the log lines, and keeps which were written lately, to suppress repetitions.
#[derive(Debug)]
pub(crate) struct Journal {
    handshakes: Throttle<(FailureKind, IpAddr)>,
    /// Apart from `handshakes`, because these addresses may be forged: a flood of them suppresses no other line.
    no_suite: Throttle<IpAddr>,
    sessions_full: Throttle<()>,
    established: Sampler<Arc<str>>,
    ended: Sampler<Arc<str>>,
    /// Sessions of unregistered certificates that are not logged one by one, by address.
    unregistered_sessions: Sampler<IpAddr>,
    unregistered: Throttle<[u8; 32]>,
    claimed_by_two: Throttle<[u8; 32]>,
    provisioned: Throttle<[u8; 32]>,
    refused_tokens: Throttle<Arc<str>>,
    parked: Throttle<Arc<str>>,
    displaced: Throttle<Arc<str>>,
    rate_limited: Throttle<Arc<str>>,
    upstream: Throttle<Discriminant<Error>>,
    polls: Throttle<Discriminant<Error>>,
    packages: Throttle<Discriminant<Error>>,
    unparsable: Throttle<Kind>,
    commands_refused: Throttle<Arc<str>>,
    bounds_logged: [u64; BOUNDS],
    suppressed_logged: u64,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal {
            handshakes: Throttle::every(HOUR),
            no_suite: Throttle::every(HOUR),
            sessions_full: Throttle::every(MINUTE),
            established: Sampler::new(SESSIONS_LOGGED),
            ended: Sampler::new(SESSIONS_LOGGED),
            unregistered_sessions: Sampler::new(0),
            unregistered: Throttle::every(HOUR),
            claimed_by_two: Throttle::every(HOUR),
            provisioned: Throttle::every(HOUR),
            refused_tokens: Throttle::every(HOUR),
            parked: Throttle::every(MINUTE),
            displaced: Throttle::every(HOUR),
            rate_limited: Throttle::every(HOUR),
            upstream: Throttle::every(MINUTE),
            polls: Throttle::every(MINUTE),
            packages: Throttle::every(MINUTE),
            unparsable: Throttle::every(MINUTE),
            commands_refused: Throttle::every(HOUR),
            bounds_logged: [0; BOUNDS],
            suppressed_logged: 0,
        }
    }
}

impl Journal {
    pub(crate) fn established(&mut self, now: Instant, peer: &Peer) {
        let (address, session) = (peer.remote(), peer.session.0);
        if let Some(device) = &peer.device {
            if self.established.admits(&device.name) {
                info!(device = peer.name(), session, %address, dtls = peer.version(), "session established");
            } else {
                debug!(device = peer.name(), session, %address, "session established; one of many in this minute");
            }
            return;
        }
        let fingerprint = peer.fingerprint();
        let (ip, certificate) = (address.ip(), peer.certificate.sha256);
        if self.unregistered.admits_from(now, ip, certificate) {
            info!(
                session, %address, %fingerprint,
                "a certificate that is not registered: its requests get 4.01. \
                 To register the device, add to the device registry:\n\
                 [[device]]\n\
                 name = \"{}\"\n\
                 fingerprint = \"{fingerprint}\"\n\
                 token = \"…\"   # the device's access token in ThingsBoard",
                suggested_name(peer)
            );
        } else {
            self.unregistered_sessions.admits(&source::host(ip));
            debug!(session, %address, %fingerprint, "session of an unregistered certificate established");
        }
    }

    /// Two devices in the registry have this session's certificate, by different fingerprints of it.
    pub(crate) fn claimed_by_two(&mut self, now: Instant, peer: &Peer, other: &str) {
        if self.claimed_by_two.admits(now, peer.certificate.sha256) {
            warn!(
                device = peer.name(), other, session = peer.session.0, certificate = %peer.certificate,
                "two devices in the registry have this certificate, one by its SHA-256 and the other by ThingsBoard's \
                 credentials id (sha3): the first counts. Correct one of the two"
            );
        }
    }

    pub(crate) fn ended(&mut self, peer: &Peer, reason: &EndReason) {
        let (session, address) = (peer.session.0, peer.remote());
        if let Some(device) = &peer.device {
            if self.ended.admits(&device.name) {
                info!(device = peer.name(), session, %address, %reason, "session ended");
            } else {
                debug!(device = peer.name(), session, %address, %reason, "session ended; one of many in this minute");
            }
        } else {
            debug!(session, %address, %reason, "session of an unregistered certificate ended");
        }
    }

    pub(crate) fn moved(&self, peer: &Peer, path: Path) {
        let (session, before) = (peer.session.0, peer.remote());
        debug!(device = peer.name(), session, address = %path, %before, "the device has another address");
    }

    /// The registry was reloaded, and the session's certificate belongs to another device than before, or to none.
    pub(crate) fn device_changed(&self, peer: &Peer, new_device: Option<&str>) {
        let (session, address, fingerprint) = (peer.session.0, peer.remote(), peer.fingerprint());
        match (&peer.device, new_device) {
            (Some(device), Some(new_device)) => info!(
                device = %device.name, new_device, session, %address, %fingerprint,
                "certificate assigned to another device"
            ),
            (Some(device), None) => info!(
                device = %device.name, session, %address, %fingerprint,
                "certificate removed from the registry"
            ),
            (None, Some(device)) => {
                info!(device, session, %address, %fingerprint, "certificate registered");
            }
            (None, None) => {}
        }
    }

    /// Trust anchors or revocation lists were reloaded, and refuse the session's certificate.
    pub(crate) fn no_longer_accepted(&self, peer: &Peer, refusal: &CertificateError) {
        let (session, address) = (peer.session.0, peer.remote());
        warn!(
            device = peer.name(), session, %address, fingerprint = %peer.fingerprint(),
            "client certificate no longer accepted: {refusal}"
        );
    }

    pub(crate) fn handshake_failed(
        &mut self,
        now: Instant,
        path: Path,
        failure: &HandshakeFailure,
    ) {
        let address = path.remote.ip().to_canonical();
        let first = match failure {
            HandshakeFailure::SessionsFull => self.sessions_full.admits(now, ()),
            HandshakeFailure::NoCommonCipherSuite { .. } => self.no_suite.admits(now, address),
            HandshakeFailure::CertificateRefused { refusal, .. } => {
                let kind = FailureKind::Refused(discriminant(refusal));
                self.handshakes.admits_from(now, address, (kind, address))
            }
            HandshakeFailure::NoCertificate => {
                let kind = (FailureKind::NoCertificate, address);
                self.handshakes.admits_from(now, address, kind)
            }
            HandshakeFailure::TimedOut => {
                let kind = (FailureKind::TimedOut, address);
                self.handshakes.admits_from(now, address, kind)
            }
            HandshakeFailure::GivenUp(_)
            | HandshakeFailure::TooMuchBuffered
            | HandshakeFailure::Handshake(_)
            | HandshakeFailure::Engine(_) => {
                let reason = failure.reason().unwrap_or_default();
                let message = reason.chars().filter(|c| !c.is_ascii_digit());
                let kind = FailureKind::Engine(message.take(80).collect());
                self.handshakes.admits_from(now, address, (kind, address))
            }
        };
        if !first {
            debug!(address = %path, ?failure, "handshake failed; logged recently for this address");
            return;
        }
        match failure {
            HandshakeFailure::SessionsFull => {
                warn!("refusing new handshakes: limits.sessions reached");
            }
            HandshakeFailure::CertificateRefused {
                certificate,
                refusal,
            } => warn!(
                address = %path,
                fingerprint = %Fingerprint::Sha256(*certificate),
                "client certificate refused: {refusal} (sent by the client, which has not proven that it has the key)"
            ),
            HandshakeFailure::NoCommonCipherSuite { offered, more } => {
                let offered = offered.iter().map(|suite| cipher_suite_name(*suite));
                warn!(
                    address = %path,
                    offered = offered.collect::<Vec<_>>().join(" "),
                    more,
                    "handshake failed: no common cipher suite"
                );
            }
            HandshakeFailure::NoCertificate => {
                warn!(address = %path, "handshake failed: the client sent no certificate");
            }
            HandshakeFailure::TimedOut => {
                info!(address = %path, "handshake not completed within dtls.handshake_timeout");
            }
            HandshakeFailure::GivenUp(_)
            | HandshakeFailure::TooMuchBuffered
            | HandshakeFailure::Handshake(_)
            | HandshakeFailure::Engine(_) => {
                let reason = failure.reason().unwrap_or_default();
                warn!(address = %path, "handshake failed: {reason}");
            }
        }
    }

    pub(crate) fn request(
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

    pub(crate) fn response(&self, peer: &Peer, exchange: ExchangeId, response: &Response) {
        let (session, exchange) = (peer.session.0, exchange.0);
        debug!(device = peer.name(), session, exchange, code = %response.code, "response");
    }

    /// A call for a device's request has failed.
    pub(crate) fn upstream_failed(
        &mut self,
        now: Instant,
        peer: &Peer,
        exchange: ExchangeId,
        expect: AnswerKind,
        error: &Error,
    ) {
        let (device, session, exchange) = (peer.name(), peer.session.0, exchange.0);
        debug!(device, session, exchange, ?expect, "{error}");
        match error {
            Error::Rejected(Rejection::TokenRefused) if expect != AnswerKind::Provisioned => {
                if self.refused_tokens.admits(now, device.into()) {
                    warn!(
                        device,
                        session,
                        exchange,
                        "ThingsBoard does not know the access token registered for this device: \
                         its requests get 4.01"
                    );
                }
            }
            // A client-side RPC that no rule chain answers is no fault of ThingsBoard's.
            Error::Timeout | Error::Elapsed | Error::Overloaded
                if expect == AnswerKind::RpcReply => {}
            Error::RetryAfter(_) if expect == AnswerKind::RpcReply => {}
            // The device gets a response code for it.
            Error::Rejected(
                Rejection::TokenRefused
                | Rejection::BadRequest
                | Rejection::Forbidden
                | Rejection::NotFound
                | Rejection::TooLarge
                | Rejection::RateLimited
                | Rejection::Unparsable
                | Rejection::Failed
                | Rejection::UnexpectedClientError(_)
                | Rejection::UnexpectedServerError(_),
            ) => {}
            // The HTTP client logs when ThingsBoard becomes unreachable, and when it is back.
            Error::Unreachable => {}
            Error::Timeout
            | Error::Elapsed
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_) => {
                if self.upstream.admits(now, discriminant(error)) {
                    warn!(device, session, exchange, "{error}");
                }
            }
        }
    }

    pub(crate) fn registered(&self, peer: &Peer, kind: Kind, observation: ObservationId) {
        let (session, observation) = (peer.session.0, observation.0);
        debug!(
            device = peer.name(),
            session,
            observation,
            ?kind,
            "observation registered"
        );
    }

    pub(crate) fn notified(&self, peer: &Peer, observation: ObservationId, bytes: usize) {
        let (session, observation) = (peer.session.0, observation.0);
        debug!(
            device = peer.name(),
            session, observation, bytes, "notification"
        );
    }

    pub(crate) fn observation_ended(
        &self,
        peer: &Peer,
        observation: ObservationId,
        end: ObservationEnd,
    ) {
        let (session, observation) = (peer.session.0, observation.0);
        debug!(
            device = peer.name(),
            session,
            observation,
            ?end,
            "observation ended"
        );
    }

    /// A device acknowledges neither notifications nor pings. Logged at most once a minute for each device.
    pub(crate) fn parked(&mut self, now: Instant, peer: &Peer) {
        if !self.parked.admits(now, peer.name().into()) {
            return;
        }
        info!(
            device = peer.name(), session = peer.session.0, address = %peer.remote(),
            "the device does not respond: its polls and subscriptions pause until it sends something"
        );
    }

    pub(crate) fn relay_call_failed(
        &mut self,
        now: Instant,
        device: &str,
        relay_call: RelayCall,
        error: &Error,
    ) {
        match error {
            // Most long polls end without news.
            Error::Elapsed => return,
            // Its device's observations end with it.
            Error::Rejected(_) if ObservationEnd::of(error).is_some() => {
                if self.refused_tokens.admits(now, device.into()) {
                    warn!(
                        device,
                        "ThingsBoard refuses the device ({error}): its observations end"
                    );
                }
            }
            // The HTTP client logs when ThingsBoard becomes unreachable, and when it is back.
            Error::Unreachable => {}
            Error::Timeout
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_)
            | Error::Rejected(_) => {
                if self.polls.admits(now, discriminant(error)) {
                    warn!(
                        device,
                        ?relay_call,
                        "{error}; trying again at growing intervals"
                    );
                }
            }
        }
        debug!(device, ?relay_call, "{error}");
    }

    pub(crate) fn package_failed(&mut self, now: Instant, error: &Error) {
        debug!("package: {error}");
        match error {
            // These concern one device, which gets them as its response. The HTTP client logs when ThingsBoard is
            // unreachable.
            Error::Rejected(_) if ota::PackageError::of(error).is_some() => {}
            Error::Unreachable => {}
            Error::Timeout
            | Error::Elapsed
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_)
            | Error::Rejected(_) => {
                if self.packages.admits(now, discriminant(error)) {
                    warn!("a package, or the attributes that assign it, can't be fetched: {error}");
                }
            }
        }
    }

    /// The gateway has replied to a command in its device's place.
    pub(crate) fn command_refused(
        &mut self,
        now: Instant,
        device: &Arc<str>,
        id: u32,
        reason: CommandError,
    ) {
        debug!(%device, command = id, ?reason, "the gateway has replied to the command");
        if reason == CommandError::Unanswered && self.commands_refused.admits(now, device.clone()) {
            warn!(
                %device,
                command = id,
                "the device has not replied to a command within relay.command_answer: the gateway has replied with an \
                 error (logged once an hour for each device)"
            );
        }
    }

    /// A long poll's answer could not be parsed.
    pub(crate) fn unparsable(&mut self, now: Instant, device: &str, kind: Kind) {
        if self.unparsable.admits(now, kind) {
            warn!(
                device,
                ?kind,
                "a long poll's answer is not ThingsBoard's JSON: does upstream.url lead to ThingsBoard?"
            );
        }
    }

    /// ThingsBoard ends long polls before their timeout.
    pub(crate) fn polls_cut_off(&self, requested: Duration, lasted: Duration) {
        warn!(
            requested = %humantime::format_duration(requested),
            "ThingsBoard ends long polls after {:.0} s: shorter ones are used from now on. Lower \
             relay.poll_timeout to 25s, or raise ThingsBoard's SPRING_MVC_ASYNC_REQUEST_TIMEOUT",
            lasted.as_secs_f64()
        );
    }

    /// Another client has connected with the device's access token.
    pub(crate) fn connection_displaced(&mut self, now: Instant, device: &str) {
        if self.displaced.admits(now, device.into()) {
            warn!(
                device,
                "another client uses this device's access token over MQTT: ThingsBoard closes the connection of the one \
                 when the other connects, so the gateway waits longer each time. Give the token to one of them"
            );
        }
    }

    /// ThingsBoard has closed a device's connection, and says no more than that.
    pub(crate) fn connection_rate_limited(&mut self, now: Instant, device: &str) {
        if self.rate_limited.admits(now, device.into()) {
            warn!(
                device,
                "ThingsBoard has closed or refused this device's MQTT connection over a rate limit, or because it can't give \
                 it a package, or has failed: it does not say which (logged once an hour for each device)"
            );
        }
    }

    pub(crate) fn provisioned(&mut self, now: Instant, peer: &Peer) {
        let (address, certificate) = (peer.remote().ip(), peer.certificate.sha256);
        if peer.device.is_none() && self.provisioned.admits_from(now, address, certificate) {
            let (session, fingerprint) = (peer.session.0, peer.fingerprint());
            info!(
                session, address = %peer.remote(), %fingerprint,
                "an unregistered certificate has provisioned a device in ThingsBoard. \
                 To register it, add to the device registry:\n\
                 [[device]]\n\
                 name = \"{}\"\n\
                 fingerprint = \"{fingerprint}\"\n\
                 token = \"…\"   # credentialsValue of the answer it got, or as ThingsBoard shows it",
                suggested_name(peer)
            );
        }
    }

    /// Lines about handshakes and sessions that were suppressed since the start.
    pub(crate) fn suppressed(&self) -> u64 {
        let sessions = [&self.established, &self.ended].map(|sampler| sampler.suppressed);
        let others = self.unregistered_sessions.suppressed + self.parked.suppressed;
        self.failures_suppressed() + others + sessions.iter().sum::<u64>()
    }

    fn failures_suppressed(&self) -> u64 {
        self.handshakes.suppressed + self.no_suite.suppressed
    }

    /// Logs the number of sessions that were not logged one by one.
    fn log_suppressed(&mut self) {
        for (sampler, what) in [
            (&mut self.established, "established"),
            (&mut self.ended, "ended"),
        ] {
            let more = sampler.take();
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
        let more = self.unregistered_sessions.take();
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

    /// Logs bounds that were reached, and lines that were suppressed, since the last call. To be called once a minute
    /// with counts since the start.
    pub(crate) fn bounds_reached(&mut self, bounds: [(&'static str, u64); BOUNDS]) {
        for ((bound, count), logged) in bounds.into_iter().zip(&mut self.bounds_logged) {
            let more = count.saturating_sub(std::mem::replace(logged, count));
            if more > 0 {
                warn!(
                    bound,
                    times = more,
                    "a bound was reached in the last minute"
                );
            }
        }
        self.log_suppressed();
        let suppressed = self.failures_suppressed();
        let more =
            suppressed.saturating_sub(std::mem::replace(&mut self.suppressed_logged, suppressed));
        if more > 0 {
            info!(
                times = more,
                "more failed handshakes like those logged recently; level debug shows each"
            );
        }
    }
}

/// A name to start with: the first bytes of the fingerprint.
fn suggested_name(peer: &Peer) -> String {
    let [a, b, c, d, ..] = peer.certificate.sha256;
    format!("device-{a:02x}{b:02x}{c:02x}{d:02x}")
}

#[cfg(test)]
mod tests;
