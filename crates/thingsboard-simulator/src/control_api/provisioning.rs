//! `/simulator/profiles`: device profiles that provision devices.

use super::extract::{Input, JsonBody, Segments};
use super::{JsonLine, NO_CONTENT, NoContent, deleted};
use crate::control::Control;
use crate::device_api::{Profile, Strategy};
use serde::Deserialize;
use serde_json::{Value, json};

/// Leaves out the secrets.
pub(super) async fn list(control: Control) -> JsonLine<Value> {
    let state = control.0.lock();
    let profiles = state
        .profiles
        .values()
        .map(|profile| json!({ "key": profile.key, "strategy": profile.strategy }));
    JsonLine(profiles.collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileInput {
    secret: String,
    #[serde(default)]
    strategy: Strategy,
}

impl Input for ProfileInput {
    const EXAMPLE: &str = r#"{"secret":"…"}"#;
}

pub(super) async fn define(
    control: Control,
    Segments(key): Segments<String>,
    JsonBody(ProfileInput { secret, strategy }): JsonBody<ProfileInput>,
) -> NoContent {
    control.add_profile(Profile {
        key,
        secret,
        strategy,
    })?;
    NO_CONTENT
}

pub(super) async fn remove(control: Control, Segments(key): Segments<String>) -> NoContent {
    deleted(control.remove_profile(&key), "profile", &key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_strategy_is_told_the_ones_there_are() {
        let refused = ProfileInput::parse(br#"{"secret":"s","strategy":"ALLOW"}"#);
        let refused = refused.err().unwrap();
        assert!(refused.contains("ALLOW_CREATE_NEW_DEVICES"), "{refused}");
    }
}
