//! Requests by what they asked for and how they were answered.
//!
//! What a request asked for is known when it comes, the response code when it is answered, maybe much later. What
//! lies between is kept here for each open exchange, which endpoints bound.

use crate::dtls::SessionId;
use crate::mapping::resource::{NoRoute, Resource};
use crate::upstream::Package;
use coap::{Code, ExchangeId, Method};
use std::collections::BTreeMap;

/// Method and resource, as labels: few of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// "GET", "POST", "other".
    pub method: &'static str,
    /// The resource; never a path as the device wrote it.
    pub resource: &'static str,
}

impl Asked {
    /// What a request asks for.
    pub fn of(method: Method, resource: Result<Resource, NoRoute>) -> Asked {
        Asked {
            method: match method {
                Method::Get => "GET",
                Method::Post => "POST",
                Method::Other => "other",
            },
            resource: match resource {
                Ok(Resource::Telemetry) => "telemetry",
                Ok(Resource::Attributes) => "attributes",
                Ok(Resource::Rpc { id: None }) => "rpc",
                Ok(Resource::Rpc { id: Some(_) }) => "rpc_reply",
                Ok(Resource::Claim) => "claim",
                Ok(Resource::Provision) => "provision",
                Ok(Resource::Package(Package::Firmware)) => "firmware",
                Ok(Resource::Package(Package::Software)) => "software",
                Ok(Resource::WellKnownCore) => "well_known_core",
                Err(NoRoute::NotFound | NoRoute::Malformed(_)) => "unknown",
            },
        }
    }
}

/// How many requests of a kind were answered with a code: no more of these than there are kinds and codes.
pub type Counts = BTreeMap<(Asked, u8), u64>;

/// Requests that are open, and counts of those that were.
#[derive(Debug, Default)]
pub struct Answers {
    open: BTreeMap<(SessionId, ExchangeId), Asked>,
    counts: Counts,
    /// Requests whose session ended before they were answered.
    pub unanswered: u64,
}

impl Answers {
    /// A request has come.
    pub fn asked(&mut self, session: SessionId, exchange: ExchangeId, asked: Asked) {
        self.open.insert((session, exchange), asked);
    }

    /// It is answered.
    pub fn answered(&mut self, session: SessionId, exchange: ExchangeId, code: Code) {
        if let Some(asked) = self.open.remove(&(session, exchange)) {
            *self.counts.entry((asked, code.0)).or_default() += 1;
        }
    }

    /// A session has ended, and nobody is there to be answered.
    pub fn session_gone(&mut self, session: SessionId) {
        let all = (session, ExchangeId(0))..=(session, ExchangeId(u32::MAX));
        while let Some((key, _)) = self.open.range(all.clone()).next() {
            let key = *key;
            self.open.remove(&key);
            self.unanswered += 1;
        }
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Requests that are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_with_its_code_or_as_unanswered() {
        let mut answers = Answers::default();
        let asked = Asked::of(Method::Get, Ok(Resource::Attributes));
        let (one, other) = (SessionId(1), SessionId(2));
        for exchange in 0..3 {
            answers.asked(one, ExchangeId(exchange), asked);
        }
        answers.asked(other, ExchangeId(0), asked);
        answers.answered(one, ExchangeId(1), Code::CONTENT);
        answers.answered(one, ExchangeId(1), Code::CONTENT);
        answers.session_gone(one);
        answers.answered(one, ExchangeId(2), Code::CONTENT);
        assert_eq!((answers.unanswered, answers.open()), (2, 1));
        let expected = Counts::from([((asked, Code::CONTENT.0), 1)]);
        assert_eq!(answers.counts(), &expected);
    }
}
