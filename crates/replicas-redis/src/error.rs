//! Why the server can't be used, in words for its operator.

use crate::stream::TooLong;
use crate::tls;
use std::fmt;
use std::io;

/// Characters of a server's message that are shown.
const MAX_SHOWN: usize = 200;

/// Why the server can't be used. None has a password, nor what was stored.
#[derive(Debug)]
pub enum ConnectError {
    /// No connection can be opened.
    Unreachable(io::Error),
    /// The connection has failed, or there was no reply in time.
    Io(io::Error),
    /// Its reply is longer than any is.
    TooLong,
    /// Its reply is none of Redis's, or none of our scripts'.
    Malformed,
    /// It refuses a command.
    Refused {
        /// The name of the command.
        command: &'static str,
        /// The first word of its reply, as `NOPERM`.
        code: String,
        /// The rest, shortened, without what can't be shown.
        message: String,
    },
    /// It is a replica of another server, and can't be written to.
    ReadOnly,
    /// It is still reading its data from disk.
    Loading,
    /// It is a node of a Redis Cluster.
    Cluster,
    /// It is a Sentinel, and stores nothing.
    Sentinel,
    /// It has a version that is too old.
    Version(String),
}

impl ConnectError {
    /// A server's error. Its text is its own, so it is shortened, and has nothing of `secret` in it.
    pub(crate) fn refused(
        command: &'static str,
        code: &str,
        message: &str,
        secret: Option<&str>,
    ) -> ConnectError {
        match code {
            "READONLY" => ConnectError::ReadOnly,
            "LOADING" => ConnectError::Loading,
            "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => ConnectError::Cluster,
            _ => {
                // A server that does not know AUTH repeats what follows it.
                let has_secret = |text: &str| secret.is_some_and(|secret| text.contains(secret));
                let is_hidden = command == "AUTH" || has_secret(code) || has_secret(message);
                let shown = |text: &str| {
                    let text: String = text.chars().take(MAX_SHOWN).collect();
                    text.escape_debug().to_string()
                };
                ConnectError::Refused {
                    command,
                    code: if has_secret(code) {
                        String::new()
                    } else {
                        shown(code)
                    },
                    message: if is_hidden {
                        String::new()
                    } else {
                        shown(message)
                    },
                }
            }
        }
    }
}

/// Which of these it is depends on when it happens: one message, as it is one reason.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Unreachable(error) => {
                write!(f, "the store can't be reached: {error}{}", tls::hint(error))
            }
            ConnectError::Io(error) if is_closed(error) => {
                f.write_str("the store has closed the connection")
            }
            ConnectError::Io(error) => {
                write!(f, "the connection to the store has failed: {error}{}", tls::hint(error))
            }
            ConnectError::TooLong => TooLong.fmt(f),
            ConnectError::Malformed => f.write_str(
                "the store's reply is malformed: it is not Redis or Valkey, or expects TLS (rediss://)",
            ),
            ConnectError::Refused {
                command,
                code,
                message,
            } => match code.as_str() {
                "NOAUTH" => f.write_str("the store expects a password"),
                "WRONGPASS" => f.write_str("the store refuses the user's name or password"),
                "NOPERM" => write!(f, "the store's user may not call {command}: {message}"),
                "OOM" => f.write_str("the store's memory is full: maxmemory is reached"),
                "MISCONF" => write!(f, "the store can't write its own files: {message}"),
                "" => write!(f, "the store refuses {command}"),
                _ if message.is_empty() => write!(f, "the store refuses {command}: {code}"),
                _ => write!(f, "the store refuses {command}: {code} {message}"),
            },
            ConnectError::ReadOnly => {
                f.write_str("the store is a replica that can't be written to: the URL must lead to the primary")
            }
            ConnectError::Loading => f.write_str("the store is still reading its data from disk"),
            ConnectError::Cluster => {
                f.write_str("the store is a Redis Cluster, which can't be used: one server and its replicas can")
            }
            ConnectError::Sentinel => {
                f.write_str("the store is a Sentinel, which stores nothing: the URL must lead to the primary")
            }
            ConnectError::Version(version) => write!(
                f,
                "the store has version {version}: Redis 6.2 or later, or Valkey, is required"
            ),
        }
    }
}

impl std::error::Error for ConnectError {}
