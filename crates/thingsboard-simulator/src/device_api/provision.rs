//! `POST /api/v1/provision`. A failure has the status 200 as well.

use super::{Request, string_response};
use crate::json::{Element, Exception, read};
use crate::response::{ErrorCode, HttpResponse};
use crate::state::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a device profile lets devices provision themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Strategy {
    /// Never: `NOT_FOUND`.
    Disabled,
    /// A device of a new name is created; an existing name is a `FAILURE`.
    #[default]
    AllowCreateNewDevices,
    /// The device must exist in the profile; works once and returns the credentials it has.
    CheckPreProvisionedDevices,
    /// For MQTT only; over HTTP it is a 500.
    #[serde(rename = "X509_CERTIFICATE_CHAIN")]
    X509CertificateChain,
}

/// A device profile's settings for provisioning. `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    /// `provisionDeviceKey`.
    pub key: String,
    /// `provisionDeviceSecret`.
    pub secret: String,
    /// How devices with this key and secret are provisioned.
    pub strategy: Strategy,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}

/// Why no credentials are returned.
pub(crate) enum ProvisionError {
    /// 200 with the status `NOT_FOUND`.
    NotFound,
    /// 200 with the status `FAILURE`.
    Failure,
    /// 500: the body is not a JSON object; with the monolith's error JSON.
    Parse(String),
    /// 500: another exception in the controller itself, with the monolith's error JSON.
    Exception(String),
    /// 500 without a body: an exception behind the transport.
    Internal,
}

/// Responds to one request.
pub(super) fn post(state: &mut State, request: &Request<'_>) -> HttpResponse {
    let error = match provision(state, request.body) {
        Ok(credentials) => return string_response(request, credentials.to_string()),
        Err(error) => error,
    };
    match (error.answer(), error) {
        (Some(answer), _) => string_response(request, answer),
        (None, ProvisionError::Parse(message) | ProvisionError::Exception(message)) => {
            HttpResponse::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                Some(&message),
                ErrorCode::General,
                request.now_ms,
            )
        }
        (None, _) => HttpResponse::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl ProvisionError {
    /// The JSON that is the answer; `None` where an exception is.
    pub(crate) fn answer(&self) -> Option<String> {
        let (message, status) = match self {
            ProvisionError::NotFound => ("Provision data was not found!", "NOT_FOUND"),
            ProvisionError::Failure => ("Failed to provision device!", "FAILURE"),
            ProvisionError::Parse(_) | ProvisionError::Exception(_) | ProvisionError::Internal => {
                return None;
            }
        };
        Some(format!(r#"{{"errorMsg":"{message}","status":"{status}"}}"#))
    }
}

impl From<Exception> for ProvisionError {
    fn from(exception: Exception) -> ProvisionError {
        match exception {
            Exception::JsonParse(message) => ProvisionError::Parse(message),
            Exception::IllegalState | Exception::Other => ProvisionError::Internal,
        }
    }
}

/// Provisions a device, and returns its credentials as the answer has them.
pub(crate) fn provision(state: &mut State, body: &str) -> Result<Element, ProvisionError> {
    let document = read(body).map_err(Exception::from)?;
    if !matches!(document, Element::Object(_)) {
        return Err(Exception::cannot_parse(&document).into());
    }
    let name = optional(&document, "deviceName")?;
    let credentials = Credentials::requested(&document)?;
    let key = required(&document, "provisionDeviceKey")?;
    let secret = required(&document, "provisionDeviceSecret")?;

    // `DeviceProvisionServiceImpl.provisionDevice`, in its order.
    let trimmed = name.trim();
    if !name.is_empty() && trimmed.is_empty() {
        return Err(ProvisionError::Failure);
    }
    let Some(profile) = state
        .profiles
        .get(&key)
        .filter(|profile| !key.is_empty() && !secret.is_empty() && profile.secret == secret)
    else {
        return Err(ProvisionError::NotFound);
    };
    match profile.strategy {
        Strategy::Disabled => Err(ProvisionError::NotFound),
        Strategy::X509CertificateChain => Err(ProvisionError::Internal),
        Strategy::AllowCreateNewDevices => {
            if state.directory.get(trimmed).is_some() {
                return Err(ProvisionError::Failure);
            }
            let name = match trimmed {
                "" => random_text(),
                given => given.to_owned(),
            };
            let token = credentials.token();
            state
                .directory
                .put(&name, token, Some(key))
                .map_err(|_| ProvisionError::Failure)?;
            if let Some(device) = state.directory.get_mut(&name) {
                device.provisioned = true;
            }
            state
                .set_package_attributes(&name)
                .map_err(|_| ProvisionError::Internal)?;
            Ok(credentials.into_element())
        }
        Strategy::CheckPreProvisionedDevices => {
            let Some(device) = state.directory.get_mut(trimmed) else {
                return Err(ProvisionError::Failure);
            };
            if device.profile.as_ref() != Some(&key) || device.provisioned {
                return Err(ProvisionError::Failure);
            }
            device.provisioned = true;
            let token = device.token.clone().unwrap_or_default();
            Ok(Credentials::AccessToken(token).into_element())
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
    /// The credentials of the request; without any credential field a random access token.
    fn requested(document: &Element) -> Result<Credentials, ProvisionError> {
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
            unknown => Err(ProvisionError::Exception(format!(
                "No enum constant org.thingsboard.server.gen.transport.TransportProtos.CredentialsType.{unknown}"
            ))),
        }
    }

    /// The access token, if these are credentials that HTTP accepts.
    fn token(&self) -> Option<String> {
        match self {
            Credentials::AccessToken(token) => Some(token.clone()),
            Credentials::X509(_) | Credentials::MqttBasic(_) | Credentials::Lwm2m => None,
        }
    }

    fn into_element(self) -> Element {
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
fn required(document: &Element, field: &str) -> Result<String, ProvisionError> {
    if document.get(field).is_none() {
        return Err(ProvisionError::Exception(format!(
            "Failed to find the field {field} in JSON body {document}!"
        )));
    }
    optional(document, field)
}

fn optional(document: &Element, field: &str) -> Result<String, ProvisionError> {
    match document.get(field) {
        None => Ok(String::new()),
        Some(value) => value
            .as_string()
            .ok_or_else(|| ProvisionError::Exception(format!("the value of {field} is no text"))),
    }
}

/// `StringUtils.randomAlphanumeric(20)`.
fn random_text() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(20)
        .collect()
}
