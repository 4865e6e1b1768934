//! Decodes a CoAP message for people, with RFC terms.

use super::terms::{self, Format};
use coap::option::number;
use coap::{Block, Class, Message, Type};
use serde_json::{Value, json};
use std::fmt::Write;

/// How many bytes of a payload are shown.
const MAX_SHOWN: usize = 512;

/// The direction of a message, seen from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

/// The abbreviation of a type (RFC 7252 §1.2).
pub(super) fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Confirmable => "CON",
        Type::NonConfirmable => "NON",
        Type::Acknowledgement => "ACK",
        Type::Reset => "RST",
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The message in one line: path, query and payload of a request, payload of a response.
pub(super) fn summary(message: &Message) -> String {
    match message.code.class() {
        Class::Request => {
            let mut line = joined(message, number::URI_PATH, "/");
            let query = joined(message, number::URI_QUERY, "&");
            if !query.is_empty() {
                line = format!("{line}?{query}");
            }
            if !message.payload.is_empty() {
                line = format!("{line} {}", payload(&message.payload));
            }
            line
        }
        Class::Empty | Class::Response | Class::Reserved => payload(&message.payload),
    }
}

fn joined(message: &Message, wanted: u16, separator: &str) -> String {
    let values = message
        .options
        .iter()
        .filter(|(option, _)| *option == wanted);
    let values: Vec<_> = values
        .map(|(_, value)| String::from_utf8_lossy(value))
        .collect();
    values.join(separator)
}

/// The options other than path and query, in one line.
pub(super) fn options(message: &Message) -> String {
    let others = message.options.iter();
    let others =
        others.filter(|(option, _)| ![number::URI_PATH, number::URI_QUERY].contains(option));
    let shown = others.map(|(option, value)| {
        let (name, value, ..) = explain(*option, value);
        if value.is_empty() {
            name
        } else {
            format!("{name} {value}")
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The parts of the message, each with its name, value, meaning and RFC section.
pub(super) fn parts(message: &Message) -> Vec<Value> {
    let mut parts = Vec::new();
    let mut push = |name: &str, value: String, meaning: &str, section: &str| {
        parts.push(json!([name, value, meaning, section]));
    };
    let (meaning, section) = match message.kind {
        Type::Confirmable => ("retransmitted until it is acknowledged", "RFC 7252 §4.2"),
        Type::NonConfirmable => ("sent once, not acknowledged", "RFC 7252 §4.3"),
        Type::Acknowledgement if message.code.class() == Class::Response => (
            "acknowledges the message with this ID, and carries the response: piggybacked",
            "RFC 7252 §5.2.1",
        ),
        Type::Acknowledgement => (
            "acknowledges the message with this ID; the response will be a separate message",
            "RFC 7252 §4.2, §5.2.2",
        ),
        Type::Reset => ("rejects the message with this ID", "RFC 7252 §4.2, §4.3"),
    };
    push("Type", type_name(message.kind).to_owned(), meaning, section);
    let code = format!("{} {}", message.code, terms::code_name(message.code));
    let (meaning, section) = match message.code.class() {
        Class::Empty => ("neither request nor response", "RFC 7252 §4.1"),
        Class::Request => ("a request's method", "RFC 7252 §5.8"),
        Class::Response => ("a response's code", "RFC 7252 §5.9"),
        Class::Reserved => ("reserved", "RFC 7252 §3"),
    };
    push("Code", code, meaning, section);
    let message_id = format!("{} (0x{:04x})", message.message_id, message.message_id);
    let meaning = "matches ACK and RST to their message, and detects duplicates";
    push("Message ID", message_id, meaning, "RFC 7252 §3, §4.4");
    let token = match message.token.as_bytes() {
        [] => "none".to_owned(),
        bytes => format!("0x{}", hex(bytes)),
    };
    let meaning = "matches responses to their request; chosen by the client";
    push("Token", token, meaning, "RFC 7252 §5.3.1");
    for (option, value) in &message.options {
        let (name, value, meaning, section) = explain(*option, value);
        push(&name, value, meaning, section);
    }
    if !message.payload.is_empty() {
        let length = format!("{} bytes", message.payload.len());
        let shown = format!("{} ({length})", payload(&message.payload));
        push(
            "Payload",
            shown,
            "what follows the marker 0xff",
            "RFC 7252 §3, §5.5",
        );
    }
    parts
}

/// An option's name, its value as text, its meaning and RFC section.
fn explain(option: u16, value: &[u8]) -> (String, String, &'static str, &'static str) {
    let Some((_, name, format, section, meaning)) = terms::option(option) else {
        let meaning = if option % 2 == 1 {
            "critical: an endpoint that does not know it rejects the message"
        } else {
            "elective: an endpoint that does not know it ignores it"
        };
        let name = format!("Option {option}");
        return (
            name,
            format!("0x{}", hex(value)),
            meaning,
            "RFC 7252 §5.4.1",
        );
    };
    let number = value
        .iter()
        .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    let shown = match format {
        Format::Text => payload(value),
        Format::Number => number.to_string(),
        Format::Opaque => format!("0x{}", hex(value)),
        Format::Empty => String::new(),
        Format::Media => format!("{number} ({})", terms::content_format(number)),
        Format::Block => match Block::decode(number) {
            Some(block) => format!(
                "{}/{}/{}",
                block.num(),
                u8::from(block.more()),
                block.size()
            ),
            None => format!("{number}, with the reserved size"),
        },
    };
    ((*name).to_owned(), shown, meaning, section)
}

/// A payload as text if it is text, in hexadecimal otherwise; a long one is cut.
pub(super) fn payload(bytes: &[u8]) -> String {
    let shown = bytes.get(..MAX_SHOWN).unwrap_or(bytes);
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    let is_text = |text: &&str| !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    // A character may have been cut in two.
    let text = match std::str::from_utf8(shown) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => shown
            .get(..error.valid_up_to())
            .and_then(|whole| std::str::from_utf8(whole).ok()),
        Err(_) => None,
    };
    match text.filter(is_text) {
        Some(text) => format!("{text}{more}"),
        None => format!("0x{}{more}", hex(bytes.get(..64).unwrap_or(bytes))),
    }
}

#[cfg(test)]
mod tests;
