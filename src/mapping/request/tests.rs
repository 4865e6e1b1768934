use super::*;
use crate::device::AccessToken;
use crate::mapping::path;

const SIZES: Sizes = Sizes {
    largest_body: 1024,
    max_message: 1152,
};

fn device() -> Arc<Device> {
    Arc::new(Device {
        name: "meter-17".into(),
        token: AccessToken::new("A1_TEST_TOKEN").unwrap(),
    })
}

fn request(method: Method, path: &str, payload: &'static str) -> (Request, Resource) {
    let mut request = Request::new(method, Bytes::from_static(payload.as_bytes()));
    request.path = path.split('/').map(str::to_owned).collect();
    let resource = path::resolve(&request.path).unwrap();
    (request, resource)
}

fn call(method: Method, path: &str, payload: &'static str) -> (AnswerKind, Operation) {
    let (request, resource) = request(method, path, payload);
    match map(request, Ok(resource), Some(&device()), SIZES) {
        Action::Call(expect, upstream::Request::Device { operation, .. }) => (expect, operation),
        other => panic!("{other:?}"),
    }
}

fn response(change: impl FnOnce(&mut Request), path: &str) -> Response {
    let (mut request, resource) = request(Method::Post, path, "{}");
    change(&mut request);
    match map(request, Ok(resource), Some(&device()), SIZES) {
        Action::Respond(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_row_of_the_device_api_becomes_its_upstream_operation_with_the_body_untouched() {
    // Not JSON to a strict parser: ThingsBoard's own examples send it.
    const BODY: &str = "{temperature:25}";
    let body = Bytes::from_static(BODY.as_bytes());
    let post = |path| call(Method::Post, path, BODY);
    assert_eq!(
        post("api/v1/telemetry"),
        (AnswerKind::Created, Operation::PostTelemetry(body.clone()))
    );
    assert_eq!(
        post("api/v1/attributes"),
        (AnswerKind::Created, Operation::PostAttributes(body.clone()))
    );
    assert_eq!(
        post("api/v1/claim"),
        (AnswerKind::Created, Operation::Claim(body.clone()))
    );
    assert_eq!(
        call(Method::Post, "api/v1/claim", ""),
        (AnswerKind::Created, Operation::Claim(Bytes::new()))
    );
    let reply = Operation::ReplyRpc {
        id: 17,
        body: body.clone(),
    };
    assert_eq!(post("api/v1/rpc/17"), (AnswerKind::CommandReply(17), reply));
    assert_eq!(
        post("api/v1/rpc"),
        (AnswerKind::RpcReply, Operation::CallRpc(body))
    );
}

#[test]
fn attribute_keys_are_taken_from_the_query() {
    let (mut request, resource) = request(Method::Get, "api/v1/attributes", "");
    request.query = ["x=1", "clientKeys=a,b", "sharedKeys="]
        .map(str::to_owned)
        .into();
    let Action::Call(_, upstream::Request::Device { operation, .. }) =
        map(request, Ok(resource), Some(&device()), SIZES)
    else {
        panic!("no call")
    };
    let expected = Operation::GetAttributes {
        client_keys: Some("a,b".to_owned()),
        shared_keys: Some(String::new()),
    };
    assert_eq!(operation, expected);
}

#[test]
fn what_can_not_be_served_gets_its_error_at_once() {
    let telemetry = "api/v1/telemetry";
    let code = |change: fn(&mut Request)| response(change, telemetry).code;
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
    let not_acceptable = response(|request| request.accept = Some(60), "api/v1/rpc");
    assert_eq!(not_acceptable.code, Code::NOT_ACCEPTABLE);
}

#[test]
fn a_body_over_the_bound_is_too_large_and_the_response_has_the_bound() {
    let response = response(
        |request| request.payload = Bytes::from(vec![b' '; SIZES.largest_body + 1]),
        "api/v1/telemetry",
    );
    assert_eq!(response.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(response.size1, Some(1024));
}

#[test]
fn without_a_device_only_provisioning_is_called() {
    let (provision, resource) = request(Method::Post, "api/v1/provision", "{}");
    assert!(matches!(
        map(provision, Ok(resource), None, SIZES),
        Action::Call(AnswerKind::Provisioned, upstream::Request::Provision { .. })
    ));
    let (telemetry, resource) = request(Method::Post, "api/v1/telemetry", "{}");
    let Action::Respond(response) = map(telemetry, Ok(resource), None, SIZES) else {
        panic!("a call without a device")
    };
    assert_eq!(response.code, Code::UNAUTHORIZED);
}

#[test]
fn only_attributes_and_rpc_can_be_observed_and_only_by_get() {
    let action = |method, path: &str, observe, accept| {
        let (mut request, resource) = request(method, path, "{}");
        (request.observe, request.accept) = (Some(observe), accept);
        map(request, Ok(resource), Some(&device()), SIZES)
    };
    let registered = |path| match action(Method::Get, path, Observe::Register, None) {
        Action::Register(kind) => Some(kind),
        Action::Call(..) | Action::Download(..) | Action::Respond(_) => None,
    };
    assert_eq!(registered("api/v1/attributes"), Some(Kind::Attributes));
    assert_eq!(
        registered("api/v1/T/attributes/updates"),
        Some(Kind::Attributes)
    );
    assert_eq!(registered("api/v1/rpc"), Some(Kind::Commands));
    assert_eq!(registered("api/v1/T/rpc"), Some(Kind::Commands));
    for path in ["api/v1/telemetry", "api/v1/claim", "api/v1/provision"] {
        match action(Method::Get, path, Observe::Register, None) {
            Action::Respond(response) => assert_eq!(response.code, Code::BAD_REQUEST),
            other => panic!("{path}: {other:?}"),
        }
    }
    let package = action(Method::Get, "fw", Observe::Register, None);
    assert!(
        matches!(package, Action::Download(..)),
        "RFC 7641 §4.1: a GET as any other"
    );
    let posted = action(Method::Post, "api/v1/attributes", Observe::Register, None);
    assert!(matches!(posted, Action::Call(AnswerKind::Created, _)));
    let ended = action(Method::Get, "api/v1/attributes", Observe::Deregister, None);
    assert!(
        matches!(ended, Action::Call(AnswerKind::Attributes, _)),
        "a plain GET"
    );
    match action(Method::Get, "api/v1/rpc", Observe::Register, Some(60)) {
        Action::Respond(response) => assert_eq!(response.code, Code::NOT_ACCEPTABLE),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parameters_of_one_option_are_separated_and_the_last_of_a_key_counts() {
    let operation_of = |queries: &[&str]| {
        let (mut request, resource) = request(Method::Get, "api/v1/attributes", "");
        request.query = queries.iter().map(|query| (*query).to_owned()).collect();
        let Action::Call(_, upstream::Request::Device { operation, .. }) =
            map(request, Ok(resource), Some(&device()), SIZES)
        else {
            panic!("no call")
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
        assert_eq!(operation_of(queries), expected, "{queries:?}");
    }
}

#[test]
fn each_resource_has_the_methods_of_its_row() {
    let takes = |resource: Resource, method: Method| {
        let mut request = Request::new(method, Bytes::from_static(b"{}"));
        request.observe = resource.observable().map(|_| Observe::Register);
        !matches!(
            map(request, Ok(resource), Some(&device()), SIZES),
            Action::Respond(Response {
                code: Code::BAD_REQUEST | Code::METHOD_NOT_ALLOWED,
                ..
            })
        )
    };
    for resource in Resource::ALL {
        for method in [Method::Get, Method::Post, Method::Other] {
            let is_listed = resource.methods().contains(&method);
            assert_eq!(
                takes(resource, method),
                is_listed,
                "{method:?} {resource:?}"
            );
        }
    }
}
