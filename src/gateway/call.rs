//! What passes between the core and the tasks that call upstream.

use super::reading::Reading;
use crate::dtls::SessionId;
use crate::mapping::translate::Expect;
use crate::ota::CallId;
use crate::relay::{Kind, RelayId};
use crate::upstream;
use coap::ExchangeId;

/// What a call to upstream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ticket {
    /// It answers a device's request.
    Exchange {
        /// Whose.
        session: SessionId,
        /// Which.
        exchange: ExchangeId,
        /// What a 200 becomes.
        expect: Expect,
    },
    /// A relay asks.
    Relay(RelayId, Errand),
    /// The cache of packages asks.
    Package(CallId),
}

impl Ticket {
    /// Whether the core may give the call up before its end: [`poll_abort`](super::core::Core::poll_abort).
    pub fn may_be_given_up(&self) -> bool {
        match self {
            Ticket::Exchange { expect, .. } => match expect {
                Expect::Attributes | Expect::Registration | Expect::RpcReply => true,
                Expect::Created | Expect::CommandReply(_) | Expect::Provisioned => false,
            },
            Ticket::Relay(..) => self.is_poll(),
            Ticket::Package(_) => false,
        }
    }

    /// Whether the call may take longer than anybody wants it.
    pub fn is_poll(&self) -> bool {
        match self {
            Ticket::Relay(_, Errand::Poll(..)) => true,
            Ticket::Relay(_, Errand::Read(_) | Errand::Refusal(_))
            | Ticket::Exchange { .. }
            | Ticket::Package(_) => false,
        }
    }
}

/// What a relay asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Errand {
    /// News, by a long poll of this number.
    Poll(Kind, u64),
    /// All attributes, by a read of this number.
    Read(u64),
    /// Nothing: it tells that the command of this id can't be delivered.
    Refusal(u32),
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
    /// Bytes of the answer's body.
    pub length: usize,
    /// What upstream's answer says.
    pub outcome: Result<Reading, upstream::Error>,
}
