//! Where ThingsBoard's device API is.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use url::{Host, Url};

/// Scheme (`http` or `https`), host and port, and perhaps a path before `/api/v1`: `https://iot.example/tb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    is_https: bool,
    is_local: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    /// Host and port.
    authority: String,
    /// Without a slash at its end.
    path: String,
}

impl Default for BaseUrl {
    /// ThingsBoard on this machine.
    fn default() -> BaseUrl {
        BaseUrl {
            is_https: false,
            is_local: true,
            host: "127.0.0.1".to_owned(),
            authority: "127.0.0.1:8080".to_owned(),
            path: String::new(),
        }
    }
}

/// Why a text is no base URL. It never repeats the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// It does not parse.
    #[error("this is no URL: {0}")]
    Unreadable(#[from] url::ParseError),
    /// Its scheme is another.
    #[error("this is no http or https URL")]
    Scheme,
    /// `user:password@`
    #[error("there is a user name or password in it; the API takes devices' tokens only")]
    Credentials,
    /// `?…` or `#…`
    #[error("there is a query or fragment in it")]
    QueryOrFragment,
    /// The path of the API itself.
    #[error("the gateway adds /api/v1/… itself")]
    ApiPath,
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<BaseUrl, BaseUrlError> {
        let url = Url::parse(text)?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(BaseUrlError::Scheme);
        }
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
        Ok(BaseUrl {
            is_https: url.scheme() == "https",
            is_local: is_local(&host),
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
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
    }
}

impl BaseUrl {
    /// Whether it is `https`.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether it is on this machine.
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
        let scheme = if self.is_https { "https" } else { "http" };
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
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!((url.authority(), url.path()), (authority, path));
        }
    }

    #[test]
    fn an_unusable_url_is_refused_with_the_reason() {
        for text in ["thingsboard", "", "http://"] {
            assert!(
                matches!(refused(text), BaseUrlError::Unreadable(_)),
                "{text}"
            );
        }
        for text in ["tb:8080", "mqtt://tb:1883"] {
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
