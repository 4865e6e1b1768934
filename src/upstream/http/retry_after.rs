//! Retry-After (RFC 9110 §10.2.3): when the next request to ThingsBoard, or a proxy before it, may be sent.

use hyper::HeaderMap;
use hyper::header::{DATE, HeaderName, RETRY_AFTER};
use std::time::SystemTime;

/// Bounds in seconds, since devices get the value: with zero they would retry at once, and a day may be a mistake.
const SHORTEST: u64 = 1;
const LONGEST: u64 = 3600;

/// The seconds to wait, within bounds; `None` without the header, or if it can't be read. A date counts from the server's
/// own `Date`, so that the local clock does not matter.
pub(super) fn seconds(headers: &HeaderMap) -> Option<u32> {
    let text = text(headers, RETRY_AFTER)?;
    let seconds = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds are as good as an hour.
        text.parse().unwrap_or(LONGEST)
    } else {
        let sent = date(self::text(headers, DATE)?)?;
        // A date that has passed: now.
        let until = date(text)?.duration_since(sent);
        until.map_or(SHORTEST, |wait| wait.as_secs())
    };
    u32::try_from(seconds.clamp(SHORTEST, LONGEST)).ok()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "Mon, 30 Nov 2026 12:00:00 GMT";

    fn of(retry_after: &str, date: Option<&str>) -> Option<u32> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        seconds(&headers)
    }

    #[test]
    fn seconds_are_taken_within_bounds() {
        for (text, expected) in [("120", 120), ("0", 1), ("3600", 3600), ("86400", 3600)] {
            assert_eq!(of(text, None), Some(expected), "{text}");
        }
        assert_eq!(of(" 7 ", None), Some(7));
        assert_eq!(of(&"9".repeat(400), None), Some(3600));
    }

    #[test]
    fn a_date_counts_from_the_servers_own_date() {
        let at = |text| of(text, Some(NOON));
        assert_eq!(at("Mon, 30 Nov 2026 12:02:30 GMT"), Some(150));
        assert_eq!(at("Monday, 30-Nov-26 12:02:30 GMT"), Some(150));
        assert_eq!(
            at("Mon, 30 Nov 2026 11:00:00 GMT"),
            Some(1),
            "it has passed"
        );
        assert_eq!(at("Tue, 01 Dec 2026 12:00:00 GMT"), Some(3600));
        assert_eq!(of("Mon, 30 Nov 2026 12:02:30 GMT", None), None);
    }

    #[test]
    fn an_unreadable_value_is_ignored() {
        for text in [
            "",
            "soon",
            "-1",
            "1.5",
            "1 2",
            "Mon, 99 Nov 2026 12:00:00 GMT",
            "\u{e9}",
        ] {
            assert_eq!(of(text, Some(NOON)), None, "{text:?}");
        }
        assert_eq!(seconds(&HeaderMap::new()), None);
    }
}
