//! Replies of the gateway itself to a command, so that its caller in ThingsBoard, and the commands behind it, need not
//! wait until it expires.

/// Why the gateway replies to a command in the device's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandError {
    /// It is larger than a notification's payload.
    TooLarge,
    /// As many bytes are held as `relay.bytes` allows, or as the device's share of them.
    NoRoom,
    /// The device has it, and has not replied within `relay.command_answer`.
    Unanswered,
}

impl CommandError {
    /// What the caller in ThingsBoard gets: JSON.
    pub(crate) fn reply(self) -> &'static str {
        match self {
            CommandError::TooLarge => r#"{"error":"the command is too large for the gateway"}"#,
            CommandError::NoRoom => r#"{"error":"the gateway has no room for the command"}"#,
            CommandError::Unanswered => {
                r#"{"error":"the device has the command and has not replied to it"}"#
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_is_an_object_with_an_error_text() {
        for error in [
            CommandError::TooLarge,
            CommandError::NoRoom,
            CommandError::Unanswered,
        ] {
            let reply: serde_json::Value = serde_json::from_str(error.reply()).unwrap();
            assert!(reply["error"].is_string());
        }
    }
}
