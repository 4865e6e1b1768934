//! The registry's text with one device more, or one less; every byte that is not of the edit stays.

use toml_edit::{ArrayOfTables, Document, DocumentMut, Item, Table, value};
use zeroize::Zeroizing;

/// What a registry begins with that was not there before.
const HEADER: &str = "\
# The registry: which certificate is which device, and the access token it has in ThingsBoard.
# `coaps-gateway device add` and `remove` change it and keep what else stands here, comments included;
# `coaps-gateway check` finds every mistake. Tokens are secrets: keep this file for its owner alone (chmod 600).
";

/// A device to be added: what is written for it.
pub(super) struct NewDevice<'a> {
    pub(super) name: &'a str,
    pub(super) fingerprint: &'a str,
    /// `token`, `token_file` or `token_env`.
    pub(super) token_key: &'static str,
    pub(super) token: &'a str,
}

/// The text with a device at its end. `None`: there is no file yet.
pub(super) fn added(
    text: Option<&str>,
    device: &NewDevice<'_>,
) -> Result<Zeroizing<String>, String> {
    let text = text.unwrap_or(HEADER);
    tables(&Document::parse(text).map_err(|error| error.message().to_owned())?)?;
    let line_end = match text.rfind('\n').and_then(|at| text.get(..at)) {
        Some(before) if before.ends_with('\r') => "\r\n",
        _ => "\n",
    };
    let mut table = Table::new();
    table.insert("name", value(device.name));
    table.insert("fingerprint", value(device.fingerprint));
    table.insert(device.token_key, value(device.token));
    let mut document = DocumentMut::new();
    document.insert(
        "device",
        Item::ArrayOfTables(ArrayOfTables::from_iter([table])),
    );
    let entry = Zeroizing::new(document.to_string());

    // At its full size from the start: text that grows leaves copies of tokens behind.
    let room = text.len() + 2 * entry.len() + 8;
    let mut after = Zeroizing::new(String::with_capacity(room));
    after.push_str(text);
    let plain = text.trim_start_matches('\u{feff}');
    if !plain.is_empty() && !plain.ends_with('\n') {
        after.push_str(line_end);
    }
    if plain
        .lines()
        .next_back()
        .is_some_and(|last| !is_blank(last))
    {
        after.push_str(line_end);
    }
    for line in entry.lines() {
        after.push_str(line);
        after.push_str(line_end);
    }
    Ok(after)
}

/// The text without a device.
pub(super) struct Removed {
    pub(super) text: Zeroizing<String>,
    /// Whether comments stand right above or below where it was. DeviceName they are is not ours to say.
    pub(super) comments: bool,
}

/// The text without the device of this name: from its header's line to that of its last key.
pub(super) fn removed(text: &str, name: &str) -> Result<Removed, String> {
    let document = Document::parse(text).map_err(|error| error.message().to_owned())?;
    let table = tables(&document)?
        .into_iter()
        .flat_map(ArrayOfTables::iter)
        .find(|table| table.get("name").and_then(Item::as_str) == Some(name));
    let Some((table, header)) = table.and_then(|table| Some((table, table.span()?))) else {
        return Err(format!("there is no [[device]] named {name:?}"));
    };
    let last = table
        .iter()
        .filter_map(|(_, item)| item.span())
        .fold(header.end, |last, span| last.max(span.end));
    let before = text.get(..header.start).unwrap_or_default();
    let mut start = before.rfind('\n').map_or(
        // A byte order mark is the file's, not the first device's.
        before.len() - before.trim_start_matches('\u{feff}').len(),
        |at| at + 1,
    );
    let mut end = end_of_line(text, last);
    let above = |start: usize| text.get(..start).unwrap_or_default().lines().next_back();
    let below = |end: usize| text.get(end..).unwrap_or_default().lines().next();
    // Of two blank lines that meet now, one stood between this device and the next.
    if above(start).is_none_or(is_blank) && below(end).is_none_or(is_blank) {
        if below(end).is_some() {
            end = end_of_line(text, end);
        } else if let Some(blank) = text.get(..start).and_then(|head| head.strip_suffix('\n')) {
            start = blank.rfind('\n').map_or(start, |at| at + 1);
        }
    }
    let (head, tail) = (
        text.get(..start).unwrap_or_default(),
        text.get(end..).unwrap_or_default(),
    );
    let mut rest = Zeroizing::new(String::with_capacity(text.len()));
    rest.push_str(head);
    rest.push_str(tail);
    let is_comment = |line: Option<&str>| line.is_some_and(|line| line.trim().starts_with('#'));
    Ok(Removed {
        text: rest,
        comments: is_comment(above(start)) || is_comment(below(end)),
    })
}

/// The devices as tables, if there are any.
fn tables<'d>(document: &'d Document<&str>) -> Result<Option<&'d ArrayOfTables>, String> {
    match document.get("device") {
        None => Ok(None),
        Some(item) => item.as_array_of_tables().map(Some).ok_or_else(|| {
            "its devices are one list (device = […]): write each as a [[device]] of its own, or edit \
             the list by hand"
                .to_owned()
        }),
    }
}

fn is_blank(line: &str) -> bool {
    line.trim_start_matches('\u{feff}').trim().is_empty()
}

/// Where the line ends in which this byte stands, its line end included.
fn end_of_line(text: &str, byte: usize) -> usize {
    let rest = text.get(byte..).unwrap_or_default();
    rest.find('\n').map_or(text.len(), |at| byte + at + 1)
}

#[cfg(test)]
mod tests;
