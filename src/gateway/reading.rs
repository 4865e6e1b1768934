//! What is read of requests and answers in the task that makes the call, so that the loop never works on bytes whose
//! number a device, a rule chain or ThingsBoard has chosen.
//!
//! The loop moves what comes of it from one place to another: a response, a map of attributes, a command.

use super::call::{Call, Completion, Errand, Ticket};
use super::client_rpc;
use super::relay::command_queue::Command;
use super::relay::shared::{self, Unreadable, Update, Values};
use super::relay::{Brought, Kind};
use super::translate::{self, Expect};
use crate::coap::Response;
use crate::upstream::{Answer, Error, Operation, Request};
use bytes::Bytes;

/// The attributes with which an observation begins.
#[derive(Debug)]
pub struct Registration {
    /// The shared ones.
    pub values: Values,
    /// The same as one flat JSON object.
    pub state: Bytes,
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
            } => Reading::Registration(shared::read_answer(body).map(|values| {
                let state = shared::flat(&values);
                Registration { values, state }
            })),
            Ticket::Exchange { expect, .. } => {
                Reading::Response(translate::accepted(*expect, answer.body))
            }
            Ticket::Relay(_, Errand::Poll(Kind::Attributes, _)) => {
                Reading::Poll(Brought::Update(Update::read(body)))
            }
            Ticket::Relay(_, Errand::Poll(Kind::Commands, _)) => {
                Reading::Poll(Brought::Command(Command::read(answer.body)))
            }
            Ticket::Relay(_, Errand::Read(_)) => Reading::Attributes(shared::read_answer(body)),
            Ticket::Relay(_, Errand::Refusal(_)) | Ticket::Package(_) => Reading::Answer(answer),
        }
    }
}

/// A task reads for what its own ticket says, so a reading is never of another kind.
const MISREAD: Error = Error::Unintelligible("it was read for something else");

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
