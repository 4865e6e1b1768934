//! The part of Java's `BigDecimal` that `JsonConverter.buildNumericKeyValueProto` uses.

use super::Element;

/// Numbers with a larger exponent are not written out: Java would make a string of that many zeros.
const MAX_EXPONENT: i64 = 4096;

/// A decimal number: `unscaled * 10^-scale`, as `java.math.BigDecimal`.
struct Decimal {
    negative: bool,
    /// Digits without leading zeros; empty for zero.
    digits: String,
    scale: i64,
}

impl Decimal {
    /// `new BigDecimal(text)`; `None` where Java throws `NumberFormatException`.
    fn parse(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => {
                let (mantissa, rest) = text.split_at(at);
                let exponent: i32 = rest.get(1..)?.parse().ok()?;
                (mantissa, i64::from(exponent))
            }
            None => (text, 0),
        };
        let (negative, unsigned) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        Some(Decimal {
            negative,
            digits: digits.trim_start_matches('0').to_owned(),
            scale: i64::try_from(fraction.len()).ok()? - exponent,
        })
    }

    /// `stripTrailingZeros().scale() <= 0`: the value is a whole number.
    fn is_whole(&self) -> bool {
        let zeros = self.digits.len() - self.digits.trim_end_matches('0').len();
        self.digits.is_empty() || i64::try_from(zeros).is_ok_and(|zeros| self.scale <= zeros)
    }

    /// `toPlainString`: all digits, no exponent.
    fn plain(&self) -> Option<String> {
        if self.scale.abs() > MAX_EXPONENT + 1 + i64::try_from(self.digits.len()).ok()? {
            return None;
        }
        let sign = if self.negative && !self.digits.is_empty() {
            "-"
        } else {
            ""
        };
        let digits = if self.digits.is_empty() {
            "0"
        } else {
            &self.digits
        };
        let Ok(scale) = usize::try_from(self.scale) else {
            let zeros = usize::try_from(self.scale.abs()).ok()?;
            let zeros = if self.digits.is_empty() { 0 } else { zeros };
            return Some(format!("{sign}{digits}{}", "0".repeat(zeros)));
        };
        if scale == 0 {
            return Some(format!("{sign}{digits}"));
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        Some(format!("{sign}{whole}.{fraction}"))
    }

    /// `longValueExact`, for a number that [is whole](Self::is_whole).
    fn long(&self) -> Option<i64> {
        let plain = self.plain()?;
        plain
            .split_once('.')
            .map_or(plain.as_str(), |(whole, _)| whole)
            .parse()
            .ok()
    }
}

/// `JsonConverter.buildNumericKeyValueProto`: whole numbers become longs, others doubles; numbers beyond 64 bits
/// or 16 decimals become text. `None` where Java throws `NumberFormatException`.
pub(super) fn cast(text: &str) -> Option<Element> {
    let number = Decimal::parse(text)?;
    let simple_double = text.contains('.') && !text.contains(['e', 'E']);
    let as_text = || Element::Text(number.plain().unwrap_or_else(|| text.to_owned()));
    if number.is_whole() && !simple_double {
        return Some(match number.long() {
            Some(long) => Element::Number(long.to_string()),
            None => as_text(),
        });
    }
    if number.scale > 16 {
        return Some(as_text());
    }
    let double: f64 = text.parse().ok()?;
    Some(Element::Number(java_double(double)))
}

/// `NumberUtils.isParsable` of commons-lang: digits with at most one point, which is not last, and an optional minus.
pub(super) fn is_parsable(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    !unsigned.is_empty()
        && !unsigned.ends_with('.')
        && unsigned
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        && unsigned.bytes().filter(|byte| *byte == b'.').count() <= 1
}

/// `LazilyParsedNumber.longValue`: a long, or a decimal cut to one.
pub(super) fn java_long(text: &str) -> Option<i64> {
    if let Ok(long) = text.parse() {
        return Some(long);
    }
    let number = Decimal::parse(text)?;
    if number.is_whole() {
        return number.long();
    }
    let plain = number.plain()?;
    let (whole, _) = plain.split_once('.')?;
    if whole == "-0" {
        return Some(0);
    }
    whole.parse().ok()
}

/// `Double.toString`: plain between 10^-3 and 10^7, else with an exponent.
fn java_double(double: f64) -> String {
    let size = double.abs();
    if double == 0.0 || !double.is_finite() || (1e-3..1e7).contains(&size) {
        return format!("{double:?}");
    }
    let scientific = format!("{double:e}");
    match scientific.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => format!("{mantissa}E{exponent}"),
        Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
        None => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<Element> {
        Some(Element::Number(text.into()))
    }
    fn text(text: &str) -> Option<Element> {
        Some(Element::Text(text.into()))
    }

    #[test]
    fn whole_numbers_become_longs_even_when_written_with_an_exponent() {
        assert_eq!(cast("25"), number("25"));
        assert_eq!(cast("-0"), number("0"));
        assert_eq!(cast("007"), number("7"));
        assert_eq!(cast("1.5e1"), number("15"));
        assert_eq!(cast("120e-1"), number("12"));
        assert_eq!(cast("0e5"), number("0"));
        assert_eq!(cast("9223372036854775807"), number("9223372036854775807"));
    }

    #[test]
    fn a_point_makes_a_double_as_java_writes_it() {
        assert_eq!(cast("25.0"), number("25.0"));
        assert_eq!(cast("21.5"), number("21.5"));
        assert_eq!(cast(".5"), number("0.5"));
        assert_eq!(cast("12345678.5"), number("1.23456785E7"));
        assert_eq!(cast("5e-4"), number("5.0E-4"));
    }

    #[test]
    fn numbers_too_large_or_too_fine_become_text() {
        assert_eq!(cast("9223372036854775808"), text("9223372036854775808"));
        assert_eq!(cast("1e20"), text("100000000000000000000"));
        assert_eq!(cast("-0.12345678901234567"), text("-0.12345678901234567"));
        assert_eq!(cast("1e-17"), text("0.00000000000000001"));
    }

    #[test]
    fn a_huge_exponent_costs_no_memory() {
        assert_eq!(cast("1e999999999"), text("1e999999999"));
        assert_eq!(cast("1e-999999999"), text("1e-999999999"));
        assert_eq!(cast("1e99999999999"), None);
    }

    #[test]
    fn only_plain_digits_are_parsable() {
        for yes in ["1", "-1", "1.5", ".5", "-.5", "00"] {
            assert!(is_parsable(yes), "{yes}");
        }
        for no in ["", "-", "+1", "1.", "1.2.3", "1e5", "0x1", " 1", "NaN"] {
            assert!(!is_parsable(no), "{no}");
        }
    }

    #[test]
    fn longs_are_cut_from_fractions() {
        assert_eq!(java_long("-0.5"), Some(0));
        assert_eq!(java_long("1e3"), Some(1000));
        assert_eq!(java_long("x"), None);
    }
}
