//! The bodies that controls take. Unknown fields are errors, so that a typing mistake is not a fault that never fires.

use std::time::Duration;

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::control::ServerRpc;
use super::super::device_api::{Profile, Strategy};
use super::super::fault::{Fault, Outcome};
use super::super::json;
use super::super::packages::Package;
use super::super::state::Timeouts;

/// The longest pause that makes sense: a day.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;

/// `PUT devices/{name}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceInput {
    pub(super) token: String,
    /// A provisioning key.
    pub(super) profile: Option<String>,
}

pub(super) fn device(body: &str) -> Result<DeviceInput, String> {
    parse(body, r#"{"token":"A1_TEST_TOKEN"}"#)
}

pub(super) fn profile(key: &str, body: &str) -> Result<Profile, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        secret: String,
        strategy: Option<String>,
    }
    let input: Input = parse(body, r#"{"secret":"…"}"#)?;
    let strategy = match input.strategy {
        None => Strategy::AllowCreateNewDevices,
        Some(name) => Strategy::ALL
            .into_iter()
            .find(|strategy| strategy.name() == name)
            .ok_or_else(|| {
                let names = Strategy::ALL.map(Strategy::name).join(", ");
                format!("strategy {name:?} is none of {names}")
            })?,
    };
    Ok(Profile {
        key: key.to_owned(),
        secret: input.secret,
        strategy,
    })
}

pub(super) fn timeouts(body: &str) -> Result<Timeouts, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        async_ms: Option<u64>,
        request_ms: Option<u64>,
    }
    let input: Input = parse(body, r#"{"asyncMs":30000,"requestMs":60000}"#)?;
    let default = Timeouts::default();
    Ok(Timeouts {
        asynchronous: duration("asyncMs", input.async_ms)?.unwrap_or(default.asynchronous),
        request: duration("requestMs", input.request_ms)?.unwrap_or(default.request),
    })
}

pub(super) fn command(body: &str) -> Result<ServerRpc, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input<'a> {
        method: String,
        #[serde(borrow)]
        params: &'a RawValue,
        oneway: Option<bool>,
        timeout_ms: Option<u64>,
    }
    let input: Input<'_> = parse(body, r#"{"method":"setValue","params":7,"oneway":true}"#)?;
    // Its members and digits as they were given, but without the spaces between.
    let params = json::read(input.params.get()).map_err(|error| error.0)?;
    Ok(ServerRpc {
        method: input.method,
        params: params.to_string(),
        oneway: input.oneway.unwrap_or(false),
        timeout: duration("timeoutMs", input.timeout_ms)?.unwrap_or(ServerRpc::DEFAULT_TIMEOUT),
    })
}

pub(super) fn package(body: &str) -> Result<Package, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        size: Option<usize>,
        seed: Option<u64>,
        url: Option<String>,
        tag: Option<String>,
    }
    let input: Input = parse(body, r#"{"size":1048576}"#)?;
    let package = match (input.size, input.seed, input.url) {
        (Some(size), None, None) => Package::generated(size),
        (Some(size), Some(seed), None) => Package::seeded(size, seed),
        (None, None, Some(url)) => Package::external(&url),
        (None, ..) => {
            return Err(
                "say what it is made of: a size (with a seed, or without), or a url".to_owned(),
            );
        }
        (Some(_), _, Some(_)) => {
            return Err("a package with a url has no bytes here, so no size".to_owned());
        }
    };
    Ok(match input.tag {
        Some(tag) => package.tagged(&tag),
        None => package,
    })
}

/// Title and version.
pub(super) fn assignment(body: &str) -> Result<(String, String), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        title: String,
        version: String,
    }
    let input: Input = parse(body, r#"{"title":"meter","version":"1.1"}"#)?;
    Ok((input.title, input.version))
}

pub(super) fn restart(body: &str) -> Result<Duration, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        down_ms: u64,
    }
    let input: Input = parse(body, r#"{"downMs":3000}"#)?;
    Ok(duration("downMs", Some(input.down_ms))?.unwrap_or_default())
}

pub(super) fn subscription_delay(body: &str) -> Result<Duration, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        ms: u64,
    }
    let input: Input = parse(body, r#"{"ms":5}"#)?;
    Ok(duration("ms", Some(input.ms))?.unwrap_or_default())
}

pub(super) fn connections(body: &str) -> Result<usize, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        max: usize,
    }
    let input: Input = parse(body, r#"{"max":8192}"#)?;
    if input.max == 0 {
        return Err("max is 0: no control could reach the simulator any more".to_owned());
    }
    Ok(input.max)
}

pub(super) fn attribute_store(body: &str) -> Result<u32, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        failing: u32,
    }
    let input: Input = parse(body, r#"{"failing":2}"#)?;
    Ok(input.failing)
}

pub(super) fn fault(body: &str) -> Result<Fault, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        path: Option<String>,
        times: Option<u32>,
        delay_ms: Option<u64>,
        status: Option<u16>,
        body: Option<String>,
        content_type: Option<String>,
        drop: Option<bool>,
        garbage: Option<bool>,
        hang: Option<bool>,
    }
    let input: Input = parse(body, r#"{"status":503,"times":3}"#)?;
    let mut outcomes = Vec::new();
    if let Some(status) = input.status {
        outcomes.push(Outcome::Status {
            status,
            body: Bytes::from(input.body.clone().unwrap_or_default()),
            content_type: input.content_type.clone(),
        });
    } else if input.body.is_some() || input.content_type.is_some() {
        return Err("body and contentType go with a status".to_owned());
    }
    for (wanted, outcome) in [
        (input.drop, Outcome::Drop),
        (input.garbage, Outcome::Garbage),
        (input.hang, Outcome::Hang),
    ] {
        if wanted == Some(true) {
            outcomes.push(outcome);
        }
    }
    let delay = duration("delayMs", input.delay_ms)?;
    let outcome = match (outcomes.pop(), outcomes.is_empty(), delay) {
        (Some(outcome), true, _) => outcome,
        (None, _, Some(_)) => Outcome::Answer,
        (None, _, None) => {
            return Err("say what goes wrong: status, drop, garbage, hang or delayMs".to_owned());
        }
        (Some(_), false, _) => {
            return Err("only one of status, drop, garbage and hang can happen".to_owned());
        }
    };
    let mut fault = Fault::always(outcome).after(delay.unwrap_or_default());
    fault.times = input.times;
    if let Some(path) = input.path {
        fault.path = path;
    }
    Ok(fault)
}

fn duration(name: &str, ms: Option<u64>) -> Result<Option<Duration>, String> {
    match ms {
        Some(ms) if ms > LONGEST_MS => Err(format!("{name} is more than a day ({LONGEST_MS})")),
        ms => Ok(ms.map(Duration::from_millis)),
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a str, example: &str) -> Result<T, String> {
    serde_json::from_str(body).map_err(|error| {
        // The example says more to one who forgot the body than the parser does.
        format!("the body is not as expected ({error}); for example {example}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_parameters_keep_their_order_and_digits() {
        let read =
            command(r#"{"method":"m","params":{"b" : 1.50, "a":null},"timeoutMs":7}"#).unwrap();
        assert_eq!(read.params, r#"{"b":1.50,"a":null}"#);
        assert_eq!(
            (read.oneway, read.timeout),
            (false, Duration::from_millis(7))
        );
    }

    #[test]
    fn a_command_without_method_or_parameters_is_refused() {
        for body in [
            r#"{"method":"m"}"#,
            r#"{"params":1}"#,
            r#"{"method":"m","params":}"#,
            r#"{"method":"m","params":1,"one_way":true}"#,
            r#"{"method":"m","params":1,"timeoutMs":86400001}"#,
        ] {
            assert!(command(body).is_err(), "{body}");
        }
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
                outcome: Outcome::Status {
                    status: 500,
                    body: Bytes::from("x"),
                    content_type: Some("text/plain".into()),
                },
            })
        );
        assert_eq!(fault(r#"{"delayMs":1}"#).unwrap().outcome, Outcome::Answer);
    }

    #[test]
    fn a_fault_that_says_nothing_or_two_things_is_refused() {
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

    #[test]
    fn an_unknown_strategy_is_told_the_ones_there_are() {
        let refused = profile("k", r#"{"secret":"s","strategy":"ALLOW"}"#).unwrap_err();
        assert!(refused.contains("ALLOW_CREATE_NEW_DEVICES"), "{refused}");
    }
}
