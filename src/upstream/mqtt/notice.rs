//! What a device's connection reports to the loop.

use super::connection::Numbers;
use bytes::Bytes;

/// To be given back when the device has the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Acknowledgement {
    /// Packet ids are a connection's own: an acknowledgement is dropped when its connection has ended. A later connection has a
    /// higher number.
    pub(crate) connection: u64,
    pub(crate) packet: u16,
}

/// A message of ThingsBoard's to a device, or a change of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The subscriptions with these numbers work now. Earlier changes may be missed, so all attributes are to be read.
    Subscribed { numbers: Numbers, connection: u64 },
    /// The connection is lost or could not be opened, so no subscription works. They are requested again on the next one.
    Interrupted { connection: u64 },
    /// Shared attributes have changed: `{"k":v,…}` or `{"deleted":["k",…]}`.
    Attributes {
        body: Bytes,
        acknowledgement: Acknowledgement,
    },
    /// A command, in the form in which HTTP has it: `{"id":…,"method":…,"params":…}`.
    Command {
        id: u32,
        body: Bytes,
        acknowledgement: Acknowledgement,
    },
    /// Another client uses the device's access token, and has displaced this connection.
    Displaced,
    /// ThingsBoard has closed the connection over a rate limit, or for a failure that looks like one.
    RateLimited,
    /// ThingsBoard does not know the access token, or not any more. The subscriptions are dropped.
    TokenRefused,
}

/// Bodies above this are not parsed in the loop's thread, in which the connections are: 8 KiB take some 0.1 ms.
const LARGE: usize = 8 * 1024;

impl Notice {
    /// Whether its body takes long to parse.
    pub(super) fn is_large(&self) -> bool {
        match self {
            Notice::Attributes { body, .. } | Notice::Command { body, .. } => body.len() > LARGE,
            Notice::Subscribed { .. }
            | Notice::Interrupted { .. }
            | Notice::Displaced
            | Notice::RateLimited
            | Notice::TokenRefused => false,
        }
    }
}

/// A command with its id, as HTTP has it. Over MQTT the id is in the topic.
pub(super) fn command_body(id: u32, payload: &Bytes) -> Bytes {
    let Some(members) = payload.trim_ascii_start().strip_prefix(b"{") else {
        return payload.clone();
    };
    let is_empty = members.trim_ascii_start().starts_with(b"}");
    let separator = if is_empty { "" } else { "," };
    let begin = format!("{{\"id\":{id}{separator}");
    [begin.as_bytes(), members].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_its_id_as_over_http() {
        for (payload, body) in [
            (
                r#"{"method":"m","params":{"a":1}}"#,
                r#"{"id":7,"method":"m","params":{"a":1}}"#,
            ),
            (" { }", r#"{"id":7 }"#),
            ("5", "5"),
            ("", ""),
        ] {
            assert_eq!(command_body(7, &Bytes::from(payload)), body);
        }
    }
}
