//! What passes between the core and the tasks that call upstream.

use super::translate::Expect;
use crate::coap::ExchangeId;
use crate::dtls::SessionId;
use crate::upstream;

/// Which request a call to upstream answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub(super) session: SessionId,
    pub(super) exchange: ExchangeId,
    pub(super) expect: Expect,
}

/// A request to send upstream.
#[derive(Debug)]
pub struct Call {
    /// Comes back with the completion.
    pub ticket: Ticket,
    /// What to ask.
    pub request: upstream::Request,
}

/// What came of a [`Call`].
#[derive(Debug)]
pub struct Completion {
    /// The call's.
    pub ticket: Ticket,
    /// Upstream's answer.
    pub outcome: Result<upstream::Answer, upstream::Error>,
}
