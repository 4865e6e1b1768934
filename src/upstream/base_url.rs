//! The URL of ThingsBoard: of its HTTP device API, before `/api/v1`, or of its MQTT device API.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use url::{Host, Url};

/// Which API is used, and whether over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    Mqtt,
    Mqtts,
}

impl Scheme {
    const ALL: [Scheme; 4] = [Scheme::Http, Scheme::Https, Scheme::Mqtt, Scheme::Mqtts];

    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Mqtt => "mqtt",
            Scheme::Mqtts => "mqtts",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
            Scheme::Mqtt => 1883,
            Scheme::Mqtts => 8883,
        }
    }
}

/// Scheme, host and port, and perhaps, for HTTP, a path before `/api/v1`: `https://iot.example/tb`, `mqtt://iot.example`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    is_local: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    authority: String,
    /// Without a slash at its end.
    path: String,
}

impl Default for BaseUrl {
    /// ThingsBoard on this machine.
    fn default() -> BaseUrl {
        BaseUrl {
            scheme: Scheme::Http,
            is_local: true,
            host: "127.0.0.1".to_owned(),
            port: 8080,
            authority: "127.0.0.1:8080".to_owned(),
            path: String::new(),
        }
    }
}

/// Why a text is no base URL. The messages never repeat the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// It is no URL.
    #[error("this is no URL: {0}")]
    Unreadable(#[from] url::ParseError),
    /// Its scheme is another, or it has no host.
    #[error("this is no http, https, mqtt or mqtts URL")]
    Scheme,
    /// `user:password@`
    #[error("there is a user name or password in it; the API takes devices' tokens only")]
    Credentials,
    /// `?…` or `#…`
    #[error("there is a query or fragment in it")]
    QueryOrFragment,
    /// MQTT has topics, and no path.
    #[error("there is a path in it, which MQTT has not")]
    Path,
    /// The path of the API itself.
    #[error("the gateway adds /api/v1/… itself")]
    ApiPath,
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<BaseUrl, BaseUrlError> {
        let url = Url::parse(text)?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|scheme| scheme.name() == url.scheme())
            .ok_or(BaseUrlError::Scheme)?;
        let host = url.host().ok_or(BaseUrlError::Scheme)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlError::QueryOrFragment);
        }
        if url.path().contains("/api/v1") {
            return Err(BaseUrlError::ApiPath);
        }
        let has_path = !["", "/"].contains(&url.path());
        if has_path && matches!(scheme, Scheme::Mqtt | Scheme::Mqtts) {
            return Err(BaseUrlError::Path);
        }
        Ok(BaseUrl {
            scheme,
            is_local: is_local(&host),
            port: url.port().unwrap_or(scheme.default_port()),
            host: match host {
                Host::Ipv6(address) => address.to_string(),
                Host::Ipv4(_) | Host::Domain(_) => host.to_string(),
            },
            authority: url.authority().to_owned(),
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

fn is_local(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback() || *address == Ipv4Addr::UNSPECIFIED,
        Host::Ipv6(address) => address.is_loopback() || *address == Ipv6Addr::UNSPECIFIED,
        // Of mqtt, an IPv4 address comes as a name: only the schemes of the web know them.
        Host::Domain(name) => match name.parse() {
            Ok(address) => is_local(&Host::Ipv4(address)),
            Err(_) => *name == "localhost" || name.ends_with(".localhost"),
        },
    }
}

impl BaseUrl {
    /// Whether it is `https` or `mqtts`.
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Mqtts)
    }

    /// Whether it is `mqtt` or `mqtts`.
    pub fn is_mqtt(&self) -> bool {
        matches!(self.scheme, Scheme::Mqtt | Scheme::Mqtts)
    }

    /// The port, also where the URL leaves it out.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether its host is a loopback address or name.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Host and port, as the `Host` header has them.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The path before `/api/v1`, without a slash at its end.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.name();
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> BaseUrlError {
        text.parse::<BaseUrl>().unwrap_err()
    }

    #[test]
    fn the_default_is_what_its_text_means() {
        let url = BaseUrl::default();
        assert_eq!(url.to_string().parse(), Ok(url));
    }

    #[test]
    fn a_path_may_stand_before_the_api() {
        for (text, shown, authority, path) in [
            ("http://tb:8080", "http://tb:8080", "tb:8080", ""),
            ("HTTP://Tb:80/", "http://tb", "tb", ""),
            ("http://tb/a/b/", "http://tb/a/b", "tb", "/a/b"),
            ("http://[::1]:8080", "http://[::1]:8080", "[::1]:8080", ""),
            ("mqtt://tb", "mqtt://tb", "tb", ""),
            ("mqtts://tb:8884/", "mqtts://tb:8884", "tb:8884", ""),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!((url.authority(), url.path()), (authority, path));
        }
    }

    #[test]
    fn a_port_left_out_is_the_schemes_and_mqtt_has_no_path() {
        for (text, port) in [
            ("http://tb", 80),
            ("https://tb", 443),
            ("mqtt://tb", 1883),
            ("mqtts://tb", 8883),
            ("mqtts://tb:1", 1),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(url.port(), port, "{text}");
            assert_eq!(url.is_mqtt(), text.starts_with("mqtt"), "{text}");
        }
        assert_eq!(refused("mqtt://tb/tb"), BaseUrlError::Path);
    }

    #[test]
    fn an_unusable_url_is_refused_with_the_reason() {
        for text in ["thingsboard", "", "http://"] {
            assert!(
                matches!(refused(text), BaseUrlError::Unreadable(_)),
                "{text}"
            );
        }
        for text in ["tb:8080", "amqp://tb:1883", "mqtt://"] {
            assert_eq!(refused(text), BaseUrlError::Scheme, "{text}");
        }
        for text in ["http://tb/?a=b", "http://tb/#top"] {
            assert_eq!(refused(text), BaseUrlError::QueryOrFragment, "{text}");
        }
        assert_eq!(refused("http://tb/api/v1"), BaseUrlError::ApiPath);
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for url in [
            "http://admin:hunter2@tb",
            "http://hunter2@tb",
            "http://admin:hunter2@tb:port",
        ] {
            let error = refused(url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn addresses_of_this_machine_are_known() {
        for (text, is_local) in [
            ("http://127.0.0.2:1", true),
            ("http://[::1]", true),
            ("mqtt://127.0.0.1", true),
            ("mqtt://localhost:1884", true),
            ("mqtt://[::1]:1883", true),
            ("mqtts://10.0.0.1", false),
            ("mqtt://tb.example", false),
            ("http://a.localhost", true),
            ("http://thingsboard", false),
            ("http://192.0.2.1", false),
        ] {
            assert_eq!(
                text.parse::<BaseUrl>().unwrap().is_local(),
                is_local,
                "{text}"
            );
        }
    }
}
