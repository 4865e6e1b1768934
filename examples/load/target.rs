//! Where the load goes: a `coaps` URI, decomposed into options (RFC 7252 §6.4).

use url::Url;

/// Port of `coaps` (RFC 7252 §6.2).
const PORT: u16 = 5684;

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
        return Err(format!("{uri}: only coaps:// is spoken here"));
    }
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| format!("{uri}: no host in it"))?;
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

/// Undoes percent-encoding. An option of these has up to 255 bytes (RFC 7252 §5.10).
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
    fn what_is_no_coaps_uri_is_told() {
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
