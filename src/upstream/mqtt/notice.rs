//! What a device's connection reports to the loop.

use super::connection::Kinds;
use bytes::Bytes;

/// To be given back when the device has the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Acknowledgement {
    /// The number of the connection. Packet ids are a connection's own: an acknowledgement from before a reconnection is
    /// dropped.
    pub(crate) connection: u64,
    pub(crate) packet: u16,
}

/// A message of ThingsBoard's to a device, or a change of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// These subscriptions of the connection of this number work now. What changed before is not reported, so all
    /// attributes are to be read. A later connection has a higher number.
    Subscribed(Kinds, u64),
    /// The connection of this number is lost, and no subscription works. They are renewed.
    Interrupted(u64),
    /// Shared attributes have changed: `{"k":v,…}` or `{"deleted":["k",…]}`.
    Attributes {
        body: Bytes,
        /// `None`: none is wanted.
        acknowledgement: Option<Acknowledgement>,
    },
    /// A command, in the form in which HTTP has it: `{"id":…,"method":…,"params":…}`.
    Command {
        id: u32,
        body: Bytes,
        acknowledgement: Option<Acknowledgement>,
    },
    /// Another client uses the device's access token, and has displaced this connection.
    Displaced,
    /// ThingsBoard does not know the access token, or not any more.
    TokenRefused,
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
