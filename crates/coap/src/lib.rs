//! CoAP for a server, as pure state machines (RFC 7252, 7641, 7959, 7967, 9175).
//!
//! A [`RemoteEndpoint`] is the CoAP state of one secure session. Datagrams, responses and `now` go
//! in; datagrams, requests and deadlines come out as [`Output`]s. The state belongs to the session
//! and not to its socket address (§9.1.1), which may change
//! ([`path_changed`](RemoteEndpoint::path_changed)).
//!
//! This crate owns the message format, deduplication, retransmission, exchanges, block-wise
//! transfer, observation relations, and the bounds on what they hold. It never reads a clock, opens
//! a socket, starts a task or logs, and it knows neither DTLS nor what a resource is. It does not
//! send requests: it is a server.
//!
//! | Part | Owns |
//! |---|---|
//! | [`message`] | the byte format and what is malformed (§3, §4.1–4.3) |
//! | [`parameters`] | times and bounds (§4.8) |
//! | [`option`] | option numbers, and numbers as option values (§3.2, §12.2) |
//! | [`received`] | which options a request may carry and what they mean (§5.4, §5.10) |
//! | [`request`] | requests and responses as the application handles them |
//! | [`block`] | the Block options (RFC 7959 §2.2) |
//! | [`body`] | how many bytes of bodies may be held, and their ETags |
//! | [`evictable`] | which of them are evicted when others need memory |
//! | [`block1`] | assembling request bodies from blocks (RFC 7959 §2.5, RFC 9175 §3) |
//! | [`block2`] | sending responses in blocks (RFC 7959 §2.4, §2.6) |
//! | [`deduplication`] | recognising duplicates and repeating replies (§4.2, §4.5) |
//! | [`exchange`] | piggybacked or separate (§5.2) |
//! | [`export`] | endpoints as bytes, to restore them after a restart |
//! | [`few`] | lists that take one pointer while they are empty |
//! | [`message_id`] | the Message IDs of what we send (§4.4) |
//! | [`reliability`] | our own Confirmable messages (§4.2, §4.7, §4.8) |
//! | [`observe`] | observation relations (RFC 7641) |
//! | [`code`] | request methods and response codes (§5.9, §12.1) |
//! | [`counters`] | event counters over all endpoints |
//! | [`remote_endpoint`] | all of this for one session |
//!
//! # The life of a message
//!
//! ```text
//!  datagram
//!     │ decode (§3)
//!     ├─ version ≠ 1, or malformed and not Confirmable ──▶ silence          (§3, §4.3)
//!     ├─ malformed and Confirmable ──▶ RST                                  (§4.2)
//!     ├─ empty Confirmable ("ping") ──▶ RST                                 (§4.3)
//!     ├─ ACK or RST ──▶ ends our Confirmable message with that Message ID    (§4.2)
//!     │    └─ ACK that carries a request (go-coap) ──▶ answered as if Non-confirmable
//!     ├─ a response ──▶ we send no requests: RST if Confirmable, else silence  (§4.2, §4.3)
//!     └─ a request
//!         │ a duplicate, byte for byte? (§4.5)
//!         ├─ of a request in progress ──▶ nothing
//!         ├─ of one acknowledged ──▶ the empty ACK again
//!         ├─ of one answered on its ACK ──▶ the same ACK again; but if that was a block of a
//!         │                                 response to GET, it is processed again, as follows
//!         │ options (§5.4)
//!         ├─ critical and not understood ──▶ 4.02, or silence if Non-confirmable
//!         │ blocks (RFC 7959, below)
//!         ├─ asks for a later block of a held response ──▶ that block
//!         ├─ a block of a body, and more follow ──▶ 2.31
//!         ▼
//!      an exchange opens
//!         ├─ max_exchanges are open, or the device has its share of calls
//!         │    ──▶ queued until one ends; 5.03 with Max-Age if the queue is full
//!      the request goes to the application
//!         ├─ answered within piggyback_timeout ──▶ on the ACK                (§5.2.1)
//!         ├─ piggyback_timeout ──▶ empty ACK, then, once answered,
//!         │                        a Confirmable message of our own          (§5.2.2)
//!         │                          ├─ ACK or RST ──▶ done
//!         │                          ├─ sent twice, and the client sends further requests and
//!         │                          │  acknowledges no response ──▶ given up
//!         │                          └─ MAX_RETRANSMIT ──▶ given up          (§4.2)
//!         └─ Non-confirmable ──▶ a Non-confirmable response                  (§5.2.3)
//! ```
//!
//! Messages are remembered for EXCHANGE_LIFETIME (247 s) or NON_LIFETIME (145 s, §4.8.2), so that
//! no duplicate becomes a second request, as long as a client sends no more than 2,048 messages in
//! that time. After that the endpoint holds no heap at all, unless its client observes or a
//! block-wise transfer is under way.
//!
//! # The life of a body
//!
//! Sections are of RFC 7959. A body that does not fit one message is transferred in blocks. The
//! application does not see them: a request has its whole body, and a response may have a body of
//! any size.
//!
//! ```text
//!  a request with Block1: NUM, M, SZX
//!     ├─ SZX 7, or a payload of another length ──▶ 4.00                     (§2.2)
//!     ├─ NUM 0 ──▶ starts the body again, whatever was held                 (§2.5)
//!     ├─ its offset is the end of the held bytes ──▶ appended
//!     │    ├─ too large, or Size1 in block 0 says it will be ──▶ 4.13 with Size1   (§2.9.3, §4)
//!     │    ├─ no memory left ──▶ 5.03 with Max-Age
//!     │    ├─ M ──▶ 2.31                                                    (§2.9.1)
//!     │    └─ the last ──▶ the whole request is processed, once
//!     ├─ already held, the same bytes ──▶ 2.31 again
//!     └─ anything else ──▶ 4.08, and the held bytes stay                    (§2.9.2)
//!
//!  a response larger than a block, or to a request with Block2
//!     ├─ larger than max_response_body ──▶ 5.00
//!     ├─ no memory left, even after eviction ──▶ 5.03 with Max-Age; 5.00 to POST
//!     └─ kept as a snapshot ──▶ one block of it, with ETag                  (§2.4)
//!          a request with NUM > 0
//!             ├─ there is a snapshot ──▶ its block, whatever has changed since
//!             ├─ past its end ──▶ 4.00
//!             ├─ none, POST ──▶ 4.08: no request is carried out twice       (§2.7)
//!             └─ none, GET ──▶ to the application, and the block is taken from its response
//! ```
//!
//! Both ways: a transfer that is unused for ten minutes is dropped. Held bytes count towards their
//! endpoint and towards all endpoints together until the last reference to them is dropped. When
//! the total is reached, the oldest snapshot or unfinished upload of the device that holds most is
//! evicted: the client reads the resource again, or starts the upload again (4.08).
//!
//! # The life of a notification
//!
//! Sections are of RFC 7641, where no other is named. The first notification is the response to the
//! registration, which is sent like any response; the following ones are sent like this:
//!
//! ```text
//!  notify: the newest content of a relation
//!     ├─ larger than max_response_body ──▶ not sent                         TooLarge
//!     │ pending, in place of what was pending before
//!     ├─ larger than a block, and no memory left ──▶ given up               Undelivered
//!     │
//!     │ registered with a Non-confirmable request (§4.5)
//!     ├─ more than one in 3 s, after a burst of 4 ──▶ stays pending until then  (§4.5.1)
//!     ├─ 24 hours without a Confirmable message ──▶ as if Confirmable       (§4.5)
//!     ├─ sent as a Non-confirmable message ──▶ done                         Delivered
//!     │
//!     │ registered with a Confirmable request
//!     ├─ NSTART of this relation are outstanding ──▶ stays pending until one is acknowledged  (RFC 7252 §4.7)
//!     │    then: relations in turn, a ping
//!     ▼
//!  in flight, with the next sequence number (§4.4): all of it, or block 0 (RFC 7959 §2.6)
//!     ├─ ACK ──▶ done                                                       Delivered
//!     ├─ RST ──▶ the relation ends (§3.6)                                   Cancelled
//!     └─ timeout
//!         ├─ nothing newer is pending ──▶ the same bytes again              (RFC 7252 §4.2)
//!         ├─ newer content is pending ──▶ that in its place: another Message ID and
//!         │                               sequence number, the same count and timeout  (§4.5.2)
//!         └─ MAX_RETRANSMIT ──▶ given up; the relation stays                Undelivered
//! ```
//!
//! A late Reset, of a notification that was Non-confirmable or superseded, ends the relation too:
//! the last eight Message IDs of each relation are remembered.

#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        reason = "a test may say \"anything else is wrong\"; the code itself is linted without cfg(test)"
    )
)]

mod block;
mod block1;
mod block2;
mod body;
mod code;
mod counters;
mod deduplication;
mod evictable;
mod exchange;
mod export;
mod few;
mod message;
mod message_id;
mod observe;
pub mod option;
mod parameters;
mod received;
mod reliability;
mod remote_endpoint;
mod request;

pub use block::{Block, largest_szx};
pub use body::{Bodies, ETag};
pub use code::{Class, Code};
pub use counters::Counters;
pub use deduplication::EXCHANGE_LIFETIME;
pub use evictable::Holder;
pub use exchange::ExchangeId;
pub use export::{Extent, RestoreError};
pub use message::{Message, Token, Type, Undecodable};
pub use observe::relation::{Notification, ObservationId};
pub use parameters::Parameters;
pub use received::{BadOption, Received};
pub use remote_endpoint::{Context, Output, RemoteEndpoint};
pub use request::{Method, Observe, Request, Response};
