//! The controls over HTTP, under `/simulator`. No fault applies here, and nothing that happens here is an arrival.

mod command;
mod guard;
mod input;
mod output;
mod packages;
mod thingsboard;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, JSON, TEXT};
use super::body::{self, BodyError};
use super::connection::Line;
use super::control::{Control, Refused};
use super::device_api::{query_parameter, segments};
use super::directory::Scope;
use super::json;
use super::packages::LARGEST_PACKAGE;
use super::rule_chain::Reply;
use super::state::Shared;

pub(super) use guard::guard;

/// The longest body a control takes, unless it is a package.
const LONGEST_BODY: u64 = 1024 * 1024;

/// What `GET /` says.
const GREETING: &str = "This is a simulator of ThingsBoard's HTTP device API (/api/v1/...), not ThingsBoard.\n\
    It keeps everything in memory. Its controls are under /simulator.\n";

/// Is this path one of ours?
pub(super) fn is_for(path: &str) -> bool {
    path == "/" || path == "/simulator" || path.starts_with("/simulator/")
}

/// Answers one request.
pub(super) async fn serve(shared: &Arc<Shared>, line: &Line, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let Some(path) = segments(head.uri.path()) else {
        body::swallow(body).await;
        return failed(StatusCode::BAD_REQUEST, "the path has a malformed %-escape");
    };
    let path: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
    let is_upload = packages::is_upload(&head.method, &path);
    let longest = if is_upload {
        u64::try_from(LARGEST_PACKAGE).unwrap_or(u64::MAX)
    } else {
        LONGEST_BODY
    };
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > longest) {
        body::swallow(body).await;
        return too_long(longest);
    }
    let held = match body::read(body, longest, shared).await {
        Ok(held) => held,
        Err(BodyError::TooLong) => return too_long(longest),
        Err(BodyError::NoRoom) => {
            let message = "too many request bodies are held at once, try again";
            return failed(StatusCode::SERVICE_UNAVAILABLE, message);
        }
        Err(BodyError::Broken) => return failed(StatusCode::BAD_REQUEST, "the body broke off"),
    };
    let text = if is_upload {
        Ok("")
    } else {
        std::str::from_utf8(&held.bytes)
    };
    let Ok(text) = text else {
        return failed(StatusCode::BAD_REQUEST, "the body is not UTF-8");
    };
    let control = Control(Arc::clone(shared));
    let answered = if let (&Method::POST, ["simulator", "devices", name, "rpc"]) =
        (&head.method, path.as_slice())
    {
        // The only control that waits.
        let _working = line.working();
        command::answer(&control, name, text).await
    } else {
        let call = Call {
            control: &control,
            line,
            query: head.uri.query(),
            body: text,
            bytes: &held.bytes,
        };
        call.answer(&head.method, &path)
    };
    answered.unwrap_or_else(|refused| failed(refused.status, &refused.reason))
}

/// Why a call is refused, in the terms of HTTP.
struct Rejection {
    status: StatusCode,
    reason: String,
}

impl From<Refused> for Rejection {
    fn from(Refused(reason): Refused) -> Rejection {
        Rejection {
            status: StatusCode::BAD_REQUEST,
            reason,
        }
    }
}

impl From<String> for Rejection {
    fn from(reason: String) -> Rejection {
        Refused(reason).into()
    }
}

struct Call<'a> {
    control: &'a Control,
    line: &'a Line,
    query: Option<&'a str>,
    /// The body as text; empty if it is a package.
    body: &'a str,
    bytes: &'a Bytes,
}

type Answered = Result<Answer, Rejection>;

impl Call<'_> {
    fn answer(&self, method: &Method, path: &[&str]) -> Answered {
        match (method.as_str(), path) {
            ("GET" | "HEAD", [""]) => Ok(Answer::with_body(StatusCode::OK, TEXT, GREETING)),
            ("GET" | "HEAD", ["simulator"]) => Ok(shown(output::summary(self.control))),

            ("GET", ["simulator", "arrivals"]) => self.arrivals(),
            ("DELETE", ["simulator", "arrivals"]) => {
                self.control.clear_arrivals();
                Ok(done())
            }

            ("GET", ["simulator", "devices"]) => Ok(shown(output::devices(self.control))),
            ("GET", ["simulator", "devices", name]) => match output::device(self.control, name) {
                Some(device) => Ok(shown(device)),
                None => Err(nothing(&format!("there is no device {name:?}"))),
            },
            ("PUT", ["simulator", "devices", name]) => {
                let device = input::device(self.body)?;
                self.control
                    .put_device(name, &device.token, device.profile)?;
                Ok(done())
            }
            ("DELETE", ["simulator", "devices", name]) => {
                done_if(self.control.remove_device(name), "device", name)
            }
            (
                _,
                [
                    "simulator",
                    "devices",
                    name,
                    "attributes",
                    scope @ ("client" | "shared"),
                ],
            ) => self.attributes(method, name, scope),

            ("GET", ["simulator", "devices", name, "subscriptions"]) => {
                match output::subscriptions(self.control, name) {
                    Some(subscriptions) => Ok(shown(subscriptions)),
                    None => Err(nothing(&format!("there is no device {name:?}"))),
                }
            }

            ("GET", ["simulator", "profiles"]) => Ok(shown(output::profiles(self.control))),
            ("PUT", ["simulator", "profiles", key]) => {
                self.control.add_profile(input::profile(key, self.body)?)?;
                Ok(done())
            }
            ("DELETE", ["simulator", "profiles", key]) => {
                done_if(self.control.remove_profile(key), "profile", key)
            }

            ("GET", ["simulator", "rpc"]) => Ok(shown(output::replies(self.control))),
            ("PUT", ["simulator", "rpc", name]) => {
                self.control.set_reply(name, self.reply())?;
                Ok(done())
            }
            ("DELETE", ["simulator", "rpc", name]) => {
                done_if(self.control.unset_reply(name), "reply to", name)
            }

            ("GET", ["simulator", "faults"]) => Ok(shown(output::faults(self.control))),
            ("POST", ["simulator", "faults"]) => {
                self.control.add_fault(input::fault(self.body)?)?;
                Ok(done())
            }
            ("DELETE", ["simulator", "faults"]) => {
                self.control.clear_faults();
                Ok(done())
            }
            _ => self.packages(method, path),
        }
    }

    /// `?limit=` (100, at most 1000), `?after=` a sequence number, `?device=` a name, `?polls` for polls as well; the
    /// latest, oldest first.
    fn arrivals(&self) -> Answered {
        let number = |name: &str, default: u64| match query_parameter(self.query, name) {
            None => Ok(default),
            Some(text) => text
                .parse::<u64>()
                .map_err(|_| format!("{name}={text:?} is no whole number")),
        };
        let limit = number("limit", 100)?;
        if limit > 1000 {
            return Err("limit is at most 1000: go on with after=<sequence>"
                .to_owned()
                .into());
        }
        // Going on from a number reads forward; without one, the latest are wanted.
        let after = match query_parameter(self.query, "after") {
            Some(_) => Some(number("after", 0)?),
            None => None,
        };
        let device = query_parameter(self.query, "device");
        let selection = output::Selection {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            after,
            device: device.as_deref(),
            polls: query_parameter(self.query, "polls").is_some(),
        };
        Ok(shown(output::arrivals(self.control, &selection)))
    }

    fn attributes(&self, method: &Method, name: &str, scope: &str) -> Answered {
        let scope = if scope == "client" {
            Scope::Client
        } else {
            Scope::Shared
        };
        match method.as_str() {
            "GET" => match self.control.attributes(name, scope) {
                Some(attributes) => Ok(shown(attributes)),
                None => Err(nothing(&format!("there is no device {name:?}"))),
            },
            "POST" => {
                let values = json::read(self.body).map_err(|error| error.0)?;
                self.control.set_attributes(name, scope, &values)?;
                Ok(done())
            }
            "DELETE" => {
                let keys = query_parameter(self.query, "keys")
                    .filter(|keys| !keys.is_empty())
                    .ok_or_else(|| "say which: ?keys=a,b".to_owned())?;
                let keys: Vec<String> = keys.split(',').map(str::to_owned).collect();
                self.control.remove_attributes(name, scope, &keys)?;
                Ok(done())
            }
            _ => Err(nothing(&format!("attributes have no {method}"))),
        }
    }

    /// The body is the reply; `?error=text` and `?silent` stand for the other two.
    fn reply(&self) -> Reply {
        if let Some(error) = query_parameter(self.query, "error") {
            return Reply::Error(error);
        }
        if query_parameter(self.query, "silent").is_some() {
            return Reply::Silence;
        }
        Reply::Json(self.body.to_owned())
    }
}

fn shown(value: Value) -> Answer {
    Answer::with_body(StatusCode::OK, JSON, format!("{value}\n"))
}

fn done() -> Answer {
    Answer::empty(StatusCode::NO_CONTENT)
}

fn done_if(it_was_there: bool, what: &str, name: &str) -> Answered {
    if it_was_there {
        Ok(done())
    } else {
        Err(nothing(&format!("there is no {what} {name:?}")))
    }
}

fn nothing(reason: &str) -> Rejection {
    Rejection {
        status: StatusCode::NOT_FOUND,
        reason: reason.to_owned(),
    }
}

fn failed(status: StatusCode, reason: &str) -> Answer {
    Answer {
        status,
        ..shown(json!({ "error": reason }))
    }
}

fn too_long(longest: u64) -> Answer {
    failed(
        StatusCode::PAYLOAD_TOO_LARGE,
        &format!("this control takes at most {longest} bytes"),
    )
}
