//! What the rule chain replies to a client-side RPC.

use crate::json::{self, Element};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// More scripted methods than this are refused.
const MAX_METHODS: usize = 1000;

/// The reply to one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This JSON (read as leniently as ThingsBoard would).
    Json(String),
    /// The rule engine reports an error: `{"error":"…"}` with status 200.
    Error(String),
    /// No reply: the request ends with a timeout.
    Silence,
}

/// Replies by method. Without a script, `getTime` (the walk-through's example) and `echo` are answered, and all
/// else is met with silence, as by a rule chain that has no node for it.
#[derive(Default)]
pub(super) struct RuleChain(BTreeMap<String, Reply>);

impl RuleChain {
    /// Scripts one method.
    pub(super) fn set(&mut self, method: &str, reply: Reply) -> Result<(), String> {
        if let Reply::Json(text) = &reply {
            json::read(text).map_err(|error| format!("the reply is no JSON: {}", error.0))?;
        }
        if self.0.len() >= MAX_METHODS && !self.0.contains_key(method) {
            return Err(format!("there are {MAX_METHODS} scripted methods already"));
        }
        self.0.insert(method.to_owned(), reply);
        Ok(())
    }

    /// Takes one method's script away; false if there was none.
    pub(super) fn unset(&mut self, method: &str) -> bool {
        self.0.remove(method).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Reply)> {
        self.0.iter()
    }

    /// The reply, `None` for silence.
    pub(super) fn reply(&self, method: &str, params: &Element, now_ms: u64) -> Option<Element> {
        match (self.0.get(method), method) {
            (Some(Reply::Json(text)), _) => json::read(text).ok(),
            (Some(Reply::Error(error)), _) => Some(Element::Object(vec![(
                "error".to_owned(),
                Element::Text(error.clone()),
            )])),
            (Some(Reply::Silence), _) => None,
            (None, "getTime") => Some(Element::Object(vec![(
                "time".to_owned(),
                Element::Text(written_out(now_ms)?),
            )])),
            (None, "echo") => Some(params.clone()),
            (None, _) => None,
        }
    }
}

/// The time as in ThingsBoard's documentation: `2016 11 21 12:54:44.287`.
fn written_out(now_ms: u64) -> Option<String> {
    let nanoseconds = i128::from(now_ms) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
    Some(format!(
        "{} {:02} {:02} {:02}:{:02}:{:02}.{:03}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(chain: &RuleChain, method: &str) -> Option<String> {
        let params = json::read("{b:1,a:2}").unwrap();
        chain
            .reply(method, &params, 1_479_732_884_287)
            .map(|element| element.to_string())
    }

    #[test]
    fn the_unscripted_chain_knows_the_time_and_an_echo() {
        let chain = RuleChain::default();
        assert_eq!(
            reply(&chain, "getTime").as_deref(),
            Some(r#"{"time":"2016 11 21 12:54:44.287"}"#)
        );
        assert_eq!(reply(&chain, "echo").as_deref(), Some(r#"{"b":1,"a":2}"#));
        assert_eq!(reply(&chain, "other"), None);
    }

    #[test]
    fn a_script_wins_until_it_is_taken_away() {
        let mut chain = RuleChain::default();
        chain.set("echo", Reply::Silence).unwrap();
        assert_eq!(reply(&chain, "echo"), None);
        chain.set("echo", Reply::Error("no".into())).unwrap();
        assert_eq!(reply(&chain, "echo").as_deref(), Some(r#"{"error":"no"}"#));
        assert!(chain.unset("echo"));
        assert!(reply(&chain, "echo").is_some());
    }

    #[test]
    fn a_reply_that_is_no_json_is_refused() {
        let refused = RuleChain::default().set("m", Reply::Json("{".into()));
        assert!(refused.unwrap_err().contains("End of input"));
    }
}
