//! The rule chain's replies to client-side RPC.

use crate::json::{self, Element};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// More methods with a reply than this are refused.
const MAX_METHODS: usize = 1000;

/// The reply to one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This JSON, parsed leniently as in ThingsBoard.
    Json(String),
    /// The rule engine reports an error: `{"error":"…"}` with status 200.
    Error(String),
    /// No reply: the request ends by a timeout.
    Silence,
}

/// Replies by method. By default there are replies to `getTime` (the example of ThingsBoard's documentation) and `echo`
/// only; other methods are like those for which a rule chain has no node.
#[derive(Default)]
pub(super) struct RuleChain(BTreeMap<String, Reply>);

impl RuleChain {
    /// Sets the reply to one method.
    pub(super) fn set(&mut self, method: &str, reply: Reply) -> Result<(), String> {
        if let Reply::Json(text) = &reply {
            json::read(text).map_err(|error| format!("the reply is not JSON: {}", error.0))?;
        }
        if self.0.len() >= MAX_METHODS && !self.0.contains_key(method) {
            return Err(format!(
                "there are {MAX_METHODS} methods with a reply already"
            ));
        }
        self.0.insert(method.to_owned(), reply);
        Ok(())
    }

    /// Removes the reply to one method; false if there was none.
    pub(super) fn remove(&mut self, method: &str) -> bool {
        self.0.remove(method).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Reply)> {
        self.0.iter()
    }

    /// The reply; `None` if there is none.
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
                Element::Text(formatted(now_ms)?),
            )])),
            (None, "echo") => Some(params.clone()),
            (None, _) => None,
        }
    }
}

/// Formats a time as in ThingsBoard's documentation: `2016 11 21 12:54:44.287`.
fn formatted(now_ms: u64) -> Option<String> {
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
    fn by_default_get_time_and_echo_have_replies() {
        let chain = RuleChain::default();
        assert_eq!(
            reply(&chain, "getTime").as_deref(),
            Some(r#"{"time":"2016 11 21 12:54:44.287"}"#)
        );
        assert_eq!(reply(&chain, "echo").as_deref(), Some(r#"{"b":1,"a":2}"#));
        assert_eq!(reply(&chain, "other"), None);
    }

    #[test]
    fn a_set_reply_has_precedence_until_it_is_removed() {
        let mut chain = RuleChain::default();
        chain.set("echo", Reply::Silence).unwrap();
        assert_eq!(reply(&chain, "echo"), None);
        chain.set("echo", Reply::Error("no".into())).unwrap();
        assert_eq!(reply(&chain, "echo").as_deref(), Some(r#"{"error":"no"}"#));
        assert!(chain.remove("echo"));
        assert!(reply(&chain, "echo").is_some());
    }

    #[test]
    fn a_reply_that_is_no_json_is_refused() {
        let refused = RuleChain::default().set("m", Reply::Json("{".into()));
        assert!(refused.unwrap_err().contains("End of input"));
    }
}
