//! How changes of a device's shared attributes, and commands for it (server-side RPC), come from ThingsBoard.
//!
//! | File | Holds |
//! |---|---|
//! | [`message`] | what ThingsBoard sends, parsed outside of the I/O loop |
//! | [`attribute_json`] | its JSON for shared attributes, both ways |
//! | [`command`] | a command |
//! | [`polling`] | HTTP long polls |

pub(crate) mod attribute_json;
mod command;
mod message;
pub(crate) mod polling;

pub(crate) use command::Command;
pub(crate) use message::PollMessage;

/// What can be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `api/v1/attributes`
    Attributes,
    /// `api/v1/rpc`
    Commands,
}

/// When the relay requests changes from ThingsBoard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By one long poll after the other, as long as the device is live.
    LongPoll,
    /// After each message of the device.
    OnUplink,
}
