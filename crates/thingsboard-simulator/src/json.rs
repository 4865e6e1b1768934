//! JSON as ThingsBoard's HTTP transport sees it: Gson's tree, Gson's lenient reader, Gson's text.
//!
//! `serde_json` would refuse what ThingsBoard accepts (`{temperature:25}`, single quotes, comments) and would
//! lose what ThingsBoard keeps (the order of members, a number's digits), so the device API does not use it.

mod element;
mod lenient;
mod numeric;
mod value_rules;

pub(super) use element::Element;
pub(super) use lenient::{SyntaxError, read};
pub(super) use value_rules::{ShapeError, key_values};
