//! `state.url` and what belongs to it: several gateways that go on with the sessions of one another.

use super::certificates::warn_of_open_key;
use super::file::{Unreadable, is_open_to_all};
use super::key::{Key, key};
use super::kind::{Address, Kind, OrEmpty};
use super::layers::Environment;
use super::mistake::Problem;
use super::reader::Reader;
use super::state::{self, EXPECTED_KEY, KEY_ENV, KEY_FILE, LARGEST_KEY, NewPath, State};
use super::value::Value;
use crate::dtls::{Parameters, Versions};
use crate::group::settings::Settings;
use crate::shown::Shown;
use replicas::GroupSecret;
use replicas_redis::Server;
use state_store::StoreKey;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

const URL: &str = "state.url";
const CA_FILE: &str = "state.ca_file";
const PREFIX: &str = "state.prefix";
const LISTEN: &str = "state.listen";
const ADDRESS: &str = "state.address";
/// Without `state.url` these have no effect. The others have defaults, which a file may spell out.
const WITHOUT_EFFECT: [&str; 2] = [CA_FILE, ADDRESS];

/// Bytes of a file of trust anchors: those of an operating system have 300,000.
const LARGEST_CA: u64 = 1024 * 1024;
/// The length of connection IDs that a group recognises.
const CONNECTION_ID: u8 = 8;

/// The keys of a group.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct GroupKeys {
    /// It may have a password.
    pub(super) url: Option<String>,
    ca_file: Option<PathBuf>,
    prefix: String,
    listen: SocketAddr,
    address: Option<SocketAddr>,
}

impl std::fmt::Debug for GroupKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupKeys")
            .field("url", &self.url.as_ref().map(|_| "…"))
            .field("listen", &self.listen)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Default for GroupKeys {
    fn default() -> GroupKeys {
        GroupKeys {
            url: None,
            ca_file: None,
            prefix: "coaps-gateway".to_owned(),
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 5685)),
            address: None,
        }
    }
}

pub(super) fn keys() -> Vec<Key<State>> {
    vec![
        key(
            URL,
            OrEmpty(StoreUrl),
            |state: &mut State| &mut state.group.url,
            "in place of state.directory: a Redis or Valkey server where several gateways store their sessions, so that each goes \
             on with those of the others. It may hold a user and a password; set it in the environment then. Not set by default",
        )
        .example("\"rediss://redis.example.com:6379\""),
        key(
            CA_FILE,
            OrEmpty(NewPath("/etc/coaps-gateway/redis-ca.pem")),
            |state: &mut State| &mut state.group.ca_file,
            "with rediss://: PEM of the trust anchors for that server. Not set by default: those of the operating system",
        )
        .example("\"/etc/coaps-gateway/redis-ca.pem\""),
        key(
            PREFIX,
            Prefix,
            |state: &mut State| &mut state.group.prefix,
            "what the names of all keys in that server begin with. Gateways with the same one are a group",
        ),
        key(
            LISTEN,
            Address("\"[::]:5685\", \"0.0.0.0:5685\", \"192.0.2.1:5685\""),
            |state: &mut State| &mut state.group.listen,
            "UDP, for the other gateways of the group, which pass datagrams of devices on",
        ),
        key(
            ADDRESS,
            OrEmpty(Address("\"192.0.2.1:5685\"")),
            |state: &mut State| &mut state.group.address,
            "where the other gateways reach this one. Not set by default: at state.listen, which must be one address then",
        )
        .example("\"192.0.2.1:5685\""),
    ]
}

/// The URL of the store.
struct StoreUrl;

impl Kind<String> for StoreUrl {
    fn read(&self, value: &Value) -> Result<String, Problem> {
        let Some(text) = value.text() else {
            return Err(value.is_not("text in quotes"));
        };
        // The error has no part of the URL, which may have a password.
        Server::parse(text).map_err(|error| {
            let expected = "redis://HOST:PORT or rediss://HOST:PORT, perhaps with USER:PASSWORD@ before the host";
            Problem::new(error.to_string(), expected)
        })?;
        Ok(text.to_owned())
    }

    fn write(&self, _: &String) -> Option<String> {
        None
    }

    fn range(&self) -> String {
        "a URL".to_owned()
    }
}

/// What names in the store begin with.
struct Prefix;

impl Kind<String> for Prefix {
    fn read(&self, value: &Value) -> Result<String, Problem> {
        let expected = "1 to 64 letters, digits, and any of `-_.:{}`";
        let Some(text) = value.text() else {
            return Err(value.is_not("text in quotes"));
        };
        let is_usual = |c: char| c.is_ascii_alphanumeric() || "-_.:{}".contains(c);
        match (1..=64).contains(&text.len()) && text.chars().all(is_usual) {
            true => Ok(text.to_owned()),
            false => {
                let found = format!("{} is no prefix", Shown::misplaced(text));
                Err(Problem::new(found, expected))
            }
        }
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn range(&self) -> String {
        "letters, digits, `-_.:{}`".to_owned()
    }
}

/// Checks the keys, and reads the secret and the trust anchors.
pub(super) fn read(
    reader: &mut Reader,
    state: &State,
    (coaps, dtls): (SocketAddr, &Parameters),
    environment: &Environment,
) -> Option<Settings> {
    let keys = &state.group;
    let Some(url) = &keys.url else {
        let set = WITHOUT_EFFECT.into_iter().find(|key| reader.is_set(key));
        if let Some(key) = set
            && !reader.is_wrong(URL)
        {
            reader.warn(key, "has no effect: state.url is not set");
        }
        return None;
    };
    if state.has_directory() {
        let expected = "one of them: a directory for one gateway, or a server for several";
        reader.mistake(URL, "state.directory is set as well", expected);
    }
    check_dtls(reader, dtls);
    let secret = secret(reader, state, environment);
    // It was read before.
    let mut server = Server::parse(url).ok()?;
    server.prefix.clone_from(&keys.prefix);
    if let Some(path) = &keys.ca_file {
        server.ca = ca(reader, path);
        if !server.is_tls {
            reader.warn(CA_FILE, "has no effect: state.url is redis://, without TLS");
        }
    }
    if let Err(error) = server.check() {
        reader.mistake(CA_FILE, error.to_string(), "PEM of certificates");
    }
    check_server(reader, &server);
    check_addresses(reader, keys, coaps);
    Some(Settings {
        server,
        secret: secret?,
        listen: keys.listen,
        address: keys.address,
        window: state.window(),
    })
}

/// The addresses at which this gateway is reached. `coaps`: where devices reach it.
fn check_addresses(reader: &mut Reader, keys: &GroupKeys, coaps: SocketAddr) {
    let expected = "the address of this machine or pod, with the port of state.listen";
    let is_anywhere = |address: SocketAddr| address.ip().is_unspecified();
    match keys.address {
        None if is_anywhere(keys.listen) => {
            let found = "state.listen is no address at which others reach this gateway";
            reader.mistake(ADDRESS, found, expected);
        }
        Some(address) if is_anywhere(address) || address.port() == 0 => {
            let found = "this is no address at which others reach this gateway";
            reader.mistake(ADDRESS, found, expected);
        }
        Some(_) | None => {}
    }
    let overlap = keys.listen.ip() == coaps.ip() || is_anywhere(keys.listen) || is_anywhere(coaps);
    if keys.listen.port() == coaps.port() && coaps.port() != 0 && overlap {
        let found = "listen.coaps is the same UDP port";
        reader.mistake(LISTEN, found, "another port, for the other gateways alone");
    }
}

fn check_dtls(reader: &mut Reader, dtls: &Parameters) {
    if dtls.versions == Versions::Only13 {
        let message =
            "without effect: sessions of DTLS 1.3 are not stored, and dtls.versions has no other";
        reader.warn(URL, message);
    } else if ![0, CONNECTION_ID].contains(&dtls.connection_id) {
        let found = format!(
            "{} bytes can't name a session of a group (state.url)",
            dtls.connection_id
        );
        reader.mistake("dtls.connection_id", found, "8, or 0 for no connection IDs");
    }
}

/// The secret of the group: each gateway must have the same, so none makes its own.
fn secret(reader: &mut Reader, state: &State, environment: &Environment) -> Option<GroupSecret> {
    let key = match state.key_source() {
        (Some(_), Some(_)) => {
            reader.mistake(KEY_ENV, "state.key_file is set as well", "one of them");
            None
        }
        (None, Some(name)) => state::of_variable(reader, name, environment),
        (Some(path), None) => of_file(reader, path),
        (None, None) => {
            let found = "there is no key for the group";
            let expected = format!(
                "state.key_file or state.key_env: {EXPECTED_KEY}; the same for all gateways"
            );
            reader.mistake(URL, found, expected);
            None
        }
    };
    key.map(|key| GroupSecret::new(*key.bytes()))
}

fn of_file(reader: &mut Reader, path: &Path) -> Option<StoreKey> {
    let expected = format!("a file of {EXPECTED_KEY}; the same for all gateways");
    let contents = match reader.file(path, LARGEST_KEY) {
        Ok(contents) => contents,
        Err(Unreadable::Missing) => {
            let found = format!("{} does not exist", Shown::path(path));
            reader.mistake(KEY_FILE, found, expected);
            return None;
        }
        Err(Unreadable::Other(reason)) => {
            let found = format!("{} can't be read: {reason}", Shown::path(path));
            reader.mistake(KEY_FILE, found, expected);
            return None;
        }
    };
    if contents.open_to_all {
        warn_of_open_key(reader, KEY_FILE, &Shown::path(path).to_string());
    }
    let text = std::str::from_utf8(&contents.bytes).unwrap_or_default();
    let key = StoreKey::from_hex(text).ok();
    if key.is_none() {
        let found = format!("{} holds no key", Shown::path(path));
        reader.mistake(KEY_FILE, found, expected);
    }
    key
}

fn ca(reader: &mut Reader, path: &Path) -> Option<Vec<u8>> {
    match reader.file(path, LARGEST_CA) {
        Ok(contents) => Some(contents.bytes.to_vec()),
        Err(unreadable) => {
            let reason = match unreadable {
                Unreadable::Missing => "it does not exist".to_owned(),
                Unreadable::Other(reason) => reason.to_string(),
            };
            let found = format!("{} can't be read: {reason}", Shown::path(path));
            reader.mistake(CA_FILE, found, "PEM of certificates");
            None
        }
    }
}

fn check_server(reader: &mut Reader, server: &Server) {
    let is_local = server.host == "localhost"
        || (server.host.parse::<std::net::IpAddr>()).is_ok_and(|address| address.is_loopback());
    if !server.is_tls && !is_local {
        let message = "redis:// has no TLS: sessions are encrypted, but whoever can change what goes to the server and back can \
                       undo what was stored, and reads the password. Use rediss:// outside of a network of your own";
        reader.warn(URL, message);
    }
    if server.password.is_some() && reader.file_with(URL).is_some_and(is_open_to_all) {
        let message = "everyone on this machine may read this file, and it has the store's password: set the URL in the environment, \
                       or chmod 600 the file";
        reader.warn(URL, message);
    }
}
