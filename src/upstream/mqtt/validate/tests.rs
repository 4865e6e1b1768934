use super::*;
use crate::upstream::Package;
use bytes::Bytes;

fn body(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

fn post(text: &str) -> Result<(), Error> {
    check(&Operation::PostTelemetry(body(text)))
}

#[test]
fn telemetry_that_has_no_puback_or_closes_is_refused_as_over_http() {
    for text in [
        "[]",
        " [ ] ",
        "[/* none */]",
        "\u{feff}[]",
        "# x\n[\n]// end",
        ")]}'\n[]",
    ] {
        assert_eq!(
            post(text),
            Err(Error::Rejected(Rejection::BadRequest)),
            "{text}"
        );
    }
    for text in [
        r#"{"ts":"x","values":{"a":1}}"#,
        r#"{"values":{"a":1},"ts":"x"}"#,
        r#"{"\u0074s":"x","values":{}}"#,
        r#"{'ts'='1.5';values=>{}}"#,
        "{ts:x,values:{}}",
        "{ts:null,values:{}}",
        "{ts:true,values:{}}",
        "{ts:{},values:{}}",
        "{ts:[],values:{}}",
        "{ts:[x],values:{}}",
        "{ts:[null],values:{}}",
        "{ts:[1],values:{}}",
        "{ts:½,values:{}}",
        "{ts:٣,values:{}}",
        "{ts:9223372036854775808x,values:{}}",
        "{ts:\"9223372036854775808\",values:{}}",
        "{ts:1e10000,values:{}}",
        "{ts:1,values:[]}",
        "{ts:1,values:null}",
        "{ts:1,values:5}",
        r#"[{"a":1},{"ts":"","values":{"a":1}},{"b":1}]"#,
        r#"{"ts":1,"values":{},"ts":"x"}"#,
        r#"{"a":1e99999999999}"#,
        r#"{"a":1e2000000000}"#,
        r#"{"a":1e-2147483648}"#,
        r#"{"a":0.1e-9001}"#,
        r#"{"ts":1,"values":{"a":-1E-99999999999}}"#,
    ] {
        assert_eq!(post(text), Err(EXCEPTION), "{text}");
    }
}

#[test]
fn all_other_telemetry_is_sent_even_if_it_is_no_json() {
    for text in [
        "",
        " ",
        "null",
        "null x",
        "5",
        "text",
        "{}",
        "{temperature:25}",
        r#"{"a":null}"#,
        "[,]",
        "[1]",
        "[[]]",
        "[{}]",
        "[] x",
        r#"{"ts":1}"#,
        r#"{"ts":"x"}"#,
        r#"{"values":[]}"#,
        r#"{"ts":"1451649600512","values":{"a":1}}"#,
        r#"{"ts":1.5e3,"values":{"a":"x"}}"#,
        r#"{"ts":007,"values":{}}"#,
        r#"{"ts":"x","values":{},"ts":1}"#,
        r#"{"a":{"ts":"x","values":[]}}"#,
        r#"{"a":{"b":1e99999999999}}"#,
        r#"{"a":"1e99999999999"}"#,
        r#"{"a":1e400}"#,
        r#"{"a":1e9000,"b":1E+0009000}"#,
        r#"{"a":"\"}"#,
        r#"{"ts":"x","values":{}"#,
        "{/*",
        "{a",
        "{a:",
        "[1",
        "\"\\",
        "'",
        "}",
        "{\"a\":\"\\u12\"}",
    ] {
        assert_eq!(post(text), Ok(()), "{text}");
    }
    assert_eq!(
        check(&Operation::PostTelemetry(Bytes::from_static(
            b"\xff\xfe{a:\x80}"
        ))),
        Ok(())
    );
}

#[test]
fn a_deep_or_long_document_is_scanned_once_and_within_bounds() {
    let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(5000));
    assert_eq!(post(&deep), Err(UNPARSABLE));
    let deep = |levels: usize| format!("{{\"a\":{}}}", "[".repeat(levels) + &"]".repeat(levels));
    assert_eq!(post(&deep(254)), Ok(()));
    assert_eq!(post(&deep(255)), Err(UNPARSABLE));
    let attributes = Operation::PostAttributes(body(&deep(255)));
    assert_eq!(check(&attributes), Err(UNPARSABLE));
    let number = format!("{{ts:{},values:{{}}}}", "1".repeat(1025));
    assert_eq!(post(&number), Err(EXCEPTION));
    let long = format!("[{}{{ts:x,values:{{}}}}]", "{a:1},".repeat(9000));
    assert_eq!(post(&long), Err(EXCEPTION));
    let comments = "/**/".repeat(15_000) + "[]";
    assert_eq!(post(&comments), Err(Error::Rejected(Rejection::BadRequest)));
}

#[test]
fn the_other_bodies_are_refused_as_over_http() {
    let claim = |text: &str| check(&Operation::Claim(body(text)));
    for text in [
        "",
        "{}",
        "x",
        "[]",
        "{\"secretKey\":\"a\",\"durationMs\":60000}",
        "{durationMs:\"5\",secretKey:5}",
    ] {
        assert_eq!(claim(text), Ok(()), "{text}");
    }
    for text in [
        "{durationMs:soon}",
        "{durationMs:null}",
        "{secretKey:{}}",
        "{secretKey:null}",
    ] {
        assert_eq!(claim(text), Err(EXCEPTION), "{text}");
    }

    let rpc = |text: &str| check(&Operation::CallRpc(body(text)));
    for text in ["{method:m}", "{\"method\":\"m\",\"params\":{}}", "{"] {
        assert_eq!(rpc(text), Ok(()), "{text}");
    }
    for text in [
        "{}",
        "{params:1}",
        "{method:null}",
        "{method:{}}",
        "{method:[m]}",
        "{method:[null]}",
        "[]",
        "5",
        "null",
        " ",
    ] {
        assert_eq!(rpc(text), Err(EXCEPTION), "{text}");
    }

    let attributes = |text: &str| check(&Operation::PostAttributes(body(text)));
    for text in ["{}", "[]", "x", "{ts:x,values:[]}", "{a:1}"] {
        assert_eq!(attributes(text), Ok(()), "{text}");
    }
    assert_eq!(attributes("{a:1e99999999999}"), Err(EXCEPTION));

    let reply = |id| {
        check(&Operation::ReplyRpc {
            id,
            body: body("no JSON"),
        })
    };
    assert_eq!((reply(0), reply(0x7fff_ffff)), (Ok(()), Ok(())));
    assert_eq!(
        reply(0x8000_0000),
        Err(Error::Rejected(Rejection::BadRequest))
    );
}

#[test]
fn provisioning_needs_a_key_a_secret_and_a_known_type() {
    let rest = "provisionDeviceKey:k,provisionDeviceSecret:s";
    for text in [
        format!("{{{rest}}}"),
        format!("{{{rest},credentialsType:ACCESS_TOKEN,deviceName:a}}"),
        "[]".to_owned(),
        "{".to_owned(),
    ] {
        assert_eq!(check_provision(text.as_bytes()), Ok(()), "{text}");
    }
    for text in [
        "{}".to_owned(),
        "{provisionDeviceKey:k}".to_owned(),
        "{provisionDeviceKey:k,provisionDeviceSecret:null}".to_owned(),
        format!("{{{rest},credentialsType:ODD}}"),
    ] {
        assert_eq!(check_provision(text.as_bytes()), Err(UNPARSABLE), "{text}");
    }
    assert_eq!(
        check_provision(b" "),
        Err(Error::Rejected(Rejection::BadRequest))
    );
}

#[test]
fn sizes_at_their_bounds() {
    // Seen on a live server.
    assert_eq!(check_size("v1/devices/me/telemetry", 65_508), Ok(()));
    assert_eq!(
        check_size("v1/devices/me/telemetry", 65_509),
        Err(Error::Rejected(Rejection::TooLarge))
    );
    let package = |size| {
        check(&Operation::GetPackage {
            package: Package::Firmware,
            title: "t".into(),
            version: "v".into(),
            size,
            chunk: 0,
        })
    };
    assert_eq!(package(0), Err(Error::Rejected(Rejection::BadRequest)));
    assert_eq!((package(1), package(65_536)), (Ok(()), Ok(())));
    assert_eq!(package(65_537), Err(Error::Rejected(Rejection::BadRequest)));
}
