//! `POST /api/v1/provision`: a failure is 200 as well.

use super::{Request, string_answer};
use crate::json::{Element, ShapeError, read};
use crate::response::{ErrorCode, HttpResponse};
use crate::state::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a device profile lets devices provision themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Strategy {
    /// Not at all: `NOT_FOUND`.
    Disabled,
    /// A device of a new name is created; an existing name is a `FAILURE`.
    #[default]
    AllowCreateNewDevices,
    /// The device must exist in the profile; works once and returns the credentials it has.
    CheckPreProvisionedDevices,
    /// For MQTT only; over HTTP it ends in a 500.
    #[serde(rename = "X509_CERTIFICATE_CHAIN")]
    X509CertificateChain,
}

/// What a device profile says about provisioning. `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    /// `provisionDeviceKey`.
    pub key: String,
    /// `provisionDeviceSecret`.
    pub secret: String,
    /// What key and secret allow.
    pub strategy: Strategy,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}

/// The outcomes that have a 500.
enum Thrown {
    /// An exception in the controller itself: the monolith's error JSON.
    Message(String),
    /// A failure behind the transport: empty.
    Empty,
}

/// `NOT_FOUND` and `FAILURE`.
enum Refusal {
    NotFound,
    Failure,
    Thrown(Thrown),
}

impl From<Thrown> for Refusal {
    fn from(thrown: Thrown) -> Refusal {
        Refusal::Thrown(thrown)
    }
}

/// The answer to one request.
pub(super) fn answer(state: &mut State, request: &Request<'_>) -> HttpResponse {
    let failed = |message: &str, status: &str| {
        string_answer(
            request,
            format!(r#"{{"errorMsg":"{message}","status":"{status}"}}"#),
        )
    };
    match provision(state, request.body) {
        Ok(credentials) => string_answer(request, credentials.to_string()),
        Err(Refusal::NotFound) => failed("Provision data was not found!", "NOT_FOUND"),
        Err(Refusal::Failure) => failed("Failed to provision device!", "FAILURE"),
        Err(Refusal::Thrown(Thrown::Empty)) => {
            HttpResponse::empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(Refusal::Thrown(Thrown::Message(message))) => HttpResponse::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            Some(&message),
            ErrorCode::General,
            request.now_ms,
        ),
    }
}

fn provision(state: &mut State, body: &str) -> Result<Element, Refusal> {
    let document = read(body).map_err(|error| Thrown::Message(error.0))?;
    if !matches!(document, Element::Object(_)) {
        return Err(match ShapeError::cannot_parse(&document) {
            ShapeError::Parse(message) => Thrown::Message(message).into(),
            ShapeError::Other => Thrown::Empty.into(),
        });
    }
    let name = optional(&document, "deviceName")?;
    let asked = Credentials::asked(&document)?;
    let key = required(&document, "provisionDeviceKey")?;
    let secret = required(&document, "provisionDeviceSecret")?;

    // `DeviceProvisionServiceImpl.provisionDevice`, in its order.
    let trimmed = name.trim();
    if !name.is_empty() && trimmed.is_empty() {
        return Err(Refusal::Failure);
    }
    let Some(profile) = state
        .profiles
        .get(&key)
        .filter(|profile| !key.is_empty() && !secret.is_empty() && profile.secret == secret)
    else {
        return Err(Refusal::NotFound);
    };
    match profile.strategy {
        Strategy::Disabled => Err(Refusal::NotFound),
        Strategy::X509CertificateChain => Err(Thrown::Empty.into()),
        Strategy::AllowCreateNewDevices => {
            if state.directory.get(trimmed).is_some() {
                return Err(Refusal::Failure);
            }
            let name = match trimmed {
                "" => random_text(),
                given => given.to_owned(),
            };
            let token = asked.token();
            state
                .directory
                .put(&name, token, Some(key))
                .map_err(|_| Refusal::Failure)?;
            if let Some(device) = state.directory.get_mut(&name) {
                device.provisioned = true;
            }
            state
                .set_package_attributes(&name)
                .map_err(|_| Thrown::Empty)?;
            Ok(asked.into_answer())
        }
        Strategy::CheckPreProvisionedDevices => {
            let Some(device) = state.directory.get_mut(trimmed) else {
                return Err(Refusal::Failure);
            };
            if device.profile.as_ref() != Some(&key) || device.provisioned {
                return Err(Refusal::Failure);
            }
            device.provisioned = true;
            let token = device.token.clone().unwrap_or_default();
            Ok(Credentials::AccessToken(token).into_answer())
        }
    }
}

/// The credentials a new device gets.
enum Credentials {
    AccessToken(String),
    X509(String),
    MqttBasic([(&'static str, String); 3]),
    Lwm2m,
}

impl Credentials {
    /// What the request asks for; without any credential field a random access token.
    fn asked(document: &Element) -> Result<Credentials, Refusal> {
        let kind = match document.get("credentialsType") {
            None => "ACCESS_TOKEN".to_owned(),
            Some(_) => optional(document, "credentialsType")?,
        };
        let token = optional(document, "token")?;
        let basic = [
            ("clientId", optional(document, "clientId")?),
            ("userName", optional(document, "username")?),
            ("password", optional(document, "password")?),
        ];
        let hash = optional(document, "hash")?;
        let none_given =
            token.is_empty() && hash.is_empty() && basic.iter().all(|(_, value)| value.is_empty());
        match kind.as_str() {
            "ACCESS_TOKEN" | "X509_CERTIFICATE" | "MQTT_BASIC" | "LWM2M_CREDENTIALS"
                if none_given =>
            {
                Ok(Credentials::AccessToken(random_text()))
            }
            "ACCESS_TOKEN" => Ok(Credentials::AccessToken(token)),
            "X509_CERTIFICATE" => Ok(Credentials::X509(hash)),
            "MQTT_BASIC" => Ok(Credentials::MqttBasic(basic)),
            "LWM2M_CREDENTIALS" => Ok(Credentials::Lwm2m),
            unknown => Err(Thrown::Message(format!(
                "No enum constant org.thingsboard.server.gen.transport.TransportProtos.CredentialsType.{unknown}"
            ))
            .into()),
        }
    }

    /// The token, if these are credentials that HTTP accepts.
    fn token(&self) -> Option<String> {
        match self {
            Credentials::AccessToken(token) => Some(token.clone()),
            Credentials::X509(_) | Credentials::MqttBasic(_) | Credentials::Lwm2m => None,
        }
    }

    fn into_answer(self) -> Element {
        let member = |name: &str, value: Element| (name.to_owned(), value);
        let (value, kind) = match self {
            Credentials::AccessToken(token) => (Some(Element::Text(token)), "ACCESS_TOKEN"),
            Credentials::X509(hash) => (Some(Element::Text(hash)), "X509_CERTIFICATE"),
            Credentials::MqttBasic(fields) => {
                let members = fields.map(|(name, value)| member(name, Element::Text(value)));
                (Some(Element::Object(members.into())), "MQTT_BASIC")
            }
            Credentials::Lwm2m => (None, "LWM2M_CREDENTIALS"),
        };
        let value = value.map(|value| member("credentialsValue", value));
        let rest = [
            member("credentialsType", Element::Text(kind.to_owned())),
            member("status", Element::Text("SUCCESS".to_owned())),
        ];
        Element::Object(value.into_iter().chain(rest).collect())
    }
}

/// `JsonConverter.getStrValue`.
fn required(document: &Element, field: &str) -> Result<String, Refusal> {
    if document.get(field).is_none() {
        return Err(Thrown::Message(format!(
            "Failed to find the field {field} in JSON body {document}!"
        ))
        .into());
    }
    optional(document, field)
}

fn optional(document: &Element, field: &str) -> Result<String, Refusal> {
    match document.get(field) {
        None => Ok(String::new()),
        Some(value) => value
            .as_string()
            .ok_or_else(|| Thrown::Message(format!("the value of {field} is no text")).into()),
    }
}

/// `StringUtils.randomAlphanumeric(20)`.
fn random_text() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(20)
        .collect()
}
