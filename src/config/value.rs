//! One value: from text, number or list to what it means, within its range.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a value of any kind but the wanted ones is told what it is"
)]

use super::mistake::Wrong;
use crate::shown::Shown;
use bytesize::ByteSize;
use config::{Value, ValueKind};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// What TOML (or, always as text, the environment) gave.
fn kind(value: &Value) -> &'static str {
    match &value.kind {
        ValueKind::Nil => "a table or a date",
        ValueKind::Boolean(_) => "a boolean",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => {
            "a number"
        }
        ValueKind::Float(_) => "a number with a point",
        ValueKind::String(_) => "text",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
    }
}

/// Text in quotes.
pub(super) fn text(value: &Value) -> Result<String, Wrong> {
    match &value.kind {
        ValueKind::String(text) => Ok(text.trim().to_owned()),
        _ => Err(Wrong::new(
            format!("this is {}", kind(value)),
            "text in quotes",
        )),
    }
}

/// A number as text, whatever it was written as; `None` for what can't be one.
fn digits(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::String(text) => Some(text.trim().to_owned()),
        ValueKind::I64(number) => Some(number.to_string()),
        ValueKind::Float(number) => Some(number.to_string()),
        ValueKind::Nil
        | ValueKind::Boolean(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Table(_)
        | ValueKind::Array(_) => None,
    }
}

/// A number within a range.
pub(super) fn number<T>(value: &Value, range: RangeInclusive<T>) -> Result<T, Wrong>
where
    T: FromStr + PartialOrd + Display,
{
    let (least, most) = (range.start(), range.end());
    let right = format!("a number from {least} to {most}");
    let Some(digits) = digits(value) else {
        return Err(Wrong::new(format!("this is {}", kind(value)), right));
    };
    match digits.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        // A number that this type can't hold is out of range as well, and so is NaN.
        _ if digits.parse::<f64>().is_ok() => Err(Wrong::new(
            format!("{} is out of range", Shown::value(&digits)),
            right,
        )),
        _ => Err(Wrong::new(
            format!("{} is no number", Shown::misplaced(&digits)),
            right,
        )),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Result<bool, Wrong> {
    let right = "true or false";
    match &value.kind {
        ValueKind::Boolean(boolean) => Ok(*boolean),
        ValueKind::String(text) if text.trim() == "true" => Ok(true),
        ValueKind::String(text) if text.trim() == "false" => Ok(false),
        ValueKind::String(text) => Err(Wrong::new(
            format!("{} is neither true nor false", Shown::misplaced(text)),
            right,
        )),
        _ => Err(Wrong::new(format!("this is {}", kind(value)), right)),
    }
}

/// A time with its unit, within a range.
pub(super) fn duration(value: &Value, range: RangeInclusive<Duration>) -> Result<Duration, Wrong> {
    let (least, most) = (
        humantime::format_duration(*range.start()),
        humantime::format_duration(*range.end()),
    );
    let right =
        format!("a time with its unit, like \"10s\", \"500ms\" or \"24h\", from {least} to {most}");
    let Ok(text) = text(value) else {
        return Err(Wrong::new(
            format!("this is {}, and its unit is not said", kind(value)),
            right,
        ));
    };
    match humantime::parse_duration(&text) {
        Ok(duration) if range.contains(&duration) => Ok(duration),
        Ok(_) => Err(Wrong::new(
            format!("{} is out of range", Shown::value(&text)),
            right,
        )),
        Err(_) => Err(Wrong::new(
            format!("{} is no time with a unit", Shown::misplaced(&text)),
            right,
        )),
    }
}

/// A size in bytes, with a unit or plain, within a range.
pub(super) fn size(value: &Value, range: RangeInclusive<usize>) -> Result<usize, Wrong> {
    let shown_size = |bytes: &usize| {
        u64::try_from(*bytes).map_or(String::new(), |bytes| ByteSize(bytes).to_string())
    };
    let (least, most) = (shown_size(range.start()), shown_size(range.end()));
    let right = format!("a size like \"64KiB\", \"1MiB\" or plain bytes, from {least} to {most}");
    let Some(text) = digits(value) else {
        return Err(Wrong::new(format!("this is {}", kind(value)), right));
    };
    match text
        .parse::<ByteSize>()
        .map(|size| usize::try_from(size.as_u64()))
    {
        Ok(Ok(bytes)) if range.contains(&bytes) => Ok(bytes),
        Ok(_) => Err(Wrong::new(
            format!("{} is out of range", Shown::value(&text)),
            right,
        )),
        Err(_) => Err(Wrong::new(
            format!("{} is no size", Shown::misplaced(&text)),
            right,
        )),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<T, Wrong> {
    let words: Vec<String> = choices
        .iter()
        .map(|(word, _)| format!("{word:?}"))
        .collect();
    let right = words.join(" or ");
    let text = text(value).map_err(|wrong| Wrong::new(wrong.wrong, right.clone()))?;
    match choices.iter().find(|(word, _)| *word == text) {
        Some((_, choice)) => Ok(*choice),
        None => Err(Wrong::new(
            format!("{} is not known", Shown::misplaced(&text)),
            right,
        )),
    }
}

/// A list of words, or one; from the environment, with commas between. `right` says what would be right.
pub(super) fn list(value: &Value, right: &str) -> Result<Vec<String>, Wrong> {
    match &value.kind {
        ValueKind::Array(items) => items
            .iter()
            .map(|item| {
                digits(item)
                    .ok_or_else(|| Wrong::new(format!("{} is in the list", kind(item)), right))
            })
            .collect(),
        ValueKind::String(text) => Ok(text
            .split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect()),
        _ => Err(Wrong::new(format!("this is {}", kind(value)), right)),
    }
}
