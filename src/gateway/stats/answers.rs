//! Requests by resource and response code.
//!
//! The resource is known when a request is received, the code when it is answered, perhaps much later. Meanwhile its labels
//! are kept by its [`Peer`](crate::gateway::sessions::Peer).

use crate::mapping::path::NoRoute;
use crate::mapping::resource::Resource;
use coap::{Code, Method};
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

/// The number of open requests, and counts of answered ones.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    open: usize,
    counts: Counts,
    /// Requests whose session ended before they were answered.
    pub unanswered: u64,
}

impl Answers {
    /// Counts a request that is not answered yet.
    pub(crate) fn opened(&mut self) {
        self.open += 1;
    }

    /// Counts an open request with its response code.
    pub(crate) fn answered(&mut self, labels: RequestLabels, code: Code) {
        self.open = self.open.saturating_sub(1);
        *self.counts.entry((labels, code.0)).or_default() += 1;
    }

    /// Counts this many open requests of a session that has ended as unanswered.
    pub(crate) fn session_ended(&mut self, requests: usize) {
        self.open = self.open.saturating_sub(requests);
        self.unanswered += u64::try_from(requests).unwrap_or(u64::MAX);
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The number of open requests.
    pub(crate) fn open(&self) -> usize {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_with_its_code_or_as_unanswered() {
        let mut answers = Answers::default();
        let labels = RequestLabels::of(Method::Get, Ok(Resource::Attributes));
        for _ in 0..4 {
            answers.opened();
        }
        answers.answered(labels, Code::CONTENT);
        assert_eq!((answers.unanswered, answers.open()), (0, 3));
        answers.session_ended(2);
        assert_eq!((answers.unanswered, answers.open()), (2, 1));
        let expected = Counts::from([((labels, Code::CONTENT.0), 1)]);
        assert_eq!(answers.counts(), &expected);
    }
}
