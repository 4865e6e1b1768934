//! A command (server-side RPC) as ThingsBoard sends it.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The first bytes of a command's SHA-256. It is the same in every process, as commands outlive one, and long enough that no
/// one can make two commands with the same.
pub(crate) type CommandHash = [u8; 16];

fn hash(body: &[u8]) -> CommandHash {
    let digest = digest(&SHA256, body);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// A command as ThingsBoard sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub id: u32,
    /// `{"id":…,"method":…,"params":…}`, byte for byte.
    pub body: Bytes,
    /// Of the body, so that it need not be kept to recognise the command.
    pub(crate) hash: CommandHash,
}

impl Command {
    /// Parses ThingsBoard's answer to a poll for commands; `None` if it is no JSON object, or has no id that a device could
    /// reply to. Not to be called in the I/O loop.
    pub fn read(body: Bytes) -> Option<Command> {
        Some(Command {
            id: id(&body)?,
            hash: hash(&body),
            body,
        })
    }
}

/// The id of a command: a whole number that ThingsBoard's `int` holds, as `rpc/{id}` takes it.
fn id(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct WithId {
        id: u32,
    }
    // serde would take an array for a struct, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let with_id: WithId = serde_json::from_slice(body).ok()?;
    i32::try_from(with_id.id).is_ok().then_some(with_id.id)
}

/// The largest id that a command can have: ThingsBoard's `int`.
const MAX_ID: u32 = i32::MAX.unsigned_abs();

impl Command {
    /// A command as ThingsBoard pushes it: its id is in the topic, and the body has only method and parameters. Devices get
    /// the id as the first member of the body, as in an answer to a poll. `None` if it is no JSON object. Not to be called in
    /// the I/O loop.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "for tests: a connection's task adds the id itself, and then calls `read`"
        )
    )]
    pub(crate) fn pushed(id: u32, body: &[u8]) -> Option<Command> {
        let inner = body.trim_ascii().strip_prefix(b"{")?;
        let _: IgnoredAny = serde_json::from_slice(body).ok()?;
        let is_empty = inner.trim_ascii_start().starts_with(b"}");
        let first = format!("{{\"id\":{id}{}", if is_empty { "" } else { "," });
        let body = Bytes::from([first.as_bytes(), inner].concat());
        (id <= MAX_ID).then(|| Command {
            id,
            hash: hash(&body),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_command_gets_its_id_as_the_first_member() {
        for (body, expected) in [
            (
                r#"{"method":"m","params":1.0e2}"#,
                r#"{"id":7,"method":"m","params":1.0e2}"#,
            ),
            (" { \"method\":\"m\"}\n", r#"{"id":7, "method":"m"}"#),
            ("{ }", r#"{"id":7 }"#),
        ] {
            let command = Command::pushed(7, body.as_bytes()).unwrap();
            assert_eq!((command.id, &command.body[..]), (7, expected.as_bytes()));
            assert_eq!(Command::read(command.body.clone()), Some(command));
        }
        for body in ["", "[]", "7", "{", "{}}", "{\"a\"}", "\u{0}"] {
            assert_eq!(Command::pushed(7, body.as_bytes()), None, "{body:?}");
        }
        assert_eq!(Command::pushed(MAX_ID + 1, b"{}"), None);
    }

    #[test]
    fn a_body_without_an_id_is_no_command() {
        for body in [
            &b""[..],
            b"[]",
            b"[7]",
            b"7",
            b"{",
            b"{}",
            br#"{"id":-1}"#,
            br#"{"id":2147483648}"#,
            br#"{"id":"7"}"#,
            br#"{"id":1.5}"#,
            br#"{"id":null,"method":"m"}"#,
            b"\xff\xfe",
            br#"{"id":1} {"id":2}"#,
        ] {
            let read = Command::read(Bytes::copy_from_slice(body));
            assert_eq!(read, None, "{body:?}");
        }
        assert_eq!(
            id(br#" {"method":"m","params":{"id":9},"id":2147483647}"#),
            Some(2_147_483_647)
        );
    }
}
