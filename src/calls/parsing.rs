//! Parses requests and answers in the task that makes the call: the loop must not work on bytes whose number a device, a
//! rule chain or ThingsBoard chooses. It only moves the result: a response, a map of attributes, a command.

use crate::calls::{Call, Completion, RelayCall, Ticket};
use crate::downlink::Command;
use crate::downlink::attribute_json;
use crate::downlink::attribute_json::{Unreadable, Update, Values};
use crate::downlink::{Kind, Message};
use crate::mapping::client_rpc;
use crate::mapping::representation::Representation;
use crate::mapping::response::{self, AnswerKind};
use crate::mapping::unanswerable;
use crate::upstream::{Answer, Error, Operation, Request};
use coap::{ETag, Response};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// The attributes at the beginning of an observation.
#[derive(Debug)]
pub struct Registration {
    pub values: Values,
    /// The attributes as one flat JSON object.
    pub state: Response,
}

/// Bodies up to this size in bytes are never split into blocks, and need no ETag (RFC 7959 §2.4).
const ONE_BLOCK: usize = 1024;

/// The key of ETags, made at the start of the process.
static ETAG_KEY: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// Adds an ETag to a response that will be split into blocks: the loop must not hash a body.
fn with_etag(response: Response) -> Response {
    let etag = (response.code.is_success() && response.payload.len() > ONE_BLOCK)
        .then(|| ETAG_KEY.hash_one((response.content_format, &response.payload)))
        .and_then(|hash| ETag::new(&hash.to_be_bytes()));
    Response { etag, ..response }
}

/// A parsed answer of ThingsBoard.
#[derive(Debug)]
pub enum Parsed {
    /// The response to a device's request.
    Response(Response),
    /// The response to a request that was not sent, because ThingsBoard would have refused it.
    NotSent(Response),
    /// The beginning of an observation of attributes.
    Registration(Result<Registration, Unreadable>),
    /// What a long poll brought.
    Poll(Message),
    /// The shared attributes, for a relay.
    Attributes(Result<Values, Unreadable>),
    /// An answer that is not parsed here.
    Answer(Answer),
}

impl Parsed {
    fn of(ticket: &Ticket, answer: Answer) -> Parsed {
        let body = &answer.body;
        match ticket {
            Ticket::Exchange {
                expect: AnswerKind::Registration,
                ..
            } => Parsed::Registration(attribute_json::read_answer(body).map(|values| {
                let state = with_etag(Representation::Json.content(attribute_json::flat(&values)));
                Registration { values, state }
            })),
            Ticket::Exchange { expect, .. } => {
                Parsed::Response(with_etag(response::answered(*expect, answer.body)))
            }
            Ticket::Relay(_, RelayCall::Poll(Kind::Attributes, _)) => {
                Parsed::Poll(Message::Attributes(Update::read(body)))
            }
            Ticket::Relay(_, RelayCall::Poll(Kind::Commands, _)) => {
                Parsed::Poll(Message::Command(Command::read(answer.body)))
            }
            Ticket::Relay(_, RelayCall::Read(_)) => {
                Parsed::Attributes(attribute_json::read_answer(body))
            }
            Ticket::Relay(_, RelayCall::GatewayReply(_)) | Ticket::Package(_) => {
                Parsed::Answer(answer)
            }
        }
    }
}

/// A task parses by its own ticket, so the result is never of another kind.
const MISMATCH: Error =
    Error::Unintelligible("it was parsed as the answer to another kind of request");

impl Parsed {
    /// What a long poll brought.
    ///
    /// # Errors
    /// It is another kind of answer.
    pub fn poll(self) -> Result<Message, Error> {
        match self {
            Parsed::Poll(brought) => Ok(brought),
            Parsed::Response(_)
            | Parsed::NotSent(_)
            | Parsed::Registration(_)
            | Parsed::Attributes(_)
            | Parsed::Answer(_) => Err(MISMATCH),
        }
    }

    pub fn attributes(self) -> Result<Result<Values, Unreadable>, Error> {
        match self {
            Parsed::Attributes(values) => Ok(values),
            Parsed::Response(_)
            | Parsed::NotSent(_)
            | Parsed::Registration(_)
            | Parsed::Poll(_)
            | Parsed::Answer(_) => Err(MISMATCH),
        }
    }

    pub fn answer(self) -> Result<Answer, Error> {
        match self {
            Parsed::Answer(answer) => Ok(answer),
            Parsed::Response(_)
            | Parsed::NotSent(_)
            | Parsed::Registration(_)
            | Parsed::Poll(_)
            | Parsed::Attributes(_) => Err(MISMATCH),
        }
    }
}

impl Completion {
    /// Parses the outcome of a call. To be called in the call's own task.
    pub fn parse(ticket: Ticket, outcome: Result<Answer, Error>) -> Completion {
        let length = outcome.as_ref().map_or(0, |answer| answer.body.len());
        Completion {
            ticket,
            length,
            outcome: outcome.map(|answer| Parsed::of(&ticket, answer)),
        }
    }

    /// ThingsBoard would have refused it.
    pub(super) fn not_sent(ticket: Ticket, response: Response) -> Completion {
        Completion {
            ticket,
            length: 0,
            outcome: Ok(Parsed::NotSent(response)),
        }
    }
}

impl Call {
    /// Puts the request into ThingsBoard's form, or returns the completion at once if ThingsBoard would refuse it. To be
    /// called in the call's own task.
    pub fn prepare(self) -> Result<Call, Box<Completion>> {
        let Call { ticket, request } = self;
        let request = match request {
            Request::Device {
                device,
                operation: Operation::CallRpc(body),
            } => {
                let body = client_rpc::complete(body)
                    .map_err(|refusal| Box::new(Completion::not_sent(ticket, refusal)))?;
                let operation = Operation::CallRpc(body);
                Request::Device { device, operation }
            }
            Request::Device { device, operation } => {
                unanswerable::check(&operation)
                    .map_err(|refusal| Box::new(Completion::not_sent(ticket, refusal)))?;
                Request::Device { device, operation }
            }
            other @ Request::Provision { .. } => other,
        };
        Ok(Call { ticket, request })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::SessionId;
    use bytes::Bytes;
    use coap::ExchangeId;

    fn read(expect: AnswerKind, body: impl Into<Bytes>) -> Parsed {
        let ticket = Ticket::Exchange {
            session: SessionId(1),
            exchange: ExchangeId(1),
            expect,
        };
        let body = body.into();
        let completion = Completion::parse(ticket, Ok(Answer { body: body.clone() }));
        assert_eq!(completion.length, body.len());
        completion.outcome.unwrap()
    }

    fn registration(shared: &str) -> Result<Registration, Unreadable> {
        match read(AnswerKind::Registration, format!("{{\"shared\":{shared}}}")) {
            Parsed::Registration(registration) => registration,
            other => panic!("{other:?}"),
        }
    }

    fn object(keys: usize) -> String {
        let members: Vec<String> = (0..keys).map(|key| format!("\"k{key}\":1")).collect();
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn a_body_that_needs_blocks_has_an_etag() {
        let etag = |body: &str| match read(AnswerKind::Attributes, body.to_owned()) {
            Parsed::Response(response) => response.etag,
            other => panic!("{other:?}"),
        };
        let large = |first: char| format!("{{\"a\":\"{first}{}\"}}", "x".repeat(2000));
        assert_eq!(etag(r#"{"a":1}"#), None);
        assert!(etag(&large('a')).is_some());
        assert_eq!(etag(&large('a')), etag(&large('a')));
        assert_ne!(etag(&large('a')), etag(&large('b')));
        let state = registration(&object(500)).unwrap().state;
        assert!(state.etag.is_some());
        assert_eq!(registration("{}").unwrap().state.etag, None);
    }

    #[test]
    fn an_observation_has_at_most_2048_attributes() {
        let read = registration(&object(2048)).unwrap();
        assert_eq!(read.values.len(), 2048);
        let too_many = registration(&object(2049)).unwrap_err();
        assert_eq!(too_many, Unreadable::TooManyKeys);
        assert_eq!(registration("[]").unwrap_err(), Unreadable::Malformed);
        // A value is kept as it is written.
        let odd = r#"{"a":1e400,"b":"\ud83d"}"#;
        let read = registration(odd).unwrap();
        assert_eq!(read.state.payload, odd);
    }
}
