//! `/simulator/faults`: sets, lists and clears faults.

use super::extract::{Input, JsonBody, Milliseconds};
use super::{JsonLine, NO_CONTENT, NoContent};
use crate::control::Control;
use crate::fault::{Fault, FaultAction};
use axum::body::Bytes;
use serde::{Deserialize, Serialize};

pub(super) async fn list(control: Control) -> JsonLine<Vec<FaultJson>> {
    let state = control.0.lock();
    JsonLine(state.faults.iter().map(FaultJson::from).collect())
}

pub(super) async fn add(control: Control, JsonBody(fault): JsonBody<FaultJson>) -> NoContent {
    control.add_fault(Fault::try_from(fault)?)?;
    NO_CONTENT
}

pub(super) async fn clear(control: Control) -> NoContent {
    control.clear_faults();
    NO_CONTENT
}

/// A [`Fault`] as it is set and listed.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct FaultJson {
    path: Option<String>,
    times: Option<u32>,
    delay_ms: Option<Milliseconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    drop: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    garbage: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hang: bool,
}

impl Input for FaultJson {
    const EXAMPLE: &str = r#"{"status":503,"times":3}"#;
}

impl From<&Fault> for FaultJson {
    fn from(fault: &Fault) -> FaultJson {
        let mut json = FaultJson {
            path: Some(fault.path.clone()),
            times: fault.times,
            delay_ms: Some(Milliseconds(fault.delay)),
            drop: fault.action == FaultAction::Drop,
            garbage: fault.action == FaultAction::Garbage,
            hang: fault.action == FaultAction::Hang,
            ..FaultJson::default()
        };
        if let FaultAction::Status {
            status,
            body,
            content_type,
        } = &fault.action
        {
            json.status = Some(*status);
            json.body = Some(String::from_utf8_lossy(body).into_owned());
            json.content_type.clone_from(content_type);
        }
        json
    }
}

impl TryFrom<FaultJson> for Fault {
    type Error = String;

    fn try_from(json: FaultJson) -> Result<Fault, String> {
        let mut actions = Vec::new();
        if let Some(status) = json.status {
            actions.push(FaultAction::Status {
                status,
                body: Bytes::from(json.body.unwrap_or_default()),
                content_type: json.content_type,
            });
        } else if json.body.is_some() || json.content_type.is_some() {
            return Err("body and contentType go with a status".to_owned());
        }
        for (chosen, action) in [
            (json.drop, FaultAction::Drop),
            (json.garbage, FaultAction::Garbage),
            (json.hang, FaultAction::Hang),
        ] {
            if chosen {
                actions.push(action);
            }
        }
        let action = match (actions.pop(), actions.is_empty(), json.delay_ms) {
            (Some(action), true, _) => action,
            (None, _, Some(_)) => FaultAction::Pass,
            (None, _, None) => {
                return Err(
                    "say what goes wrong: status, drop, garbage, hang or delayMs".to_owned(),
                );
            }
            (Some(_), false, _) => {
                return Err("only one of status, drop, garbage and hang can happen".to_owned());
            }
        };
        let always = Fault::always(action);
        Ok(Fault {
            path: json.path.unwrap_or(always.path),
            times: json.times,
            delay: json
                .delay_ms
                .map_or(always.delay, |Milliseconds(delay)| delay),
            action: always.action,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn fault(body: &str) -> Result<Fault, String> {
        FaultJson::parse(body.as_bytes())?.try_into()
    }

    #[test]
    fn a_fault_is_read_with_all_its_fields() {
        let read = fault(
            r#"{"path":"/api/v1/*/rpc","times":2,"delayMs":50,"status":500,"body":"x","contentType":"text/plain"}"#,
        );
        assert_eq!(
            read,
            Ok(Fault {
                path: "/api/v1/*/rpc".into(),
                times: Some(2),
                delay: Duration::from_millis(50),
                action: FaultAction::Status {
                    status: 500,
                    body: Bytes::from("x"),
                    content_type: Some("text/plain".into()),
                },
            })
        );
        assert_eq!(fault(r#"{"delayMs":1}"#).unwrap().action, FaultAction::Pass);
    }

    #[test]
    fn a_fault_with_no_action_or_two_is_refused() {
        for body in [
            "{}",
            r#"{"times":1}"#,
            r#"{"drop":true,"hang":true}"#,
            r#"{"status":500,"drop":true}"#,
            r#"{"body":"x","drop":true}"#,
            r#"{"stattus":500}"#,
            r#"{"delayMs":86400001}"#,
            "",
        ] {
            assert!(fault(body).is_err(), "{body}");
        }
    }
}
