//! The list of sessions as JSON, made in pieces: the loop never describes all sessions at once, and the whole text is never
//! in memory.

use crate::gateway::handle::{Handle, SESSIONS_PER_ANSWER};
use crate::gateway::report::SessionLine;
use crate::upstream::ConnectionStatus;
use bytes::Bytes;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

#[derive(Serialize)]
struct SessionObject<'a> {
    session: u64,
    /// `null`: its certificate is not registered.
    device: Option<&'a str>,
    address: SocketAddr,
    since: String,
    last_received: String,
    dtls: &'static str,
    cipher_suite: Option<&'a str>,
    observations: &'a [&'static str],
    /// Left out over HTTP, and for a device that needs no connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_connection: Option<&'static str>,
}

/// Sends an array in pieces. Nothing if the gateway has ended; sessions that end meanwhile are left out.
pub(crate) async fn write(handle: &Handle, pieces: &mpsc::Sender<Bytes>) {
    let Ok(all) = handle.sessions().await else {
        return;
    };
    let mut piece = String::from("[");
    let mut separator = "\n";
    for some in all.chunks(SESSIONS_PER_ANSWER) {
        let Ok(lines) = handle.describe(some.to_vec()).await else {
            break;
        };
        for line in &lines {
            // Serialising these types can't fail.
            let Ok(text) = serde_json::to_string(&object(now(), line)) else {
                continue;
            };
            piece.extend([separator, &text]);
            separator = ",\n";
        }
        if pieces
            .send(std::mem::take(&mut piece).into())
            .await
            .is_err()
        {
            return;
        }
    }
    piece.push_str("\n]\n");
    let _ = pieces.send(piece.into()).await;
}

fn object(now: SystemTime, line: &SessionLine) -> SessionObject<'_> {
    SessionObject {
        session: line.session,
        device: line.device.as_deref(),
        address: line.address,
        since: ago(now, line.age),
        last_received: ago(now, line.idle),
        dtls: line.version,
        cipher_suite: line.cipher_suite.as_deref(),
        observations: &line.observes,
        mqtt_connection: line.connection.map(ConnectionStatus::name),
    }
}

/// The time that long ago, in UTC (RFC 3339).
fn ago(now: SystemTime, age: Duration) -> String {
    let then = now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    // With a clock that is not set it may be before 1970, which the format can't express.
    let then = then.max(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_seconds(then).to_string()
}

#[expect(
    clippy::disallowed_methods,
    reason = "outside of the loop: the list has wall-clock times"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_one_object_whatever_its_device_is_called() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let line = SessionLine {
            session: 7,
            device: Some("a \"quoted\"\nname".into()),
            address: "[2001:db8::1]:5684".parse().unwrap(),
            age: Duration::from_secs(3600),
            idle: Duration::from_millis(1500),
            version: "1.2",
            cipher_suite: Some("ECDHE_ECDSA_AES_128_GCM_SHA256".into()),
            observes: vec!["attributes", "rpc"],
            connection: Some(ConnectionStatus::BackingOff),
        };
        assert_eq!(
            serde_json::to_string(&object(now, &line)).unwrap(),
            "{\"session\":7,\"device\":\"a \\\"quoted\\\"\\nname\",\"address\":\"[2001:db8::1]:5684\",\
             \"since\":\"2025-12-31T23:00:00Z\",\"last_received\":\"2025-12-31T23:59:58Z\",\"dtls\":\"1.2\",\
             \"cipher_suite\":\"ECDHE_ECDSA_AES_128_GCM_SHA256\",\"observations\":[\"attributes\",\"rpc\"],\"mqtt_connection\":\"backing_off\"}"
        );
    }

    #[test]
    fn a_clock_that_is_not_set_is_no_reason_to_fail() {
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(ago(now, Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        assert_eq!(ago(now, Duration::MAX), "1970-01-01T00:00:00Z");
    }
}
