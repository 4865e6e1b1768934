//! One value as TOML or the environment has it, before its key says what it means.

use super::mistake::Problem;
use toml::de::DeValue;

/// What stands after a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text in quotes, all that comes from the environment, and numbers that are no `i64`.
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    /// No key takes one of these.
    TableOrDate,
}

impl Value {
    pub(super) fn of_toml(value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => Value::Text(number.as_str().to_owned()),
                }
            }
            DeValue::Float(number) => Value::Text(number.as_str().to_owned()),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Array(items) => {
                let items = items.iter();
                Value::List(items.map(|item| Value::of_toml(item.get_ref())).collect())
            }
            DeValue::Datetime(_) | DeValue::Table(_) => Value::TableOrDate,
        }
    }

    /// What it is, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "a boolean",
            Value::List(_) => "a list",
            Value::TableOrDate => "a table or a date",
        }
    }

    /// A problem of a value that is of the wrong type.
    pub(super) fn is_not(&self, expected: impl Into<String>) -> Problem {
        Problem::new(format!("this is {}", self.describe()), expected)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text.trim()),
            Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::TableOrDate => None,
        }
    }

    /// A number as text: as it was written in quotes or in the environment, or as an integer.
    pub(super) fn digits(&self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text.trim().to_owned()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Boolean(_) | Value::List(_) | Value::TableOrDate => None,
        }
    }

    /// The items of a list. One text is split at its commas, because the environment has no lists.
    pub(super) fn list(&self, expected: &str) -> Result<Vec<String>, Problem> {
        match self {
            Value::List(items) => items
                .iter()
                .map(|item| {
                    item.digits().ok_or_else(|| {
                        Problem::new(format!("{} is in the list", item.describe()), expected)
                    })
                })
                .collect(),
            Value::Text(text) => {
                let items = text.split(',').map(str::trim);
                Ok(items
                    .filter(|item| !item.is_empty())
                    .map(str::to_owned)
                    .collect())
            }
            Value::Integer(_) | Value::Boolean(_) | Value::TableOrDate => {
                Err(self.is_not(expected))
            }
        }
    }
}
