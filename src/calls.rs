//! Calls to ThingsBoard: what passes between the sans-IO core and the tasks that make them. What
//! answers a call is an [`Upstream`](crate::upstream::Upstream).
//!
//! | Part | Owns |
//! |---|---|
//! | this page | a call, its ticket and its completion |
//! | [`task`] | one call within its deadline, with one completion whatever happens |
//! | [`parsing`] | requests and answers, parsed in the call's task and not in the loop |

pub(crate) mod parsing;
pub(crate) mod task;

use crate::calls::parsing::Parsed;
use crate::dtls::SessionId;
use crate::mapping::response::AnswerKind;
use crate::ota::CallId;
use crate::relay::{Kind, RelayId};
use crate::upstream;
use coap::ExchangeId;

/// What a call to ThingsBoard is for. Identifies the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ticket {
    /// It answers a device's request.
    Exchange {
        /// The session of the request.
        session: SessionId,
        /// The exchange of that session that waits for the answer.
        exchange: ExchangeId,
        /// How the answer becomes a response.
        expect: AnswerKind,
    },
    /// It serves a relay.
    Relay(RelayId, RelayCall),
    /// It fetches a package.
    Package(CallId),
}

impl Ticket {
    /// Whether the core may abort the call: [`poll_abort`](crate::gateway::core::Core::poll_abort).
    pub fn is_abortable(&self) -> bool {
        match self {
            Ticket::Exchange { expect, .. } => match expect {
                AnswerKind::Attributes | AnswerKind::Registration | AnswerKind::RpcReply => true,
                AnswerKind::Created | AnswerKind::CommandReply(_) | AnswerKind::Provisioned => {
                    false
                }
            },
            Ticket::Relay(..) => self.is_poll(),
            Ticket::Package(_) => false,
        }
    }

    /// Whether it is a long poll.
    pub fn is_poll(&self) -> bool {
        match self {
            Ticket::Relay(_, RelayCall::Poll(..)) => true,
            Ticket::Relay(_, RelayCall::Read(_) | RelayCall::GatewayReply(_))
            | Ticket::Exchange { .. }
            | Ticket::Package(_) => false,
        }
    }
}

/// A call on behalf of a relay. The numbers distinguish a relay's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayCall {
    /// A long poll for changes.
    Poll(Kind, u64),
    /// A GET of all shared attributes.
    Read(u64),
    /// An error as the reply to the command with this id, in the device's place: it can't be delivered, or was not answered.
    GatewayReply(u32),
}

/// A request to send upstream.
#[derive(Debug)]
pub struct Call {
    pub ticket: Ticket,
    pub request: upstream::Request,
}

/// The end of a [`Call`].
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields' names and types say it")]
pub struct Completion {
    pub ticket: Ticket,
    /// The length of the answer's body in bytes.
    pub length: usize,
    pub outcome: Result<Parsed, upstream::Error>,
}
