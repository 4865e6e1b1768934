//! What a reply of the device API means.

use super::super::http::reply::Reply;
use super::super::{Answer, Error, Rejection, RetryAfter, RetryCause};

/// The decision. ThingsBoard's error bodies have several shapes, depending on how it is deployed, so beyond "is there a
/// text" only the status counts.
pub(super) fn decide(reply: Reply, is_poll: bool) -> Result<Answer, Error> {
    let retry = |cause, seconds| Err(Error::RetryAfter(RetryAfter { cause, seconds }));
    match (reply.status, reply.retry_after) {
        (200, _) => reply
            .body
            .map(|body| Answer { body })
            .ok_or(Error::Unintelligible("its body is too large")),
        // A proxy's 504 says nothing about what happened meanwhile, so a poll that gets one has failed.
        (408, _) if is_poll => Err(Error::Elapsed),
        (408 | 504, _) => Err(Error::Timeout),
        (429, Some(seconds)) => retry(RetryCause::RateLimited, seconds),
        (502 | 503, Some(seconds)) => retry(RetryCause::NotServing, seconds),
        (502 | 503, None) => Err(Error::Overloaded),
        (status @ 400..=599, _) => {
            let has_text = reply.body.is_none_or(|body| !body.trim_ascii().is_empty());
            Err(Error::Rejected(Rejection::new(status, has_text)))
        }
        (300..=399, _) => Err(Error::Unintelligible(
            "it is a redirect; check the upstream URL",
        )),
        _ => Err(Error::Unintelligible(
            "its status is none that the device API uses",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn outcome(status: u16, body: &'static str) -> Result<Answer, Error> {
        decide(reply(status, body), false)
    }

    fn reply(status: u16, body: &'static str) -> Reply {
        Reply {
            status,
            body: Some(Bytes::from_static(body.as_bytes())),
            retry_after: None,
        }
    }

    fn rejected(status: u16, has_text: bool) -> Result<Answer, Error> {
        Err(Error::Rejected(Rejection::new(status, has_text)))
    }

    #[test]
    fn each_status_means_one_decision() {
        assert_eq!(outcome(200, ""), Ok(Answer { body: Bytes::new() }));
        assert_eq!(
            outcome(200, "{}"),
            Ok(Answer {
                body: Bytes::from_static(b"{}")
            })
        );
        assert_eq!(outcome(408, ""), Err(Error::Timeout));
        assert_eq!(outcome(504, "<html>"), Err(Error::Timeout));
        assert_eq!(outcome(502, "<html>"), Err(Error::Overloaded));
        assert_eq!(outcome(503, r#"{"status":503}"#), Err(Error::Overloaded));
        for code in [400, 401, 403, 404, 405, 413, 429, 499, 500, 501, 505, 599] {
            assert_eq!(outcome(code, ""), rejected(code, false));
            assert_eq!(outcome(code, "text"), rejected(code, true));
        }
        for code in [
            100, 101, 199, 201, 202, 204, 206, 299, 300, 301, 302, 304, 307, 308, 399, 600, 999,
        ] {
            assert!(
                matches!(outcome(code, ""), Err(Error::Unintelligible(_))),
                "{code}"
            );
        }
    }

    #[test]
    fn only_a_poll_can_elapse() {
        let of_poll = |status| decide(reply(status, ""), true);
        assert_eq!(of_poll(408), Err(Error::Elapsed));
        for status in [200, 302, 401, 500, 503, 504] {
            assert_eq!(of_poll(status), outcome(status, ""));
        }
    }

    #[test]
    fn retry_after_is_followed_where_the_status_passes() {
        let outcome = |status| {
            let retry_after = Some(120);
            decide(
                Reply {
                    retry_after,
                    ..reply(status, "")
                },
                false,
            )
        };
        for (status, cause) in [
            (429, RetryCause::RateLimited),
            (502, RetryCause::NotServing),
            (503, RetryCause::NotServing),
        ] {
            let seconds = 120;
            let retry_after = Error::RetryAfter(RetryAfter { cause, seconds });
            assert_eq!(outcome(status), Err(retry_after));
        }
        assert_eq!(outcome(500), rejected(500, false));
        assert_eq!(outcome(504), Err(Error::Timeout));
    }

    #[test]
    fn a_body_of_blanks_is_no_text() {
        assert_eq!(outcome(500, " \r\n"), rejected(500, false));
    }

    #[test]
    fn a_body_over_the_bound_spoils_an_answer_but_not_a_refusal() {
        let too_large = |status| Reply {
            status,
            body: None,
            retry_after: None,
        };
        assert!(matches!(
            decide(too_large(200), false),
            Err(Error::Unintelligible(_))
        ));
        assert_eq!(decide(too_large(500), false), rejected(500, true));
    }
}
