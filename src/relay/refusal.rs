//! Replies of the gateway's own to commands, so that whoever waits in ThingsBoard does not wait in vain, nor those behind.

/// Why the gateway replies to a command in the device's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It fits no notification.
    TooLarge,
    /// As many bytes are held as `relay.bytes` allows, or the device has its share of them.
    NoRoom,
    /// The device has it, and has not replied within `relay.command_answer`.
    Unanswered,
}

impl Refusal {
    /// What the caller in ThingsBoard gets: JSON.
    pub fn reply(self) -> &'static str {
        match self {
            Refusal::TooLarge => r#"{"error":"the command is too large for the gateway"}"#,
            Refusal::NoRoom => r#"{"error":"the gateway has no room for the command"}"#,
            Refusal::Unanswered => {
                r#"{"error":"the device has the command and has not replied to it"}"#
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_get_an_object_that_says_why() {
        for refusal in [Refusal::TooLarge, Refusal::NoRoom, Refusal::Unanswered] {
            let reply: serde_json::Value = serde_json::from_str(refusal.reply()).unwrap();
            assert!(reply["error"].is_string());
        }
    }
}
