//! The frames: what they say, as bytes.

use crate::id::{AddressKey, Name, SessionKey};
use crate::path::{Path, Reader};

const FORWARD: u8 = 1;
const RECEIVED: u8 = 2;
const NOT_HELD: u8 = 3;
const SEND: u8 = 4;
const ASK: u8 = 5;
const PROMISE: u8 = 6;
const BY_SESSION: u8 = 1;
const BY_ADDRESS: u8 = 2;

/// What one node sends to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A datagram for a session of the receiver.
    Forward {
        /// Of the sender: the answer has it.
        id: u64,
        name: Name,
        path: Path,
        datagram: Vec<u8>,
    },
    /// The receiver has that session, and the datagram.
    Received { id: u64 },
    /// The receiver doesn't have that session.
    NotHeld { id: u64 },
    /// A datagram that the receiver is to send to a peer from its socket.
    Send { path: Path, datagram: Vec<u8> },
    /// The sender can't reach the store. If the receiver can't either, it is to promise to take nothing over for a while. It has the
    /// fencing number that the sender knows of: the store may have given it another one, and the reply was lost.
    Ask { id: u64, fence: u64 },
    /// That promise. It holds for the time in the settings, from when the request was received.
    Promise { id: u64 },
}

impl Frame {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Frame::Forward {
                id,
                name,
                path,
                datagram,
            } => {
                put(&mut out, FORWARD, *id);
                let (by, name) = match name {
                    Name::Session(SessionKey(key)) => (BY_SESSION, key),
                    Name::Address(AddressKey(key)) => (BY_ADDRESS, key),
                };
                out.push(by);
                out.extend_from_slice(name);
                path.encode(&mut out);
                out.extend_from_slice(datagram);
            }
            Frame::Received { id } => put(&mut out, RECEIVED, *id),
            Frame::NotHeld { id } => put(&mut out, NOT_HELD, *id),
            Frame::Send { path, datagram } => {
                out.push(SEND);
                path.encode(&mut out);
                out.extend_from_slice(datagram);
            }
            Frame::Ask { id, fence } => {
                put(&mut out, ASK, *id);
                out.extend_from_slice(&fence.to_be_bytes());
            }
            Frame::Promise { id } => put(&mut out, PROMISE, *id),
        }
        out
    }

    /// `None`: it is malformed, or of another version of the gateway.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Frame> {
        let mut reader = Reader(bytes);
        let frame = match reader.byte()? {
            FORWARD => {
                let id = u64::from_be_bytes(reader.array()?);
                let by = reader.byte()?;
                let key = reader.array()?;
                let name = match by {
                    BY_SESSION => Name::Session(SessionKey(key)),
                    BY_ADDRESS => Name::Address(AddressKey(key)),
                    _ => return None,
                };
                let path = Path::decode(&mut reader)?;
                let datagram = reader.0.to_vec();
                return Some(Frame::Forward {
                    id,
                    name,
                    path,
                    datagram,
                });
            }
            SEND => {
                let path = Path::decode(&mut reader)?;
                let datagram = reader.0.to_vec();
                return Some(Frame::Send { path, datagram });
            }
            kind => {
                let id = u64::from_be_bytes(reader.array()?);
                match kind {
                    RECEIVED => Frame::Received { id },
                    NOT_HELD => Frame::NotHeld { id },
                    ASK => Frame::Ask {
                        id,
                        fence: u64::from_be_bytes(reader.array()?),
                    },
                    PROMISE => Frame::Promise { id },
                    _ => return None,
                }
            }
        };
        reader.0.is_empty().then_some(frame)
    }
}

fn put(out: &mut Vec<u8>, kind: u8, id: u64) {
    out.push(kind);
    out.extend_from_slice(&id.to_be_bytes());
}
