use super::*;
use crate::upstream::Answer;

fn of(expect: AnswerKind, outcome: Result<Answer, Error>) -> Response {
    match outcome {
        Ok(answer) => answered(expect, answer.body),
        Err(error) => failed(expect, &error),
    }
}

fn answer(body: &'static str) -> Result<Answer, Error> {
    Ok(Answer {
        body: Bytes::from_static(body.as_bytes()),
    })
}

#[test]
fn each_answer_has_its_response() {
    let created = of(AnswerKind::Created, answer("whatever"));
    assert_eq!((created.code, created.payload.len()), (Code::CREATED, 0));

    let attributes = of(AnswerKind::Attributes, answer(r#"{"shared":{"a":1}}"#));
    assert_eq!(attributes.code, Code::CONTENT);
    assert_eq!(attributes.content_format, Some(50));
    assert_eq!(&attributes.payload[..], br#"{"shared":{"a":1}}"#);
    let code = |expect, body| of(expect, answer(body)).code;
    assert_eq!(code(AnswerKind::Attributes, "{}"), Code::NOT_FOUND);
    assert_eq!(code(AnswerKind::Attributes, " { } "), Code::NOT_FOUND);
    for unreadable in ["", "[]", "<html>", "{"] {
        assert_eq!(code(AnswerKind::Attributes, unreadable), Code::BAD_GATEWAY);
        assert_eq!(code(AnswerKind::Provisioned, unreadable), Code::BAD_GATEWAY);
    }
    assert_eq!(code(AnswerKind::RpcReply, r#""ok""#), Code::CONTENT);
    assert_eq!(code(AnswerKind::RpcReply, ""), Code::BAD_GATEWAY);

    let success = of(AnswerKind::Provisioned, answer(r#"{"status":"SUCCESS"}"#));
    assert_eq!(success.code, Code::CREATED);
    assert_eq!(&success.payload[..], br#"{"status":"SUCCESS"}"#);
    let failure = of(AnswerKind::Provisioned, answer(r#"{"status":"NOT_FOUND"}"#));
    assert_eq!(failure.code, Code::BAD_REQUEST);
    assert_eq!(&failure.payload[..], br#"{"status":"NOT_FOUND"}"#);
}

#[test]
fn each_error_has_its_response_code() {
    let failed = |error| of(AnswerKind::Created, Err(error));
    let status = |status, has_text| failed(Error::Rejected(Rejection::new(status, has_text))).code;
    assert_eq!(failed(Error::Timeout).code, Code::GATEWAY_TIMEOUT);
    for error in [Error::Unreachable, Error::Overloaded] {
        let response = failed(error);
        assert_eq!(response.code, Code::SERVICE_UNAVAILABLE);
        assert_eq!(response.max_age, Some(RETRY_AFTER));
    }
    assert_eq!(
        failed(Error::Unintelligible("a redirect")).code,
        Code::BAD_GATEWAY
    );
    assert_eq!(status(400, true), Code::BAD_REQUEST);
    assert_eq!(status(401, false), Code::UNAUTHORIZED);
    assert_eq!(status(403, true), Code::FORBIDDEN);
    assert_eq!(status(404, true), Code::BAD_GATEWAY);
    assert_eq!(status(405, true), Code::BAD_GATEWAY);
    assert_eq!(status(413, true), Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(status(429, false), Code::TOO_MANY_REQUESTS);
    assert_eq!(status(500, true), Code::BAD_REQUEST);
    assert_eq!(status(500, false), Code::INTERNAL_SERVER_ERROR);
    let silent_rule_chain = of(AnswerKind::RpcReply, Err(Error::Overloaded));
    assert_eq!(silent_rule_chain.code, Code::GATEWAY_TIMEOUT);
}

#[test]
fn no_diagnostic_holds_a_token() {
    for code in [400, 401, 403, 404, 413, 429, 500, 599] {
        for has_text in [false, true] {
            let error = Error::Rejected(Rejection::new(code, has_text));
            let payload = of(AnswerKind::Created, Err(error)).payload;
            assert!(!String::from_utf8_lossy(&payload).contains("TOKEN"));
        }
    }
}

#[test]
fn attributes_are_forwarded_byte_for_byte() {
    let deep = format!(
        r#"{{"shared":{{"a":{}{}}}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let digits = format!(r#"{{"shared":{{"a":{}}}}}"#, "9".repeat(400));
    for body in [
        r#"{"shared":{"a":1e400}}"#,
        r#"{"shared":{"a":"\ud83d"}}"#,
        r#"{"client":{"a\ud83d":-1E-4000}}"#,
        " {\"shared\":{}}\r\n",
        &deep,
        &digits,
    ] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let response = of(AnswerKind::Attributes, Ok(Answer { body: body.clone() }));
        assert_eq!((response.code, response.payload), (Code::CONTENT, body));
    }
    for (body, code) in [
        (" { } ", Code::NOT_FOUND),
        ("", Code::BAD_GATEWAY),
        ("{", Code::BAD_GATEWAY),
        ("[]", Code::BAD_GATEWAY),
        ("<html>", Code::BAD_GATEWAY),
    ] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let response = of(AnswerKind::Attributes, Ok(Answer { body }));
        assert_eq!(response.code, code);
    }
}

#[test]
fn replies_of_rule_chains_and_provisioning_are_forwarded_byte_for_byte() {
    let deep = ["[".repeat(5000), "]".repeat(5000)].concat();
    for value in ["1e400", r#""\ud83d""#, &deep, &"9".repeat(400)] {
        let body = Bytes::from(value.to_owned());
        let response = of(AnswerKind::RpcReply, Ok(Answer { body: body.clone() }));
        assert_eq!((response.code, response.payload), (Code::CONTENT, body));
        let body = Bytes::from(format!(r#"{{"status":"SUCCESS","x":{value}}}"#));
        let response = of(AnswerKind::Provisioned, Ok(Answer { body: body.clone() }));
        assert_eq!((response.code, response.payload), (Code::CREATED, body));
    }
}
