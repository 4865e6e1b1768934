//! The simulator's controls over HTTP, under `/simulator`. No fault applies to them, and they are not listed as
//! arrivals.

mod arrivals;
mod devices;
mod extract;
mod faults;
mod guard;
mod mqtt;
mod packages;
mod provisioning;
mod rule_chain;
mod thingsboard;

use crate::control::{Control, ControlError};
use crate::packages::PackageKind;
use crate::state::Shared;
use axum::extract::FromRequestParts;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, post, put};
use axum::{Extension, Router};
use serde::Serialize;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;

/// The body of `GET /`.
const GREETING: &str = "This is a simulator of ThingsBoard's device API (/api/v1/...), not ThingsBoard.\n\
    It keeps everything in memory. Its controls are under /simulator.\n";

/// What `GET /simulator` lists.
const CONTROLS: [&str; 27] = [
    "GET|DELETE /simulator/arrivals?limit=&after=&device=&polls",
    "GET /simulator/devices",
    "GET|PUT|DELETE /simulator/devices/{name}",
    "GET|POST|DELETE /simulator/devices/{name}/attributes/{client|shared}?keys=",
    "POST /simulator/devices/{name}/rpc",
    "GET /simulator/devices/{name}/subscriptions",
    "GET|DELETE /simulator/devices/{name}/mqtt",
    "GET /simulator/commands/{rpcId}",
    "GET|PUT|DELETE /simulator/devices/{name}/{firmware|software}",
    "GET|PUT|DELETE /simulator/{firmware|software}",
    "GET /simulator/packages",
    "GET|PUT|DELETE /simulator/packages/{firmware|software}/{title}/{version}",
    "PUT /simulator/packages/{firmware|software}/{title}/{version}/data?tag=",
    "GET /simulator/profiles",
    "PUT|DELETE /simulator/profiles/{provisionDeviceKey}",
    "GET /simulator/rpc",
    "PUT|DELETE /simulator/rpc/{method}?error=&silent",
    "GET|PUT /simulator/timeouts",
    "GET|PUT /simulator/subscription-delay",
    "GET|PUT /simulator/connections",
    "GET|PUT /simulator/attribute-store",
    "GET|PUT /simulator/mqtt",
    "GET|PUT /simulator/mqtt/dead-subscriptions",
    "GET /simulator/mqtt/counts",
    "DELETE /simulator/mqtt/command-delays",
    "POST /simulator/restart",
    "GET|POST|DELETE /simulator/faults",
];

/// The routes of all controls. Where the server is bound to a loopback address they are reachable by loopback names
/// only.
pub(super) fn router(on_loopback: bool) -> Router<Arc<Shared>> {
    use PackageKind::{Firmware, Software};
    let controls = [
        ("/arrivals", get(arrivals::list).delete(arrivals::clear)),
        ("/devices", get(devices::list)),
        (
            "/devices/{name}",
            get(devices::show)
                .put(devices::define)
                .delete(devices::remove),
        ),
        (
            "/devices/{name}/attributes/{scope}",
            get(devices::attributes)
                .post(devices::set_attributes)
                .delete(devices::remove_attributes),
        ),
        ("/devices/{name}/rpc", post(devices::send_command)),
        ("/devices/{name}/subscriptions", get(devices::subscriptions)),
        ("/devices/{name}/mqtt", get(mqtt::counts).delete(mqtt::cut)),
        ("/commands/{number}", get(mqtt::command)),
        ("/devices/{name}/firmware", assignment(Firmware)),
        ("/devices/{name}/software", assignment(Software)),
        ("/firmware", assignment(Firmware)),
        ("/software", assignment(Software)),
        ("/packages", get(packages::list)),
        (
            "/packages/{kind}/{title}/{version}",
            get(packages::show)
                .put(packages::define)
                .delete(packages::remove),
        ),
        (
            "/packages/{kind}/{title}/{version}/data",
            put(packages::upload),
        ),
        ("/profiles", get(provisioning::list)),
        (
            "/profiles/{key}",
            put(provisioning::define).delete(provisioning::remove),
        ),
        ("/rpc", get(rule_chain::list)),
        (
            "/rpc/{method}",
            put(rule_chain::set).delete(rule_chain::unset),
        ),
        (
            "/timeouts",
            get(thingsboard::timeouts).put(thingsboard::set_timeouts),
        ),
        (
            "/subscription-delay",
            get(thingsboard::subscription_delay).put(thingsboard::set_subscription_delay),
        ),
        (
            "/connections",
            get(thingsboard::connections).put(thingsboard::set_connections),
        ),
        (
            "/attribute-store",
            get(thingsboard::attribute_store).put(thingsboard::set_attribute_store),
        ),
        ("/mqtt", get(mqtt::settings).put(mqtt::set_settings)),
        ("/mqtt/counts", get(mqtt::totals)),
        ("/mqtt/command-delays", delete(mqtt::command_delays)),
        (
            "/mqtt/dead-subscriptions",
            get(mqtt::dead_subscriptions).put(mqtt::set_dead_subscriptions),
        ),
        ("/restart", post(thingsboard::restart)),
        (
            "/faults",
            get(faults::list).post(faults::add).delete(faults::clear),
        ),
        ("/", any(unknown)),
        ("/{*rest}", any(unknown)),
    ];
    let root = Router::new()
        .route("/", get(GREETING))
        .route("/simulator", get(summary));
    controls
        .into_iter()
        .fold(root, |router, (path, methods)| {
            router.route(&format!("/simulator{path}"), methods)
        })
        .method_not_allowed_fallback(unknown)
        .layer(from_fn_with_state(on_loopback, guard::guard))
}

/// The package of this kind that one device has, or, without a name in the path, that all devices have.
fn assignment(kind: PackageKind) -> MethodRouter<Arc<Shared>> {
    get(packages::assigned)
        .put(packages::assign)
        .delete(packages::unassign)
        .layer(Extension(kind))
}

impl FromRequestParts<Arc<Shared>> for Control {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Infallible> {
        Ok(Control(Arc::clone(shared)))
    }
}

async fn summary(control: Control) -> JsonLine<serde_json::Value> {
    let state = control.0.lock();
    JsonLine(json!({
        "simulator": "of ThingsBoard's device API, in memory",
        "devices": state.directory.iter().count(),
        "arrived": state.arrivals.requests().total(),
        "listed": state.arrivals.requests().iter().count(),
        "dropped": state.arrivals.requests().dropped(),
        "polled": state.arrivals.polls().total(),
        "controls": CONTROLS,
    }))
}

/// Answers requests for which there is no control. The router matches no empty segment, so it also answers those.
async fn unknown(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    if path.contains("//") || (path.ends_with('/') && path != "/simulator/") {
        return ApiError::bad_request("the path has an empty name, title or version");
    }
    ApiError::not_found(format!(
        "the simulator has no {method} {path}; GET /simulator lists what it has"
    ))
}

/// A JSON response, with a line break at its end for terminals.
struct JsonLine<T>(T);

impl<T: Serialize> IntoResponse for JsonLine<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.0) {
            Ok(text) => ([(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

/// A refused request: a status and `{"error": reason}`.
struct ApiError {
    status: StatusCode,
    reason: String,
}

impl ApiError {
    fn bad_request(reason: impl Into<String>) -> ApiError {
        ApiError {
            status: StatusCode::BAD_REQUEST,
            reason: reason.into(),
        }
    }

    fn not_found(reason: impl Into<String>) -> ApiError {
        ApiError {
            status: StatusCode::NOT_FOUND,
            reason: reason.into(),
        }
    }

    fn no_device(name: &str) -> ApiError {
        ApiError::not_found(format!("there is no device {name:?}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, JsonLine(json!({ "error": self.reason }))).into_response()
    }
}

impl From<ControlError> for ApiError {
    fn from(ControlError(reason): ControlError) -> ApiError {
        ApiError::bad_request(reason)
    }
}

impl From<String> for ApiError {
    fn from(reason: String) -> ApiError {
        ApiError::bad_request(reason)
    }
}

/// The response of a control that has nothing to show.
type NoContent = Result<StatusCode, ApiError>;

const NO_CONTENT: NoContent = Ok(StatusCode::NO_CONTENT);

/// 204 if something was deleted, else 404.
fn deleted(existed: bool, what: &str, name: &str) -> NoContent {
    if existed {
        NO_CONTENT
    } else {
        Err(ApiError::not_found(format!("there is no {what} {name:?}")))
    }
}
