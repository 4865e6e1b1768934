//! Faults that are injected: delays, statuses, and connections that break.

use axum::body::Bytes;
use axum::http::StatusCode;
use std::time::Duration;

/// More faults than this are refused.
const MAX_FAULTS: usize = 1000;

/// A fault. The first one in the list whose path matches is applied to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The paths it applies to: `*` stands for one segment, `**` at the end for any rest, as in `/api/v1/*/telemetry`.
    pub path: String,
    /// The number of requests it applies to; `None` until it is cleared.
    pub times: Option<u32>,
    /// The delay before the action.
    pub delay: Duration,
    /// What happens to the request.
    pub action: FaultAction,
}

/// What a [`Fault`] does to a request. Except with [`Pass`](FaultAction::Pass), the request has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultAction {
    /// The request is answered as usual, after the fault's delay.
    Pass,
    /// A response like that of a proxy in front of ThingsBoard.
    Status {
        /// The HTTP status, 200 to 599.
        status: u16,
        /// The body.
        body: Bytes,
        /// Its `Content-Type`.
        content_type: Option<String>,
    },
    /// The connection is closed without a response.
    Drop,
    /// Bytes that are not HTTP are sent, then the connection is closed.
    Garbage,
    /// No response is sent until the client closes the connection or the simulator stops.
    Hang,
}

impl Fault {
    /// A fault on every path until it is cleared, without delay.
    #[must_use]
    pub fn always(action: FaultAction) -> Fault {
        Fault {
            path: "/**".to_owned(),
            times: None,
            delay: Duration::ZERO,
            action,
        }
    }

    /// A status with an empty body on every path until it is cleared.
    #[must_use]
    pub fn status(status: u16) -> Fault {
        Fault::always(FaultAction::Status {
            status,
            body: Bytes::new(),
            content_type: None,
        })
    }

    /// The same fault for these paths: see [`path`](Fault::path).
    #[must_use]
    pub fn on(mut self, path: &str) -> Fault {
        path.clone_into(&mut self.path);
        self
    }

    /// The same fault for the next `times` requests only.
    #[must_use]
    pub fn times(mut self, times: u32) -> Fault {
        self.times = Some(times);
        self
    }

    /// The same fault after a delay.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Fault {
        self.delay = delay;
        self
    }

    /// Its name in [`Arrival::fault`](crate::Arrival::fault).
    pub(super) fn name(&self) -> &'static str {
        match self.action {
            FaultAction::Pass => "delay",
            FaultAction::Status { .. } => "status",
            FaultAction::Drop => "drop",
            FaultAction::Garbage => "garbage",
            FaultAction::Hang => "hang",
        }
    }

    fn check(&self) -> Result<(), String> {
        if !self.path.starts_with('/') {
            return Err(format!(
                "path {:?} does not start with '/': write for instance \"/api/v1/*/telemetry\" or \"/**\"",
                self.path
            ));
        }
        if self.times == Some(0) {
            return Err("times is 0: leave it out for a fault that lasts until cleared".to_owned());
        }
        if let FaultAction::Status { status, .. } = self.action
            && !(200..600).contains(&status)
        {
            return Err(format!("status {status} is not between 200 and 599"));
        }
        Ok(())
    }
}

/// The list of faults.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Appends a fault.
    pub(super) fn add(&mut self, fault: Fault) -> Result<(), String> {
        fault.check()?;
        if self.0.len() >= MAX_FAULTS {
            return Err(format!(
                "there are {MAX_FAULTS} faults already: clear them first"
            ));
        }
        self.0.push(fault);
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// The fault for a request to this path. Counts down its times.
    pub(super) fn take(&mut self, path: &str) -> Option<Fault> {
        let at = self.0.iter().position(|fault| matches(&fault.path, path))?;
        let fault = self.0.get_mut(at)?;
        let taken = fault.clone();
        if let Some(times) = &mut fault.times {
            *times -= 1;
            if *times == 0 {
                self.0.remove(at);
            }
        }
        Some(taken)
    }
}

pub(super) fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for part in pattern.split('/') {
        if part == "**" {
            return true;
        }
        match segments.next() {
            Some(segment) if part == "*" || part == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_segment_and_two_for_the_rest() {
        for (pattern, path, expected) in [
            ("/**", "/api/v1/t/telemetry", true),
            ("/api/v1/*/rpc", "/api/v1/t/rpc", true),
            ("/api/v1/*/rpc", "/api/v1/t/rpc/1", false),
            ("/api/v1/*/rpc/**", "/api/v1/t/rpc/1", true),
            ("/api/v1/t/rpc", "/api/v1/u/rpc", false),
            ("/api/v1/*", "/api/v1", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_fault_ends_after_its_times() {
        let mut faults = Faults::default();
        faults.add(Fault::status(503).times(2)).unwrap();
        assert!(faults.take("/a").is_some());
        assert!(faults.take("/a").is_some());
        assert_eq!(faults.take("/a"), None);
    }

    #[test]
    fn the_first_fault_that_matches_is_applied() {
        let mut faults = Faults::default();
        faults.add(Fault::status(503).on("/b")).unwrap();
        faults.add(Fault::always(FaultAction::Hang)).unwrap();
        assert_eq!(faults.take("/a").unwrap().name(), "hang");
        assert_eq!(faults.take("/b").unwrap().name(), "status");
    }

    #[test]
    fn a_fault_that_makes_no_sense_is_refused() {
        let mut faults = Faults::default();
        assert!(faults.add(Fault::status(99)).is_err());
        assert!(faults.add(Fault::status(503).on("api")).is_err());
        assert!(faults.add(Fault::status(503).times(0)).is_err());
        assert_eq!(faults.take("/a"), None);
    }
}
