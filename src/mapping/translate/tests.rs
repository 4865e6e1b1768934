use super::*;
use crate::device::AccessToken;
use crate::mapping::resource;
use crate::upstream::Status;

const LARGEST: usize = 1024;

fn device() -> Arc<Device> {
    Arc::new(Device {
        name: "meter-17".into(),
        token: AccessToken::new("A1_TEST_TOKEN").unwrap(),
    })
}

fn request(method: Method, path: &str, payload: &'static str) -> (Request, Resource) {
    let mut request = Request::new(method, Bytes::from_static(payload.as_bytes()));
    request.path = path.split('/').map(str::to_owned).collect();
    let resource = resource::resolve(&request.path).unwrap();
    (request, resource)
}

fn asked(method: Method, path: &str, payload: &'static str) -> (Expect, Operation) {
    let (request, resource) = request(method, path, payload);
    match to_upstream(request, resource, Some(&device()), LARGEST, 1152) {
        Translated::Ask(expect, upstream::Request::Device { operation, .. }) => (expect, operation),
        other => panic!("{other:?}"),
    }
}

fn answered(change: impl FnOnce(&mut Request), path: &str) -> Response {
    let (mut request, resource) = request(Method::Post, path, "{}");
    change(&mut request);
    match to_upstream(request, resource, Some(&device()), LARGEST, 1152) {
        Translated::Answer(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_row_of_the_device_api_becomes_its_upstream_operation_with_the_body_untouched() {
    // Not JSON to a strict parser: ThingsBoard's own examples send it.
    const BODY: &str = "{temperature:25}";
    let body = Bytes::from_static(BODY.as_bytes());
    let post = |path| asked(Method::Post, path, BODY);
    assert_eq!(
        post("api/v1/telemetry"),
        (Expect::Created, Operation::PostTelemetry(body.clone()))
    );
    assert_eq!(
        post("api/v1/attributes"),
        (Expect::Created, Operation::PostAttributes(body.clone()))
    );
    assert_eq!(
        post("api/v1/claim"),
        (Expect::Created, Operation::Claim(body.clone()))
    );
    assert_eq!(
        asked(Method::Post, "api/v1/claim", ""),
        (Expect::Created, Operation::Claim(Bytes::new()))
    );
    let reply = Operation::ReplyRpc {
        id: 17,
        body: body.clone(),
    };
    assert_eq!(post("api/v1/rpc/17"), (Expect::CommandReply(17), reply));
    assert_eq!(
        post("api/v1/rpc"),
        (Expect::RpcReply, Operation::CallRpc(body))
    );
}

#[test]
fn attribute_keys_are_taken_from_the_query() {
    let (mut request, resource) = request(Method::Get, "api/v1/attributes", "");
    request.query = ["x=1", "clientKeys=a,b", "sharedKeys="]
        .map(str::to_owned)
        .into();
    let Translated::Ask(_, upstream::Request::Device { operation, .. }) =
        to_upstream(request, resource, Some(&device()), LARGEST, 1152)
    else {
        panic!("not asked")
    };
    let expected = Operation::GetAttributes {
        client_keys: Some("a,b".to_owned()),
        shared_keys: Some(String::new()),
    };
    assert_eq!(operation, expected);
}

#[test]
fn what_can_not_be_served_is_answered_at_once() {
    let telemetry = "api/v1/telemetry";
    let code = |change: fn(&mut Request)| answered(change, telemetry).code;
    assert_eq!(
        code(|request| request.conditional = true),
        Code::PRECONDITION_FAILED
    );
    assert_eq!(
        code(|request| request.method = Method::Other),
        Code::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        code(|request| request.method = Method::Get),
        Code::BAD_REQUEST
    );
    assert_eq!(
        code(|request| request.payload = Bytes::new()),
        Code::BAD_REQUEST
    );
    assert_eq!(
        code(|request| request.content_format = Some(60)),
        Code::UNSUPPORTED_CONTENT_FORMAT
    );
    let not_acceptable = answered(|request| request.accept = Some(60), "api/v1/rpc");
    assert_eq!(not_acceptable.code, Code::NOT_ACCEPTABLE);
}

#[test]
fn bodies_beyond_the_bound_are_too_large_and_told_the_bound() {
    let response = answered(
        |request| request.payload = Bytes::from(vec![b' '; LARGEST + 1]),
        "api/v1/telemetry",
    );
    assert_eq!(response.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(response.size1, Some(1024));
}

#[test]
fn without_a_device_only_provisioning_is_asked() {
    let (provision, resource) = request(Method::Post, "api/v1/provision", "{}");
    assert!(matches!(
        to_upstream(provision, resource, None, LARGEST, 1152),
        Translated::Ask(Expect::Provisioned, upstream::Request::Provision { .. })
    ));
    let (telemetry, resource) = request(Method::Post, "api/v1/telemetry", "{}");
    let Translated::Answer(response) = to_upstream(telemetry, resource, None, LARGEST, 1152) else {
        panic!("asked upstream without a device")
    };
    assert_eq!(response.code, Code::UNAUTHORIZED);
}

fn answer(body: &'static str) -> Result<Answer, Error> {
    Ok(Answer {
        body: Bytes::from_static(body.as_bytes()),
    })
}

#[test]
fn answers_become_what_a_device_expects() {
    let created = to_response(Expect::Created, answer("whatever"));
    assert_eq!((created.code, created.payload.len()), (Code::CREATED, 0));

    let attributes = to_response(Expect::Attributes, answer(r#"{"shared":{"a":1}}"#));
    assert_eq!(attributes.code, Code::CONTENT);
    assert_eq!(attributes.content_format, Some(50));
    assert_eq!(&attributes.payload[..], br#"{"shared":{"a":1}}"#);
    let code = |expect, body| to_response(expect, answer(body)).code;
    assert_eq!(code(Expect::Attributes, "{}"), Code::NOT_FOUND);
    assert_eq!(code(Expect::Attributes, " { } "), Code::NOT_FOUND);
    for nonsense in ["", "[]", "<html>", "{"] {
        assert_eq!(code(Expect::Attributes, nonsense), Code::BAD_GATEWAY);
        assert_eq!(code(Expect::Provisioned, nonsense), Code::BAD_GATEWAY);
    }
    assert_eq!(code(Expect::RpcReply, r#""ok""#), Code::CONTENT);
    assert_eq!(code(Expect::RpcReply, ""), Code::BAD_GATEWAY);

    let success = to_response(Expect::Provisioned, answer(r#"{"status":"SUCCESS"}"#));
    assert_eq!(success.code, Code::CREATED);
    assert_eq!(&success.payload[..], br#"{"status":"SUCCESS"}"#);
    let failure = to_response(Expect::Provisioned, answer(r#"{"status":"NOT_FOUND"}"#));
    assert_eq!(failure.code, Code::BAD_REQUEST);
    assert_eq!(&failure.payload[..], br#"{"status":"NOT_FOUND"}"#);
}

#[test]
fn each_outcome_upstream_has_its_response_code() {
    let response = |error| to_response(Expect::Created, Err(error));
    let status = |code, has_text| response(Error::Rejected(Status { code, has_text })).code;
    assert_eq!(response(Error::Timeout).code, Code::GATEWAY_TIMEOUT);
    for error in [Error::Unreachable, Error::Overloaded] {
        let response = response(error);
        assert_eq!(response.code, Code::SERVICE_UNAVAILABLE);
        assert_eq!(response.max_age, Some(RETRY_AFTER));
    }
    assert_eq!(
        response(Error::Unintelligible("a redirect")).code,
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
    let silent_rule_chain = to_response(Expect::RpcReply, Err(Error::Overloaded));
    assert_eq!(silent_rule_chain.code, Code::GATEWAY_TIMEOUT);
}

#[test]
fn no_diagnostic_holds_a_token() {
    for code in [400, 401, 403, 404, 413, 429, 500, 599] {
        for has_text in [false, true] {
            let error = Error::Rejected(Status { code, has_text });
            let payload = to_response(Expect::Created, Err(error)).payload;
            assert!(!String::from_utf8_lossy(&payload).contains("TOKEN"));
        }
    }
}

#[test]
fn only_attributes_and_rpc_can_be_observed_and_only_by_get() {
    let translated = |method, path: &str, observe, accept| {
        let (mut request, resource) = request(method, path, "{}");
        (request.observe, request.accept) = (Some(observe), accept);
        to_upstream(request, resource, Some(&device()), LARGEST, 1152)
    };
    let registered = |path| match translated(Method::Get, path, Observe::Register, None) {
        Translated::Register(kind) => Some(kind),
        Translated::Ask(..) | Translated::Download(..) | Translated::Answer(_) => None,
    };
    assert_eq!(registered("api/v1/attributes"), Some(Kind::Attributes));
    assert_eq!(
        registered("api/v1/T/attributes/updates"),
        Some(Kind::Attributes)
    );
    assert_eq!(registered("api/v1/rpc"), Some(Kind::Commands));
    assert_eq!(registered("api/v1/T/rpc"), Some(Kind::Commands));
    for path in ["api/v1/telemetry", "api/v1/claim", "api/v1/provision"] {
        match translated(Method::Get, path, Observe::Register, None) {
            Translated::Answer(response) => assert_eq!(response.code, Code::BAD_REQUEST),
            other => panic!("{path}: {other:?}"),
        }
    }
    let package = translated(Method::Get, "fw", Observe::Register, None);
    assert!(
        matches!(package, Translated::Download(..)),
        "RFC 7641 §4.1: a GET as any other"
    );
    let posted = translated(Method::Post, "api/v1/attributes", Observe::Register, None);
    assert!(matches!(posted, Translated::Ask(Expect::Created, _)));
    let ended = translated(Method::Get, "api/v1/attributes", Observe::Deregister, None);
    assert!(
        matches!(ended, Translated::Ask(Expect::Attributes, _)),
        "a plain GET"
    );
    match translated(Method::Get, "api/v1/rpc", Observe::Register, Some(60)) {
        Translated::Answer(response) => assert_eq!(response.code, Code::NOT_ACCEPTABLE),
        other => panic!("{other:?}"),
    }
}

#[test]
fn attributes_pass_as_upstream_has_written_them() {
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
        let response = to_response(Expect::Attributes, Ok(Answer { body: body.clone() }));
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
        let response = to_response(Expect::Attributes, Ok(Answer { body }));
        assert_eq!(response.code, code);
    }
}

#[test]
fn a_rule_chains_reply_and_a_provisioning_pass_with_what_no_double_or_char_holds() {
    let deep = ["[".repeat(5000), "]".repeat(5000)].concat();
    for value in ["1e400", r#""\ud83d""#, &deep, &"9".repeat(400)] {
        let body = Bytes::from(value.to_owned());
        let response = to_response(Expect::RpcReply, Ok(Answer { body: body.clone() }));
        assert_eq!((response.code, response.payload), (Code::CONTENT, body));
        let body = Bytes::from(format!(r#"{{"status":"SUCCESS","x":{value}}}"#));
        let response = to_response(Expect::Provisioned, Ok(Answer { body: body.clone() }));
        assert_eq!((response.code, response.payload), (Code::CREATED, body));
    }
}

#[test]
fn parameters_of_one_option_are_told_apart_and_the_last_of_a_key_counts() {
    let asked_with = |queries: &[&str]| {
        let (mut request, resource) = request(Method::Get, "api/v1/attributes", "");
        request.query = queries.iter().map(|query| (*query).to_owned()).collect();
        let Translated::Ask(_, upstream::Request::Device { operation, .. }) =
            to_upstream(request, resource, Some(&device()), LARGEST, 1152)
        else {
            panic!("not asked")
        };
        operation
    };
    let keys = |client: Option<&str>, shared: Option<&str>| Operation::GetAttributes {
        client_keys: client.map(str::to_owned),
        shared_keys: shared.map(str::to_owned),
    };
    let rows: [(&[&str], Operation); 4] = [
        (&["clientKeys=a&sharedKeys=b"], keys(Some("a"), Some("b"))),
        (&["&&clientKeys=a&", "x"], keys(Some("a"), None)),
        (&["sharedKeys=a", "sharedKeys=b"], keys(None, Some("b"))),
        (
            &["sharedKeys=a&sharedKeys=b", "clientKeys=c,d"],
            keys(Some("c,d"), Some("b")),
        ),
    ];
    for (queries, expected) in rows {
        assert_eq!(asked_with(queries), expected, "{queries:?}");
    }
}
