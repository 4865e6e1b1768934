//! Reads liveness, readiness, metrics and sessions from the running gateway, outside of its loop.

use super::exposition::{self, ScrapeContext};
use super::session_list;
use super::upstream_check::UpstreamCheck;
use crate::admin::{Counters, Finding, Source};
use crate::gateway::UpstreamServer;
use crate::gateway::handle::{Ended, Handle};
use crate::gateway::report::{Report, State, StateReport};
use crate::group::report::GroupReport;
use crate::reload::file_status::SharedFileStatus;
use crate::upstream::MqttCounters;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// How long the loop may take to answer. A turn of it takes milliseconds.
const LOOP_TIME: Duration = Duration::from_secs(2);

/// Concurrent lists of sessions. Each holds the ids of all sessions, and takes time of the loop.
const LISTINGS: usize = 4;

/// The running gateway, as the admin server's source.
#[derive(Debug)]
pub(crate) struct Status {
    handle: Handle,
    upstream: UpstreamCheck,
    files: SharedFileStatus,
    /// [`LISTINGS`] permits.
    listings: Semaphore,
    require_upstream: bool,
}

impl Status {
    pub(crate) fn new(
        handle: Handle,
        upstream: Arc<UpstreamServer>,
        files: SharedFileStatus,
        require_upstream: bool,
    ) -> Status {
        Status {
            handle,
            upstream: UpstreamCheck::new(upstream),
            files,
            listings: Semaphore::new(LISTINGS),
            require_upstream,
        }
    }

    async fn report(&self) -> Result<Box<Report>, String> {
        match tokio::time::timeout(LOOP_TIME, self.handle.report()).await {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(Ended)) => Err(Ended.to_string()),
            Err(_) => Err(format!(
                "the gateway's loop has not answered for {} s",
                LOOP_TIME.as_secs()
            )),
        }
    }
}

impl Source for Status {
    async fn live(&self) -> Result<(), String> {
        self.report().await.map(|_| ())
    }

    async fn ready(&self) -> Vec<Finding> {
        let (report, failing) = tokio::join!(self.report(), self.upstream.failing());
        let serving = match report {
            Ok(report) => of_report(&report),
            Err(why) => vec![Finding::NotReady(why)],
        };
        let upstream = match failing {
            None => Finding::Fine("ThingsBoard can be reached".to_owned()),
            Some(why) if self.require_upstream => Finding::NotReady(why),
            Some(why) => Finding::Warning(why),
        };
        serving.into_iter().chain([upstream]).collect()
    }

    async fn metrics(&self, own: Counters) -> Result<String, String> {
        let (report, failing) = tokio::join!(self.report(), self.upstream.failing());
        let context = ScrapeContext {
            upstream_reachable: failing.is_none(),
            files: self.files.get(),
            admin: own,
            now: unix_seconds(),
        };
        Ok(exposition::scrape(&*report?, &context).text())
    }

    async fn sessions(&self, pieces: mpsc::Sender<Bytes>) {
        // The semaphore is never closed.
        if let Ok(_turn) = self.listings.acquire().await {
            session_list::write(&self.handle, &pieces).await;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "outside of the loop: certificates expire by wall-clock time"
)]
fn unix_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

/// The findings in the loop's own report.
fn of_report(report: &Report) -> Vec<Finding> {
    let devices = report.levels.devices;
    let state = match report.state {
        State::Serving => Finding::Fine("it serves".to_owned()),
        State::Draining => Finding::NotReady("it is stopping".to_owned()),
    };
    let registry = match devices {
        0 => Finding::Warning("no device is registered".to_owned()),
        1 => Finding::Fine("1 device is registered".to_owned()),
        _ => Finding::Fine(format!("{devices} devices are registered")),
    };
    let connections = report.mqtt.as_ref().map(of_connections);
    let stored = report.stored.as_ref().map(of_store);
    let group = report.group.as_ref().map(of_group);
    let more = connections.into_iter().chain(stored).chain(group);
    [state, registry].into_iter().chain(more).collect()
}

/// That nothing can be stored is no reason to send devices elsewhere: they are served all the same.
fn of_store(stored: &StateReport) -> Finding {
    let StateReport { store, .. } = stored;
    match (store.is_failing, store.pending) {
        (true, pending) => Finding::Warning(format!(
            "nothing can be written to state.directory; {pending} changes wait"
        )),
        (false, _) => Finding::Fine("sessions are stored".to_owned()),
    }
}

/// Where it is alone with its sessions, they are served all the same. Where another gateway may serve them by now, devices must
/// be sent there.
fn of_group(group: &GroupReport) -> Finding {
    match (group.is_suspended, group.is_store_away) {
        (true, _) => Finding::NotReady(
            "sessions are not served: the store of the group and another gateway can't be reached, and others may serve them"
                .to_owned(),
        ),
        (false, true) => Finding::Warning(
            "the store of the group can't be reached: new sessions end with this gateway".to_owned(),
        ),
        (false, false) => Finding::Fine("sessions are shared with other gateways".to_owned()),
    }
}

/// Those of devices, over MQTT. That they wait is no reason to send devices elsewhere: another gateway has the same
/// ThingsBoard.
fn of_connections(mqtt: &MqttCounters) -> Finding {
    let MqttCounters {
        open,
        waiting,
        backing_off,
        ..
    } = mqtt;
    let text = format!(
        "MQTT connections: {open} open, {waiting} waiting to be opened, {backing_off} waiting after a failure"
    );
    match waiting + backing_off {
        0 => Finding::Fine(text),
        _ => Finding::Warning(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gateway_whose_sessions_another_may_serve_is_not_ready_for_its_group() {
        let finding = |is_suspended, is_store_away| {
            of_group(&GroupReport {
                is_suspended,
                is_store_away,
                ..GroupReport::default()
            })
        };
        assert!(matches!(finding(false, false), Finding::Fine(_)));
        assert!(matches!(finding(false, true), Finding::Warning(_)));
        assert!(matches!(finding(true, true), Finding::NotReady(_)));
        assert!(matches!(finding(true, false), Finding::NotReady(_)));
    }
}
