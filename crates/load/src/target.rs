//! The target of the load: a `coaps` URI, decomposed into options (RFC 7252 §6.4).

use super::args::{Args, Method, Work};
use bytes::Bytes;
use coap::Code;
use coap::option::{encode_unsigned, number};
use coap_client::Request;
use url::Url;

/// The method PUT, 0.03 (RFC 7252 §12.1.1). The gateway has no resource with it.
const PUT: Code = Code(3);
/// Port of `coaps` (RFC 7252 §6.2).
const PORT: u16 = 5684;
/// The payload that RFC 7252 §4.6 has for one message where nothing is known.
const MAX_PAYLOAD: usize = 1024;

/// A server and one of its resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Uri-Path options.
    pub(crate) path: Vec<Vec<u8>>,
    /// Uri-Query options.
    pub(crate) query: Vec<Vec<u8>>,
}

pub(crate) fn parse(uri: &str) -> Result<Target, String> {
    let url = Url::parse(uri).map_err(|error| format!("{uri}: {error}"))?;
    if url.scheme() != "coaps" {
        return Err(format!("{uri}: the scheme must be coaps"));
    }
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| format!("{uri}: no host"))?;
    let path = url.path().strip_prefix('/').unwrap_or_default();
    let parts = |text: &str, separator| match text {
        "" => Ok(Vec::new()),
        _ => text.split(separator).map(decoded).collect(),
    };
    let options =
        |text, separator| parts(text, separator).map_err(|wrong| format!("{uri}: {wrong}"));
    Ok(Target {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(PORT),
        path: options(path, '/')?,
        query: options(url.query().unwrap_or_default(), '&')?,
    })
}

/// The request that the arguments describe, with this target's options.
pub(crate) fn request(args: &Args, target: &Target) -> Result<Request, String> {
    let method = match (args.work, args.method) {
        (Work::Observe, _) | (_, Method::Get) => Code::GET,
        (_, Method::Post) => Code::POST,
        (_, Method::Put) => PUT,
    };
    let mut request = Request::new(method);
    if args.work == Work::Observe {
        request = request.observe();
    }
    for segment in &target.path {
        request = request.option(number::URI_PATH, Bytes::from(segment.clone()));
    }
    for parameter in &target.query {
        request = request.option(number::URI_QUERY, Bytes::from(parameter.clone()));
    }
    if let Some(format) = args.content_format {
        request = request.option(number::CONTENT_FORMAT, encode_unsigned(format.into()));
    }
    let payload = match (&args.payload, &args.payload_file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(path)) => {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?
        }
        (None, None) => Vec::new(),
    };
    if payload.len() > MAX_PAYLOAD {
        return Err(format!(
            "a payload of {} bytes does not fit into one message",
            payload.len()
        ));
    }
    let request = request.payload(payload);
    if request.fits() {
        Ok(request)
    } else {
        Err("the options and the payload do not fit into one message".to_owned())
    }
}

/// Decodes percent-encoding. A Uri-Path or Uri-Query option has up to 255 bytes (RFC 7252 §5.10).
fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next().unwrap_or(b' '), rest.next().unwrap_or(b' ')];
            let digits = std::str::from_utf8(&digits).unwrap_or_default();
            u8::from_str_radix(digits, 16).map_err(|_| format!("%{digits} is no byte"))?
        } else {
            byte
        });
    }
    if bytes.len() > 255 {
        return Err("a part longer than 255 bytes".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_becomes_options() {
        let target = parse("coaps://gw.example/api/v1%2Fx/a?k=1&sharedKeys=a%26b").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("gw.example", 5684));
        assert_eq!(target.path, [&b"api"[..], b"v1/x", b"a"]);
        assert_eq!(target.query, [&b"k=1"[..], b"sharedKeys=a&b"]);
        let root = parse("coaps://[::1]:7000").unwrap();
        assert_eq!((root.host.as_str(), root.port), ("::1", 7000));
        assert!(root.path.is_empty() && root.query.is_empty());
    }

    #[test]
    fn other_uris_are_refused() {
        for wrong in [
            "coap://h/",
            "h/x",
            "coaps:///x",
            "coaps://h/%zz",
            "coaps://h/%4",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse(&format!("coaps://h/{}", "x".repeat(256))).is_err());
    }
}
