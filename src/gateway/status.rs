//! What those who operate the gateway are told over HTTP: made here, outside of its loop.

mod session_list;
mod upstream_check;

use super::handle::{Ended, Handle};
use super::report::{Report, State};
use crate::admin::{Counters, Finding, Source};
use crate::metrics::{Scrape, level, process};
use crate::upstream::ThingsBoard;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use upstream_check::UpstreamCheck;

/// How long the loop may take to answer. Its turns take milliseconds.
const LOOP_TIME: Duration = Duration::from_secs(2);

/// A gateway, asked from outside.
#[derive(Debug)]
pub struct Status {
    handle: Handle,
    upstream: UpstreamCheck,
    require_upstream: bool,
}

impl Status {
    pub(super) fn new(
        handle: Handle,
        upstream: Arc<ThingsBoard>,
        require_upstream: bool,
    ) -> Status {
        Status {
            handle,
            upstream: UpstreamCheck::new(upstream),
            require_upstream,
        }
    }

    async fn report(&self) -> Result<Box<Report>, String> {
        let asked = tokio::time::timeout(LOOP_TIME, self.handle.report());
        match asked.await {
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

    async fn metrics(&self, _own: Counters) -> Result<String, String> {
        let report = self.report().await?;
        let mut scrape = Scrape::default();
        process(&mut scrape);
        scrape.gauge(
            "coaps_gateway_sessions",
            "Established sessions",
            level(report.levels.sessions),
        );
        Ok(scrape.text())
    }

    async fn sessions(&self, pieces: mpsc::Sender<Bytes>) {
        session_list::write(&self.handle, &pieces).await;
    }
}

/// What the loop itself says.
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
    vec![state, registry]
}
