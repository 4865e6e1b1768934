//! The kinds of values: how each is read, which range it has, and how it is written.

use super::mistake::Problem;
use super::value::Value;
use crate::shown::Shown;
use bytesize::ByteSize;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How the values of a key are written in `gateway.toml` and the environment.
pub(super) trait Kind<T>: Send + Sync + 'static {
    /// Reads a value, or says what is wrong with it.
    fn read(&self, value: &Value) -> Result<T, Problem>;

    /// The value as `gateway.toml` has it; `None`: by leaving the key out.
    fn write(&self, value: &T) -> Option<String>;

    /// Which values are accepted, for the reference.
    fn range(&self) -> String;
}

/// A number within a range.
pub(super) struct Number<T>(pub(super) RangeInclusive<T>);

impl<T> Kind<T> for Number<T>
where
    T: FromStr + PartialOrd + Display + Send + Sync + 'static,
{
    fn read(&self, value: &Value) -> Result<T, Problem> {
        let expected = format!("a number from {} to {}", self.0.start(), self.0.end());
        let Some(digits) = value.digits() else {
            return Err(value.is_not(expected));
        };
        match digits.parse() {
            Ok(number) if self.0.contains(&number) => Ok(number),
            // A number that `T` can't hold is out of range as well, and so is NaN.
            _ if digits.parse::<f64>().is_ok() => Err(out_of_range(&digits, expected)),
            _ => Err(Problem::new(
                format!("{} is no number", Shown::misplaced(&digits)),
                expected,
            )),
        }
    }

    fn write(&self, value: &T) -> Option<String> {
        Some(value.to_string())
    }

    fn range(&self) -> String {
        format!("{} to {}", self.0.start(), self.0.end())
    }
}

fn out_of_range(text: &str, expected: String) -> Problem {
    Problem::new(format!("{} is out of range", Shown::value(text)), expected)
}

/// `true` or `false`.
pub(super) struct Boolean;

impl Kind<bool> for Boolean {
    fn read(&self, value: &Value) -> Result<bool, Problem> {
        let expected = "true or false";
        match (value, value.text()) {
            (Value::Boolean(boolean), _) => Ok(*boolean),
            (_, Some("true")) => Ok(true),
            (_, Some("false")) => Ok(false),
            (_, Some(text)) => Err(Problem::new(
                format!("{} is neither true nor false", Shown::misplaced(text)),
                expected,
            )),
            (_, None) => Err(value.is_not(expected)),
        }
    }

    fn write(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn range(&self) -> String {
        "`true`, `false`".to_owned()
    }
}

/// A time with its unit, within a range.
pub(super) struct Time(pub(super) RangeInclusive<Duration>);

impl Kind<Duration> for Time {
    fn read(&self, value: &Value) -> Result<Duration, Problem> {
        let (least, most) = self.ends();
        let expected = format!(
            "a time with its unit, like \"10s\", \"500ms\" or \"24h\", from {least} to {most}"
        );
        let Some(text) = value.text() else {
            let found = format!("this is {} without a unit", value.describe());
            return Err(Problem::new(found, expected));
        };
        match humantime::parse_duration(text) {
            Ok(duration) if self.0.contains(&duration) => Ok(duration),
            Ok(_) => Err(out_of_range(text, expected)),
            Err(_) => Err(Problem::new(
                format!("{} is no time with a unit", Shown::misplaced(text)),
                expected,
            )),
        }
    }

    fn write(&self, value: &Duration) -> Option<String> {
        let (seconds, milliseconds) = (value.as_secs(), value.as_millis());
        let text = if value.subsec_millis() > 0 {
            format!("{milliseconds}ms")
        } else if seconds >= 3600 && seconds % 3600 == 0 {
            format!("{}h", seconds / 3600)
        } else if seconds >= 120 && seconds % 60 == 0 {
            format!("{}m", seconds / 60)
        } else {
            format!("{seconds}s")
        };
        Some(format!("{text:?}"))
    }

    fn range(&self) -> String {
        let (least, most) = self.ends();
        format!("{least} to {most}")
    }
}

impl Time {
    fn ends(&self) -> (impl Display, impl Display) {
        (readable(*self.0.start()), readable(*self.0.end()))
    }
}

/// A time as one writes it in the file: "365days" for what `humantime` splits into months, days, hours and more, since its
/// months and years have fractions of days.
fn readable(time: Duration) -> String {
    const DAY: u64 = 24 * 3600;
    let text = humantime::format_duration(time).to_string();
    let is_whole_days = time.subsec_nanos() == 0 && time.as_secs().is_multiple_of(DAY);
    match text.contains(' ') && is_whole_days {
        true => format!("{}days", time.as_secs() / DAY),
        false => text,
    }
}

/// A size in bytes, with a unit or plain, within a range.
pub(super) struct Size(pub(super) RangeInclusive<usize>);

impl Kind<usize> for Size {
    fn read(&self, value: &Value) -> Result<usize, Problem> {
        let expected = format!(
            "a size like \"64KiB\", \"1MiB\" or plain bytes, from {}",
            self.range()
        );
        let Some(text) = value.digits() else {
            return Err(value.is_not(expected));
        };
        let size = text.parse::<ByteSize>();
        match size.map(|size| usize::try_from(size.as_u64())) {
            Ok(Ok(bytes)) if self.0.contains(&bytes) => Ok(bytes),
            Ok(_) => Err(out_of_range(&text, expected)),
            Err(_) => Err(Problem::new(
                format!("{} is no size", Shown::misplaced(&text)),
                expected,
            )),
        }
    }

    fn write(&self, value: &usize) -> Option<String> {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        let text = if value.is_multiple_of(MIB) {
            format!("{}MiB", value / MIB)
        } else if value.is_multiple_of(KIB) {
            format!("{}KiB", value / KIB)
        } else {
            value.to_string()
        };
        Some(format!("{text:?}"))
    }

    fn range(&self) -> String {
        let shown = |bytes: &usize| u64::try_from(*bytes).map(|bytes| ByteSize(bytes).to_string());
        format!(
            "{} to {}",
            shown(self.0.start()).unwrap_or_default(),
            shown(self.0.end()).unwrap_or_default()
        )
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + Send + Sync> Kind<T> for Choice<T> {
    fn read(&self, value: &Value) -> Result<T, Problem> {
        let words: Vec<String> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
        let expected = words.join(" or ");
        let Some(text) = value.text() else {
            return Err(value.is_not(expected));
        };
        match self.0.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Ok(*choice),
            None => Err(Problem::new(
                format!("{} is not known", Shown::misplaced(text)),
                expected,
            )),
        }
    }

    fn write(&self, value: &T) -> Option<String> {
        let (word, _) = self.0.iter().find(|(_, choice)| choice == value)?;
        Some(format!("{word:?}"))
    }

    fn range(&self) -> String {
        let words: Vec<String> = self
            .0
            .iter()
            .map(|(word, _)| format!("`{word:?}`"))
            .collect();
        words.join(", ")
    }
}

/// An IP address and a port. The text has examples for messages.
pub(super) struct Address(pub(super) &'static str);

impl Kind<SocketAddr> for Address {
    fn read(&self, value: &Value) -> Result<SocketAddr, Problem> {
        let Some(text) = value.text() else {
            return Err(value.is_not("text in quotes"));
        };
        text.parse().map_err(|_| {
            Problem::new(
                format!("{} is no address with a port", Shown::misplaced(text)),
                format!("an IP address and a port: {}", self.0),
            )
        })
    }

    fn write(&self, value: &SocketAddr) -> Option<String> {
        Some(format!("{:?}", value.to_string()))
    }

    fn range(&self) -> String {
        "an IP address and a port".to_owned()
    }
}

/// The path of a file. The text is an example for messages.
pub(super) struct FilePath(pub(super) &'static str);

impl Kind<PathBuf> for FilePath {
    fn read(&self, value: &Value) -> Result<PathBuf, Problem> {
        match value.text() {
            Some("") => Err(Problem::new(
                "this is empty",
                format!("a path like {:?}", self.0),
            )),
            Some(path) => Ok(PathBuf::from(path)),
            None => Err(value.is_not("text in quotes")),
        }
    }

    fn write(&self, value: &PathBuf) -> Option<String> {
        value.to_str().map(|path| format!("{path:?}"))
    }

    fn range(&self) -> String {
        "a path".to_owned()
    }
}

/// The paths of several files.
pub(super) struct FilePaths;

impl Kind<Vec<PathBuf>> for FilePaths {
    fn read(&self, value: &Value) -> Result<Vec<PathBuf>, Problem> {
        let paths = value.list(
            "a path, or a list like [\"certs/ca.crl\"]; in the environment with commas between",
        )?;
        Ok(paths.into_iter().map(PathBuf::from).collect())
    }

    fn write(&self, value: &Vec<PathBuf>) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn range(&self) -> String {
        "a list of paths".to_owned()
    }
}

/// A key that has no value unless it is set. Empty text is the same as leaving it out, because an environment
/// variable has no other way to say that.
pub(super) struct OrEmpty<K>(pub(super) K);

impl<T, K: Kind<T>> Kind<Option<T>> for OrEmpty<K> {
    fn read(&self, value: &Value) -> Result<Option<T>, Problem> {
        match value.text() {
            Some("") => Ok(None),
            Some(_) | None => self.0.read(value).map(Some),
        }
    }

    fn write(&self, value: &Option<T>) -> Option<String> {
        value.as_ref().and_then(|value| self.0.write(value))
    }

    fn range(&self) -> String {
        format!("{}, or `\"\"`", self.0.range())
    }
}

/// A key that has no value unless it is set.
pub(super) struct OrUnset<K>(pub(super) K);

impl<T, K: Kind<T>> Kind<Option<T>> for OrUnset<K> {
    fn read(&self, value: &Value) -> Result<Option<T>, Problem> {
        self.0.read(value).map(Some)
    }

    fn write(&self, value: &Option<T>) -> Option<String> {
        value.as_ref().and_then(|value| self.0.write(value))
    }

    fn range(&self) -> String {
        self.0.range()
    }
}
