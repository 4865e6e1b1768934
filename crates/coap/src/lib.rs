//! What CoAP's bytes and times mean for one remote endpoint (RFC 7252).
//!
//! Pure state machines: bytes, responses and `now` go in; datagrams, requests and deadlines come out.
//! Everything is per secure session, never per socket address (RFC 7252 §9.1.1): the session's
//! address may change under it.
//!
//! | Part | Owns |
//! |---|---|
//! | [`message`] | the byte format and what is malformed (§3, §4.1–4.3) |
//! | [`parameters`] | times and bounds (§4.8) |
//! | [`option`] | option numbers, and numbers as option values (§3.2, §12.2) |
//! | [`received`] | which options a request may carry and what they mean (§5.4, §5.10) |
//! | [`request`] | requests and responses as the gateway handles them |
//! | [`block`] | the Block options (RFC 7959 §2.2) |
//! | [`body`] | how many bytes of bodies may be held, and their tags |
//! | [`evictable`] | what of them gives way when others need the room |
//! | [`block1`] | bodies that come in blocks, put together (RFC 7959 §2.5, RFC 9175 §3) |
//! | [`block2`] | responses that go out in blocks (RFC 7959 §2.4, §2.6) |
//! | [`deduplication`] | recognising duplicates and repeating replies (§4.2, §4.5) |
//! | [`exchange`] | piggybacked or separate (§5.2) |
//! | [`message_id`] | the Message IDs of what we send (§4.4) |
//! | [`reliability`] | our own Confirmable messages (§4.2, §4.7, §4.8) |
//! | [`observe`] | relations with clients that observe (RFC 7641) |
//! | [`code`] | request methods and response codes (§5.9, §12.1) |
//! | [`counters`] | what all endpoints count |
//! | [`remote_endpoint`] | the whole, for one session |
//!
//! # The life of a message
//!
//! ```text
//!  datagram
//!     │ decode (§3)
//!     ├─ version ≠ 1, or malformed and not Confirmable ──▶ silence          (§3, §4.3)
//!     ├─ malformed and Confirmable ──▶ RST                                  (§4.2)
//!     ├─ empty Confirmable ("ping") ──▶ RST                                 (§4.3)
//!     ├─ ACK or RST ──▶ ends the Confirmable message of ours it names       (§4.2)
//!     │    └─ ACK with a request in it (go-coap) ──▶ that is answered, as if Non-confirmable
//!     ├─ a response ──▶ nobody asked: RST if Confirmable, else silence      (§4.2, §4.3)
//!     └─ a request
//!         │ a copy, byte for byte? (§4.5)
//!         ├─ of one in progress ──▶ nothing
//!         ├─ of one acknowledged ──▶ the empty ACK again
//!         ├─ of one answered on its ACK ──▶ the same ACK again; if that was a block of a
//!         │                                 response to GET, on from here
//!         │ options (§5.4)
//!         ├─ critical and not understood ──▶ 4.02, or silence if Non-confirmable
//!         │ blocks (RFC 7959, below)
//!         ├─ a later block of a response that is held ──▶ that block
//!         ├─ a block of a body, and more are to come ──▶ 2.31
//!         ▼
//!      an exchange opens
//!         ├─ max_exchanges are open, or the device has its share of calls
//!         │    ──▶ it waits for one to end; 5.03 with Max-Age if `queue` wait
//!      the request goes to the gateway
//!         ├─ answered within piggyback_timeout ──▶ on the ACK                (§5.2.1)
//!         ├─ piggyback_timeout ──▶ empty ACK, then, once answered,
//!         │                        a Confirmable message of our own          (§5.2.2)
//!         │                          ├─ ACK or RST ──▶ done
//!         │                          ├─ sent twice, and the client sends requests and
//!         │                          │  acknowledges no response ──▶ given up
//!         │                          └─ MAX_RETRANSMIT ──▶ given up          (§4.2)
//!         └─ Non-confirmable ──▶ a Non-confirmable response                  (§5.2.3)
//! ```
//!
//! What was answered is remembered for EXCHANGE_LIFETIME (247 s) or NON_LIFETIME (145 s, §4.8.2), so
//! that no message becomes a second request, as long as a client sends no more than 4,096 in that time; then
//! the endpoint holds no heap at all, unless its client observes or bodies are under way.
//!
//! # The life of a body
//!
//! Sections of RFC 7959. What does not fit one message travels in blocks, and the gateway sees none of
//! that: a request has all of its body, and a response may have one of any size.
//!
//! ```text
//!  a request with Block1: NUM, M, SZX
//!     ├─ SZX 7, or a payload of another length ──▶ 4.00                     (§2.2)
//!     ├─ NUM 0 ──▶ begins anew, whatever was held                           (§2.5)
//!     ├─ its offset is where what is held ends ──▶ held
//!     │    ├─ too large, or at block 0 Size1 says it will be ──▶ 4.13 with Size1   (§2.9.3, §4)
//!     │    ├─ no room ──▶ 5.03 with Max-Age
//!     │    ├─ M ──▶ 2.31                                                    (§2.9.1)
//!     │    └─ the last ──▶ the whole request goes on, once
//!     ├─ held already, the same bytes ──▶ 2.31 again
//!     └─ anything else ──▶ 4.08, and what is held stays                     (§2.9.2)
//!
//!  a response larger than a block, or to a request with Block2
//!     ├─ larger than max_response_body ──▶ 5.00
//!     ├─ no room, though whoever keeps most has given up its oldest ──▶ 5.03 with Max-Age; 5.00 to POST
//!     └─ a snapshot ──▶ one block of it, with ETag                          (§2.4)
//!          a request with NUM > 0
//!             ├─ there is a snapshot ──▶ its block, whatever has changed since
//!             ├─ past its end ──▶ 4.00
//!             ├─ none, POST ──▶ 4.08: nothing is done twice                 (§2.7)
//!             └─ none, GET ──▶ to the gateway, whose response is cut there
//! ```
//!
//! Both ways: what is untouched for ten minutes is forgotten; bytes held count towards their endpoint
//! and towards all, until the last reference to them goes. When all may hold no more, the device that keeps most gives up
//! its oldest snapshot or unfinished upload: one can be read anew, the other begun again (4.08).
//!
//! # The life of a notification
//!
//! Sections of RFC 7641, where no other is named. The first is the answer to the registration, which
//! goes the way of any response; those that follow go this way:
//!
//! ```text
//!  notify: the newest content of a relation
//!     ├─ larger than max_response_body ──▶ not sent                         TooLarge
//!     │ pending; what was pending before is gone
//!     ├─ larger than a block, and no room for it ──▶ given up               Undelivered
//!     │
//!     │ registered with a Non-confirmable request (§4.5)
//!     ├─ more than one in 3 s, after a burst of 4 ──▶ stays pending till then  (§4.5.1)
//!     ├─ 24 hours without a Confirmable message ──▶ as if Confirmable       (§4.5)
//!     ├─ sent as a Non-confirmable message ──▶ done                         Delivered
//!     │
//!     │ registered with a Confirmable request
//!     ├─ NSTART of this relation are outstanding ──▶ stays pending till one is not  (RFC 7252 §4.7)
//!     │    then: relations in turn, a ping
//!     ▼
//!  in flight, with the next sequence number (§4.4): all of it, or block 0 (RFC 7959 §2.6)
//!     ├─ ACK ──▶ done                                                       Delivered
//!     ├─ RST ──▶ the relation is gone (§3.6)                                Cancelled
//!     └─ timeout
//!         ├─ nothing newer is pending ──▶ the same bytes again              (RFC 7252 §4.2)
//!         ├─ newer content is pending ──▶ that in its place: another Message ID and
//!         │                               sequence number, the same count and timeout  (§4.5.2)
//!         └─ MAX_RETRANSMIT ──▶ given up; the relation stands still         Undelivered
//! ```
//!
//! A late Reset, of what was Non-confirmable or superseded, ends the relation too: the last eight
//! Message IDs of each are remembered.

pub mod block;
pub mod block1;
pub mod block2;
pub mod body;
pub mod code;
pub mod counters;
pub mod deduplication;
pub mod evictable;
pub mod exchange;
pub mod message;
pub mod message_id;
pub mod observe;
pub mod option;
pub mod parameters;
pub mod received;
pub mod reliability;
pub mod remote_endpoint;
pub mod request;

pub use block::Block;
pub use body::{Bodies, ETag};
pub use code::{Class, Code};
pub use counters::Counters;
pub use evictable::Holder;
pub use exchange::ExchangeId;
pub use message::{Message, Token, Type, Undecodable};
pub use observe::relation::{Notification, ObservationId};
pub use parameters::Parameters;
pub use remote_endpoint::{Context, Output, RemoteEndpoint};
pub use request::{Method, Observe, Request, Response};
