//! What is read of requests and answers in the task that makes the call, so that the loop never works on bytes whose
//! number a device, a rule chain or ThingsBoard has chosen.
//!
//! The loop moves what comes of it from one place to another: a response, a map of attributes, a command.

use super::call::{Call, Completion, Errand, Ticket};
use crate::mapping::client_rpc;
use crate::mapping::translate;
use crate::mapping::translate::Expect;
use crate::relay::command_queue::Command;
use crate::relay::shared_attributes;
use crate::relay::shared_attributes::{Unreadable, Update, Values};
use crate::relay::{Brought, Kind};
use crate::upstream::{Answer, Error, Operation, Request};
use coap::option::content_format::JSON;
use coap::{ETag, Response};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// The attributes with which an observation begins.
#[derive(Debug)]
pub struct Registration {
    /// The shared ones.
    pub values: Values,
    /// The same as one flat JSON object.
    pub state: Response,
}

/// Bodies up to so many bytes are never cut into blocks, and need no ETag (RFC 7959 §2.4).
const WHOLE: usize = 1024;

/// By what secret bodies are told apart, for as long as the process lives.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The response with an ETag if it will go out in blocks: hashing a body is not for the loop.
fn tagged(response: Response) -> Response {
    let etag = (response.code.is_success() && response.payload.len() > WHOLE)
        .then(|| SECRET.hash_one((response.content_format, &response.payload)))
        .and_then(|hash| ETag::new(&hash.to_be_bytes()));
    Response { etag, ..response }
}

/// What an answer of ThingsBoard's says.
#[derive(Debug)]
pub enum Reading {
    /// The response to a device's request.
    Response(Response),
    /// The response to a request that ThingsBoard would have refused: it was not sent.
    NotSent(Response),
    /// What an observation of attributes begins with.
    Registration(Result<Registration, Unreadable>),
    /// What a poll has brought.
    Poll(Brought),
    /// The shared attributes, as a relay has read them.
    Attributes(Result<Values, Unreadable>),
    /// Not looked at.
    Answer(Answer),
}

impl Reading {
    fn of(ticket: &Ticket, answer: Answer) -> Reading {
        let body = &answer.body;
        match ticket {
            Ticket::Exchange {
                expect: Expect::Registration,
                ..
            } => Reading::Registration(shared_attributes::read_answer(body).map(|values| {
                let state = tagged(Response::content(JSON, shared_attributes::flat(&values)));
                Registration { values, state }
            })),
            Ticket::Exchange { expect, .. } => {
                Reading::Response(tagged(translate::accepted(*expect, answer.body)))
            }
            Ticket::Relay(_, Errand::Poll(Kind::Attributes, _)) => {
                Reading::Poll(Brought::Update(Update::read(body)))
            }
            Ticket::Relay(_, Errand::Poll(Kind::Commands, _)) => {
                Reading::Poll(Brought::Command(Command::read(answer.body)))
            }
            Ticket::Relay(_, Errand::Read(_)) => {
                Reading::Attributes(shared_attributes::read_answer(body))
            }
            Ticket::Relay(_, Errand::Refusal(_)) | Ticket::Package(_) => Reading::Answer(answer),
        }
    }
}

/// A task reads for what its own ticket says, so a reading is never of another kind.
const MISREAD: Error =
    Error::Unintelligible("it was read as the answer to another kind of request");

impl Reading {
    /// What a poll has brought.
    pub fn poll(self) -> Result<Brought, Error> {
        match self {
            Reading::Poll(brought) => Ok(brought),
            Reading::Response(_)
            | Reading::NotSent(_)
            | Reading::Registration(_)
            | Reading::Attributes(_)
            | Reading::Answer(_) => Err(MISREAD),
        }
    }

    /// The attributes that a relay has read.
    pub fn attributes(self) -> Result<Result<Values, Unreadable>, Error> {
        match self {
            Reading::Attributes(values) => Ok(values),
            Reading::Response(_)
            | Reading::NotSent(_)
            | Reading::Registration(_)
            | Reading::Poll(_)
            | Reading::Answer(_) => Err(MISREAD),
        }
    }

    /// An answer that was not looked at.
    pub fn answer(self) -> Result<Answer, Error> {
        match self {
            Reading::Answer(answer) => Ok(answer),
            Reading::Response(_)
            | Reading::NotSent(_)
            | Reading::Registration(_)
            | Reading::Poll(_)
            | Reading::Attributes(_) => Err(MISREAD),
        }
    }
}

impl Completion {
    /// Reads what came of a call. To be called in the call's own task.
    pub fn read(ticket: Ticket, outcome: Result<Answer, Error>) -> Completion {
        let length = outcome.as_ref().map_or(0, |answer| answer.body.len());
        Completion {
            ticket,
            length,
            outcome: outcome.map(|answer| Reading::of(&ticket, answer)),
        }
    }

    /// A call that is not made.
    fn not_sent(ticket: Ticket, response: Response) -> Completion {
        Completion {
            ticket,
            length: 0,
            outcome: Ok(Reading::NotSent(response)),
        }
    }
}

impl Call {
    /// The request as ThingsBoard wants it; or what is answered at once where it would only be refused. To be called in
    /// the call's own task.
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
            other @ (Request::Device { .. } | Request::Provision { .. }) => other,
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

    fn read(expect: Expect, body: impl Into<Bytes>) -> Reading {
        let ticket = Ticket::Exchange {
            session: SessionId(1),
            exchange: ExchangeId(1),
            expect,
        };
        let body = body.into();
        let completion = Completion::read(ticket, Ok(Answer { body: body.clone() }));
        assert_eq!(completion.length, body.len());
        completion.outcome.unwrap()
    }

    fn registration(shared: &str) -> Result<Registration, Unreadable> {
        match read(Expect::Registration, format!("{{\"shared\":{shared}}}")) {
            Reading::Registration(registration) => registration,
            other => panic!("{other:?}"),
        }
    }

    fn object(keys: usize) -> String {
        let members: Vec<String> = (0..keys).map(|key| format!("\"k{key}\":1")).collect();
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn what_goes_out_in_blocks_has_its_etag_when_the_loop_gets_it() {
        let etag = |body: &str| match read(Expect::Attributes, body.to_owned()) {
            Reading::Response(response) => response.etag,
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
    fn an_observation_has_so_many_attributes_and_no_more() {
        let read = registration(&object(2048)).unwrap();
        assert_eq!(read.values.len(), 2048);
        let too_many = registration(&object(2049)).unwrap_err();
        assert_eq!(too_many, Unreadable::TooMany);
        assert_eq!(registration("[]").unwrap_err(), Unreadable::Nonsense);
        // A value is kept as it is written.
        let odd = r#"{"a":1e400,"b":"\ud83d"}"#;
        let read = registration(odd).unwrap();
        assert_eq!(read.state.payload, odd);
    }
}
