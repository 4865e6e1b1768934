use super::*;

fn read(text: &str) -> Server {
    Server::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn each_part_is_read_and_those_that_are_absent_have_defaults() {
    let server = read("redis://localhost");
    assert_eq!((server.host.as_str(), server.port), ("localhost", 6379));
    assert!(!server.is_tls);
    assert_eq!((server.user, server.database), (None, 0));
    assert!(server.password.is_none() && server.ca.is_none());

    let server = read("rediss://gateway:s%2Fe%40c%25ret@redis.example.com:6380/15");
    assert_eq!(server.host, "redis.example.com");
    assert_eq!((server.port, server.is_tls), (6380, true));
    assert_eq!(
        (server.user.as_deref(), server.database),
        (Some("gateway"), 15)
    );
    assert_eq!(**server.password.as_ref().unwrap(), "s/e@c%ret");

    let server = read("REDISS://:secret@192.0.2.1/");
    assert_eq!((server.host.as_str(), server.is_tls), ("192.0.2.1", true));
    assert_eq!((server.user, server.database), (None, 0));
    assert_eq!(**server.password.as_ref().unwrap(), "secret");

    let server = read("redis://gateway@[2001:db8::1]:7000");
    assert_eq!((server.host.as_str(), server.port), ("2001:db8::1", 7000));
    assert_eq!(server.user.as_deref(), Some("gateway"));
    assert!(server.password.is_none());

    assert!(read("redis://:@localhost").password.is_none());
    assert_eq!(read("redis://valkey_1.internal").host, "valkey_1.internal");
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        ("", UrlError::Scheme),
        ("localhost:6379", UrlError::Scheme),
        ("http://localhost", UrlError::Scheme),
        ("redis:localhost", UrlError::Scheme),
        ("redis+unix:///run/redis.sock", UrlError::Scheme),
        ("redis://", UrlError::NoHost),
        ("redis:///1", UrlError::NoHost),
        ("redis://:secret@", UrlError::NoHost),
        ("redis://user:sec/ret@localhost", UrlError::Port),
        ("redis://localhost:70000", UrlError::Port),
        ("redis://localhost:x", UrlError::Port),
        ("redis://[::1", UrlError::Host),
        ("redis://local%20host", UrlError::Host),
        ("redis://loc al", UrlError::Host),
        ("redis://l\u{f6}calhost", UrlError::Host),
        ("redis://localhost/zero", UrlError::Database),
        ("redis://localhost/+1", UrlError::Database),
        ("redis://localhost/0/1", UrlError::Database),
        ("redis://localhost/4294967296", UrlError::Database),
        ("redis://localhost/0?timeout=5", UrlError::Query),
        ("redis://localhost#0", UrlError::Query),
        ("redis://:%FF@localhost", UrlError::Encoding),
    ] {
        assert_eq!(Server::parse(text).err(), Some(expected), "{text}");
    }
}

#[test]
fn nothing_shows_the_password() {
    let url = "rediss://gateway:hunter2@redis.example.com/1";
    let server = read(url);
    for shown in [
        format!("{server:?}"),
        format!("{server:#?}"),
        server.to_string(),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(server.to_string(), "rediss://redis.example.com:6379/1");
    assert_eq!(
        read("redis://:hunter2@[::1]").to_string(),
        "redis://[::1]:6379/0"
    );
    // Wherever a wrong URL has it.
    for wrong in [
        "redis://hunter2",
        "redis://:hunter2@",
        "redis://:hunter2@host:x",
        "redis://a:hunter2/@host",
        "redis://a:hunter2#@host",
        "redis://a:b@host/hunter2",
        "redis://a:b@host?hunter2",
        "hunter2",
    ] {
        if let Err(error) = Server::parse(wrong) {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
