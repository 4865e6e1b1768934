//! Requests by resource and response code.
//!
//! The resource is known when a request is received, the code when it is answered, perhaps much later. Meanwhile the labels
//! of each open exchange are kept here; endpoints bound the number of exchanges.

use crate::dtls::SessionId;
use crate::mapping::path::NoRoute;
use crate::mapping::resource::Resource;
use coap::{Code, ExchangeId, Method};
use std::collections::BTreeMap;

/// Method and resource, as labels: few of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestLabels {
    /// `GET`, `POST`, `other`.
    pub method: &'static str,
    /// The resource's name; never a path that a device chose.
    pub resource: &'static str,
}

impl RequestLabels {
    pub fn of(method: Method, resource: Result<Resource, NoRoute>) -> RequestLabels {
        RequestLabels {
            method: match method {
                Method::Get => "GET",
                Method::Post => "POST",
                Method::Other => "other",
            },
            resource: resource.map_or("unknown", Resource::label),
        }
    }
}

/// The number of requests by labels and response code.
pub(crate) type Counts = BTreeMap<(RequestLabels, u8), u64>;

/// Open requests, and counts of answered ones.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    open: BTreeMap<(SessionId, ExchangeId), RequestLabels>,
    counts: Counts,
    /// Requests whose session ended before they were answered.
    pub unanswered: u64,
}

impl Answers {
    pub(crate) fn request(
        &mut self,
        session: SessionId,
        exchange: ExchangeId,
        labels: RequestLabels,
    ) {
        self.open.insert((session, exchange), labels);
    }

    /// Counts a request with its response code.
    pub(crate) fn answered(&mut self, session: SessionId, exchange: ExchangeId, code: Code) {
        if let Some(labels) = self.open.remove(&(session, exchange)) {
            *self.counts.entry((labels, code.0)).or_default() += 1;
        }
    }

    /// Counts the open requests of a session that has ended as unanswered.
    pub(crate) fn session_gone(&mut self, session: SessionId) {
        let all = (session, ExchangeId(0))..=(session, ExchangeId(u32::MAX));
        while let Some((key, _)) = self.open.range(all.clone()).next() {
            let key = *key;
            self.open.remove(&key);
            self.unanswered += 1;
        }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The number of open requests.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_with_its_code_or_as_unanswered() {
        let mut answers = Answers::default();
        let labels = RequestLabels::of(Method::Get, Ok(Resource::Attributes));
        let (one, other) = (SessionId(1), SessionId(2));
        for exchange in 0..3 {
            answers.request(one, ExchangeId(exchange), labels);
        }
        answers.request(other, ExchangeId(0), labels);
        answers.answered(one, ExchangeId(1), Code::CONTENT);
        answers.answered(one, ExchangeId(1), Code::CONTENT);
        answers.session_gone(one);
        answers.answered(one, ExchangeId(2), Code::CONTENT);
        assert_eq!((answers.unanswered, answers.open()), (2, 1));
        let expected = Counts::from([((labels, Code::CONTENT.0), 1)]);
        assert_eq!(answers.counts(), &expected);
    }
}
