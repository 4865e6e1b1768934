//! JSON as in ThingsBoard's HTTP transport: Gson's tree, its lenient parser, and its output.
//!
//! No library does this, and tests depend on it:
//!
//! * `json5` accepts other documents than Gson: no unquoted text (`hello`, `{a:on}`, `{a:007}`), no `=` or `;`, no `#`,
//!   no `[1,,2]`, no `TRUE`, no empty document, but a comma before `}`. Its errors have other texts and no path.
//! * `serde_json` keeps the order of members and the digits of numbers only with the features `preserve_order` and
//!   `arbitrary_precision`. Cargo would turn them on for the gateway as well, whose tests would then not test what
//!   ships.
//! * `bigdecimal` writes out every digit of `1e99999999999`, and ends the process for want of memory.

mod element;
mod lenient;
mod numeric;
mod value_rules;

pub(super) use element::Element;
pub(super) use lenient::{SyntaxError, read};
pub(super) use value_rules::{Exception, key_values, long, string};
