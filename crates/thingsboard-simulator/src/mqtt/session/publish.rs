//! PUBLISHes of a device: what each does, and how it is acknowledged.

use super::{Context, Phase, Session, Timed, code};
use crate::arrival::Arrival;
use crate::device_api::{attributes, check_claim, telemetry};
use crate::directory::{OutOfSpace, Scope};
use crate::downlink::{Downlink, PollKind};
use crate::json::{Element, Exception, read, string};
use crate::mqtt::packet::{Level, MAX_REMAINING, Publish, Reply};
use crate::mqtt::topic::{self, Form, PACKAGE_ERROR, Target};
use bytes::Bytes;
use std::sync::Arc;

/// What becomes of a PUBLISH.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// PUBACK with success, then this answer.
    Accepted(Option<Answer>),
    /// PUBACK with success, then the attributes.
    Attributes(AttributesRequest),
    /// PUBACK with success, and an answer of the rule chain that does not come: a timeout instead.
    NoAnswer(String),
    /// PUBACK with this code; with success in 3.1.1.
    Rejected(u8),
    /// The payload is refused: PUBACK 0x99; the connection is closed in 3.1.1, and at QoS 0.
    Invalid,
    /// No PUBACK, ever.
    Silent,
    /// The connection is closed without a PUBACK.
    Close(u8),
    /// This text on the topic of packages' errors, then the connection is closed without a PUBACK.
    PackageError(&'static str),
}

/// The attributes that are to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AttributesRequest {
    form: Form,
    id: i32,
    client: Vec<String>,
    shared: Vec<String>,
}

/// The topic and the payload of an answer.
pub(super) type Answer = (String, Bytes);

impl Verdict {
    /// Whether ThingsBoard's handler throws an exception that it does not expect.
    pub(super) fn is_exception(&self) -> bool {
        *self == Verdict::Close(code::SHUTTING_DOWN)
    }

    fn over_limit() -> Verdict {
        Verdict::Close(code::IMPLEMENTATION)
    }
}

impl From<Exception> for Verdict {
    fn from(exception: Exception) -> Verdict {
        match exception {
            Exception::JsonParse(_) | Exception::IllegalState => Verdict::Invalid,
            Exception::Other => Verdict::Close(code::SHUTTING_DOWN),
        }
    }
}

impl From<OutOfSpace> for Verdict {
    fn from(OutOfSpace: OutOfSpace) -> Verdict {
        tracing::warn!(
            "no room for more values, an MQTT connection is closed: delete some devices"
        );
        Verdict::Close(code::IMPLEMENTATION)
    }
}

impl Session {
    pub(super) fn handle_publish(&mut self, cx: &mut Context<'_>, publish: Publish) {
        let verdict = self.verdict(cx, &publish);
        self.conclude(cx, &publish, verdict);
    }

    /// Carries out a PUBLISH.
    pub(super) fn verdict(&mut self, cx: &mut Context<'_>, publish: &Publish) -> Verdict {
        let Phase::Device(device) = &self.phase else {
            return Verdict::Silent;
        };
        let name = device.name.clone();
        cx.state.mqtt.counts_mut(&name).publishes += 1;
        if cx.state.mqtt.settings.usage_exhausted {
            return Verdict::over_limit();
        }
        let payload = &publish.payload;
        let text = String::from_utf8_lossy(payload);
        let verdict = match topic::target(&publish.topic) {
            Target::Telemetry if payload.is_empty() => Ok(Verdict::Invalid),
            Target::Attributes if payload.is_empty() => Ok(Verdict::Invalid),
            Target::Telemetry => post_telemetry(cx, &name, &text),
            Target::Attributes => post_attributes(cx, &name, &text),
            Target::AttributesRequest(form, id) => request_attributes(cx, &name, form, id, &text),
            Target::RpcReply(id) => Ok(reply(cx, &name, id, &text)),
            Target::ClientRpc(form, id) => call(cx, &name, form, id, &text),
            Target::Claim => claim(cx, &name, &text),
            Target::Package(kind, id, chunk) => Ok(self.fetch(cx, kind, id, chunk, &text)),
            Target::Gateway => Ok(Verdict::Silent),
            Target::Protobuf => Ok(Verdict::Invalid),
            Target::Unknown => Ok(Verdict::Rejected(code::TOPIC)),
        };
        verdict.unwrap_or_else(|failed| failed)
    }

    /// Acknowledges a PUBLISH, answers it, and records its arrival.
    pub(super) fn conclude(&mut self, cx: &mut Context<'_>, publish: &Publish, verdict: Verdict) {
        let Phase::Device(device) = &self.phase else {
            return;
        };
        let name = device.name.clone();
        let invalid_is_acknowledged = self.level == Some(Level::V5) && publish.qos > 0;
        let push = device.push;
        let acknowledged = match &verdict {
            Verdict::Accepted(_) | Verdict::Attributes(_) | Verdict::NoAnswer(_) => {
                Some(code::SUCCESS)
            }
            Verdict::Rejected(code) => Some(*code),
            Verdict::Invalid if invalid_is_acknowledged => Some(code::PAYLOAD),
            Verdict::Invalid | Verdict::Silent | Verdict::Close(_) | Verdict::PackageError(_) => {
                None
            }
        };
        record(cx, publish, Some(&name), acknowledged);
        if matches!(acknowledged, Some(code::SUCCESS | code::TOPIC)) {
            cx.state.directory.record_activity(&name, cx.epoch_ms);
        }
        if let Some(code) = acknowledged
            && publish.qos > 0
        {
            let id = publish.id;
            let reply = Reply::PubAck { id, code };
            if code == code::SUCCESS {
                self.send_later(cx, reply);
            } else {
                self.send(reply);
            }
        }
        match verdict {
            Verdict::Accepted(Some((topic, payload))) => self.publish_answer(cx, topic, payload),
            Verdict::Attributes(request) => {
                // The device actor gets it behind a subscription that is on its way.
                let polls = &mut cx.state.long_polls;
                let due = |downlink: &mut Downlink| downlink.push_due(push, PollKind::Attributes);
                match polls.apply(due) {
                    Some(at_ms) => self.at(at_ms, Timed::Attributes(request)),
                    None => self.answer_attributes(cx, &request),
                }
            }
            Verdict::NoAnswer(topic) => {
                let lasts_ms = cx.state.long_polls.delays().request_ms;
                let at_ms = cx.now_ms.saturating_add(lasts_ms);
                self.at(at_ms, Timed::RpcTimeout(topic));
            }
            Verdict::Invalid if !invalid_is_acknowledged => self.close(cx, code::PAYLOAD),
            Verdict::Close(code) => self.close(cx, code),
            Verdict::PackageError(error) => {
                self.publish_at_once(cx, PACKAGE_ERROR.to_owned(), error.into());
                self.close(cx, code::IMPLEMENTATION);
            }
            Verdict::Accepted(None) | Verdict::Rejected(_) | Verdict::Invalid | Verdict::Silent => {
            }
        }
    }
}

impl Session {
    /// Sends the attributes that a request has named, as they are now.
    pub(super) fn answer_attributes(&mut self, cx: &mut Context<'_>, request: &AttributesRequest) {
        let Phase::Device(device) = &self.phase else {
            return;
        };
        // A subscription that is due now works before the answer.
        cx.state.long_polls.apply(|_| ());
        let (client, shared) = (&request.client, &request.shared);
        if let Some(found) = attributes::selected(cx.state, &device.name, client, shared) {
            let topic = request.form.attributes_response(request.id);
            self.publish_answer(cx, topic, Bytes::from(found.to_string()));
        }
    }
}

/// Records a PUBLISH among the arrivals.
pub(super) fn record(
    cx: &mut Context<'_>,
    publish: &Publish,
    device: Option<&str>,
    acknowledged: Option<u8>,
) {
    let arrival = Arrival {
        sequence: 0,
        received_ms: cx.epoch_ms,
        method: "PUBLISH".to_owned(),
        path: publish.topic.clone(),
        query: None,
        device: device.map(str::to_owned),
        content_type: None,
        body: publish.payload.clone(),
        body_length: u64::try_from(publish.payload.len()).unwrap_or(u64::MAX),
        status: acknowledged.map(u16::from),
        fault: None,
    };
    cx.state.arrivals.record(arrival, false);
}

fn post_telemetry(cx: &mut Context<'_>, name: &Arc<str>, text: &str) -> Result<Verdict, Verdict> {
    let entries = telemetry::entries(text, cx.epoch_ms)?;
    if !cx.state.mqtt.take_telemetry(name, cx.now_ms) {
        return Ok(Verdict::over_limit());
    }
    if entries.is_empty() {
        // `[]`: the callback of no message at all.
        return Ok(Verdict::Silent);
    }
    telemetry::store(cx.state, name, entries)?;
    Ok(Verdict::Accepted(None))
}

fn post_attributes(cx: &mut Context<'_>, name: &Arc<str>, text: &str) -> Result<Verdict, Verdict> {
    let values = attributes::values(text)?;
    if !cx.state.mqtt.take_telemetry(name, cx.now_ms) {
        return Ok(Verdict::over_limit());
    }
    cx.state
        .directory
        .set_attributes(name, Scope::Client, values)?;
    Ok(Verdict::Accepted(None))
}

fn request_attributes(
    cx: &mut Context<'_>,
    name: &Arc<str>,
    form: Form,
    id: &str,
    text: &str,
) -> Result<Verdict, Verdict> {
    // Every exception in here is one of the adaptor.
    let Ok(id) = id.parse::<i32>() else {
        return Ok(Verdict::Invalid);
    };
    let document = match read(text) {
        Ok(document @ Element::Object(_)) if !text.is_empty() => document,
        _ => return Ok(Verdict::Invalid),
    };
    let keys = |member: &str| match document.get(member) {
        None => Ok(Vec::new()),
        // Java's split makes one empty key of an empty text.
        Some(list) => match string(list)?.as_str() {
            "" => Ok(vec![String::new()]),
            list => Ok(attributes::split(list)),
        },
    };
    let (client, shared) = match (keys("clientKeys"), keys("sharedKeys")) {
        (Ok(client), Ok(shared)) => (client, shared),
        (Err::<_, Exception>(_), _) | (_, Err(_)) => return Ok(Verdict::Invalid),
    };
    if !cx.state.mqtt.take_message(name, cx.now_ms) {
        return Ok(Verdict::over_limit());
    }
    let failing = &mut cx.state.attribute_store_fails;
    let fails = *failing > 0;
    *failing = failing.saturating_sub(1);
    if fails || id < 0 || client.iter().chain(&shared).any(String::is_empty) {
        return Ok(Verdict::Accepted(None));
    }
    Ok(Verdict::Attributes(AttributesRequest {
        form,
        id,
        client,
        shared,
    }))
}

/// The reply to a command: any payload, passed on as text.
fn reply(cx: &mut Context<'_>, name: &Arc<str>, id: &str, text: &str) -> Verdict {
    let Ok(id) = id.parse::<i32>() else {
        return Verdict::Invalid;
    };
    if !cx.state.mqtt.take_message(name, cx.now_ms) {
        return Verdict::over_limit();
    }
    // An unknown id is ignored.
    cx.state
        .long_polls
        .apply(|downlink| downlink.reply(name, id, text));
    Verdict::Accepted(None)
}

/// A client-side RPC. Unlike over HTTP it needs no parameters.
fn call(
    cx: &mut Context<'_>,
    name: &Arc<str>,
    form: Form,
    id: &str,
    text: &str,
) -> Result<Verdict, Verdict> {
    if text.is_empty() {
        return Ok(Verdict::Invalid);
    }
    let document = read(text).map_err(Exception::from)?;
    if !matches!(document, Element::Object(_)) {
        return Ok(Verdict::Invalid);
    }
    let method = string(document.get("method").ok_or(Exception::Other)?)?;
    let id = id.parse::<i32>().map_err(|_| Exception::Other)?;
    let topic = form.rpc_response(id);
    if form == Form::V1 && method == "getSessionLimits" {
        return Ok(Verdict::Accepted(Some((topic, session_limits(cx)))));
    }
    if !cx.state.mqtt.take_message(name, cx.now_ms) {
        return Ok(Verdict::over_limit());
    }
    let params = document.get("params").unwrap_or(&Element::Null);
    let reply = cx.state.rule_chain.reply(&method, params, cx.epoch_ms);
    Ok(match reply {
        Some(reply) => Verdict::Accepted(Some((topic, Bytes::from(reply.to_string())))),
        None => Verdict::NoAnswer(topic),
    })
}

/// The transport's own answer.
fn session_limits(cx: &Context<'_>) -> Bytes {
    let settings = cx.state.mqtt.settings;
    let limits = [
        ("messages", settings.message_limit),
        ("telemetryMessages", settings.telemetry_limit),
    ];
    let limits = limits.into_iter().filter_map(|(name, limit)| {
        let limit = Element::Text(limit?.to_string());
        Some((name.to_owned(), limit))
    });
    let number = |number: usize| Element::Number(number.to_string());
    let answer = Element::Object(vec![
        ("maxPayloadSize".to_owned(), number(MAX_REMAINING)),
        ("maxInflightMessages".to_owned(), number(super::MAX_QUEUED)),
        ("rateLimits".to_owned(), Element::Object(limits.collect())),
    ]);
    Bytes::from(answer.to_string())
}

fn claim(cx: &mut Context<'_>, name: &Arc<str>, text: &str) -> Result<Verdict, Verdict> {
    check_claim(text)?;
    if !cx.state.mqtt.take_message(name, cx.now_ms) {
        return Ok(Verdict::over_limit());
    }
    Ok(Verdict::Accepted(None))
}
