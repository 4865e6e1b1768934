//! Checks the layering: which room may use which other, which file may name which library, how long a file may be.
//!
//! The crate's documentation has the same as a picture. This test reads the sources as text: `use crate::room` in all
//! its forms, and `crate::room::…` anywhere else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the rooms and packages that it may use.
const ROOMS: &[(&str, &str)] = &[
    // These use no other room.
    ("timers", ""),
    ("udp", ""),
    ("metrics", ""),
    ("shown", ""),
    // Rooms of the gateway, from the devices to ThingsBoard.
    ("credentials", "device shown"),
    ("dtls", "credentials device timers shares shown dtls_server"),
    ("device", ""),
    ("upstream", "device shown"),
    ("ota", "upstream device timers shares coap"),
    ("state", "shown state_store credentials device dtls coap"),
    ("group", "shown replicas replicas_redis dtls dtls_server"),
    ("downlink", "upstream"),
    ("relay", "downlink ota upstream device dtls timers coap"),
    ("mapping", "downlink ota upstream device coap"),
    (
        "calls",
        "mapping downlink relay ota upstream device dtls coap",
    ),
    ("quotas", "mapping upstream device dtls coap shares"),
    (
        "gateway",
        "relay shown state state_store group replicas replicas_redis downlink ota mapping calls quotas logging coap credentials dtls device upstream metrics udp timers shares heap_trim",
    ),
    // Configuration, reloads and the admin server.
    (
        "config",
        "relay downlink ota coap credentials dtls device upstream logging shown state state_store group replicas replicas_redis",
    ),
    ("reload", "config credentials device dtls gateway upstream"),
    (
        "admin",
        "gateway reload ota downlink relay upstream dtls credentials metrics coap cross_site state_store group replicas",
    ),
    ("logging", "shares"),
    // Makes certificates: for `certs`, the demo, and the unit tests of any room.
    ("authority", "device credentials shown"),
    // The whole core in a simulated network, for tests.
    ("simulation", EVERYTHING),
    // The process.
    ("cli", EVERYTHING),
    ("facade", EVERYTHING),
    ("main", EVERYTHING),
];
const EVERYTHING: &str = "*";

/// Packages of this workspace. A room's row also lists those that it may use; for their own dependencies, Cargo.toml
/// does.
const CRATES: &[&str] = &[
    "coap",
    "dtls_server",
    "shares",
    "cross_site",
    "heap_trim",
    "state_store",
    "replicas",
    "replicas_redis",
    "thingsboard_simulator",
];

/// Rooms that must be found, so that a test that reads no file fails.
const MUST_EXIST: &[&str] = &[
    "dtls", "device", "upstream", "downlink", "ota", "relay", "mapping", "gateway", "config",
    "metrics", "admin",
];

/// A library, and the only files that may name it (`src/room/` is all files of a room).
const NAMED_IN: &[(&str, &[&str])] = &[
    (
        "dimpl",
        &[
            "src/dtls/dtls13/engine.rs",
            "crates/coap-client/src/dtls.rs",
        ],
    ),
    (
        "hyper",
        &[
            "src/upstream/http/",
            "src/admin/",
            "crates/demo/src/page/feed.rs",
            "crates/load/src/bench/",
            "crates/thingsboard-simulator/src/server.rs",
        ],
    ),
    (
        "mqtt_protocol_core",
        &[
            "src/upstream/mqtt/",
            "crates/thingsboard-simulator/src/mqtt/packet.rs",
            "crates/thingsboard-simulator/src/mqtt/packet/",
        ],
    ),
    (
        "tokio_rustls",
        &[
            "src/upstream/http/",
            "crates/load/src/bench/",
            "crates/test-support/src/tls_front.rs",
        ],
    ),
    (
        "h2",
        &["src/upstream/http/http2/", "src/upstream/http/failure.rs"],
    ),
    (
        "axum",
        &[
            "crates/thingsboard-simulator/src/",
            "src/admin/",
            "crates/demo/src/page/",
        ],
    ),
    (
        "hyper_util",
        &[
            "src/upstream/http/connect.rs",
            "src/admin/connections.rs",
            "crates/load/src/bench/",
            "crates/thingsboard-simulator/src/server.rs",
        ],
    ),
    (
        "percent_encoding",
        &[
            "src/upstream/thingsboard/encode.rs",
            "crates/replicas-redis/src/url.rs",
            "crates/thingsboard-simulator/src/",
        ],
    ),
    ("prometheus_client", &["src/metrics/text.rs"]),
    ("toml_edit", &["src/cli/device/edit.rs"]),
    ("strsim", &["src/config/unknown.rs"]),
    ("rustix", &["src/cli/dumpable.rs", "src/cli/check/state.rs"]),
    ("heap_trim", &["src/gateway/driver.rs"]),
    ("quinn_udp", &["src/udp.rs", "src/udp/"]),
    (
        "redis",
        &[
            "crates/replicas-redis/src/connection.rs",
            "crates/replicas-redis/src/reply.rs",
        ],
    ),
    (
        "rustls_native_certs",
        &[
            "src/upstream/http/trust.rs",
            "crates/replicas-redis/src/tls.rs",
        ],
    ),
    (
        "rusqlite",
        &[
            "crates/state-store/src/database.rs",
            "crates/state-store/src/database/",
            "crates/state-store/src/disk_error.rs",
        ],
    ),
];

/// A library, and the rooms that must not name it, because they are sans-IO and take the time as a parameter.
const NOT_IN: &[(&str, &[&str])] = &[
    (
        "tokio",
        &["dtls", "credentials", "device", "config", "timers"],
    ),
    (
        "socket2",
        &["dtls", "credentials", "device", "config", "timers"],
    ),
];

const LONGEST_FILE: usize = 600;
const LONGEST_MAIN: usize = 80;

/// A file: its path relative to the package's root, and its text without comments.
struct Source {
    path: String,
    code: String,
    lines: usize,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            code: without_comments(text),
            lines: text.lines().count(),
        }
    }

    /// `coap` for `src/coap/message.rs`, `udp` for `src/udp.rs`, `lib` for `src/lib.rs`.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside
            .split('/')
            .next()
            .unwrap_or(inside)
            .trim_end_matches(".rs")
    }

    /// The rooms that the code names by a chain of `super::` to the crate's root. (Inline modules are a level deeper
    /// than their file, so a name counts only if it is a room's.)
    fn edges_by_super(&self) -> BTreeSet<String> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let depth = inside.split('/').count();
        let code = self.code.replace(&"super::".repeat(depth), "crate::");
        let is_room = |name: &String| ROOMS.iter().any(|(room, _)| room == name);
        edges(&code).into_iter().filter(is_room).collect()
    }

    /// Whether the file has only tests; its module declaration has `cfg(test)`.
    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name == "tests.rs"
            || name.ends_with("_tests.rs")
            || self.path.contains("/tests/")
            || self.path.contains("/simulation/")
    }
}

/// The text without comments, which may name anything.
fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| {
            let comment = line
                .match_indices("//")
                .map(|(at, _)| at)
                // `http://` in a string is not a comment.
                .find(|&at| !line[..at].ends_with(':'));
            comment.map_or(line, |at| &line[..at])
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The names that follow each `crate::`: `crate::a::b` gives `a`, `crate::{a::x, b}` gives `a` and `b`.
fn edges(code: &str) -> BTreeSet<String> {
    const ROOT: &str = "crate::";
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(ROOT) {
        // `$crate::` and `mycrate::` don't count.
        if code[..at].ends_with(|c| is_word(c) || c == '$') {
            continue;
        }
        let rest = &code[at + ROOT.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(first_names_of_group(group));
        } else {
            found.insert(rest.chars().take_while(|&c| is_word(c)).collect());
        }
    }
    found
}

/// `a::{x, y}, b, c as d}` gives `a`, `b`, `c`.
fn first_names_of_group(group: &str) -> Vec<String> {
    let (mut names, mut name, mut depth, mut at_start) = (Vec::new(), String::new(), 0, true);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if is_word(c) && depth == 0 && at_start => name.push(c),
            c if c.is_whitespace() && name.is_empty() => {}
            _ => {
                at_start = false;
                if !name.is_empty() {
                    names.push(std::mem::take(&mut name));
                }
            }
        }
        if at_start && c == ',' && !name.is_empty() {
            names.push(std::mem::take(&mut name));
        }
    }
    if !name.is_empty() {
        names.push(name);
    }
    names
}

/// Whether the code names a library: as a path (`tokio::…`) or in `use tokio;`.
fn names(code: &str, library: &str) -> bool {
    code.match_indices(library).any(|(at, _)| {
        let before = &code[..at];
        let after = code[at + library.len()..].trim_start();
        let starts = !before.ends_with(|c| is_word(c) || c == '.' || c == '"');
        // A module of this crate may have the same name: `upstream::tokio::…`.
        let inner = before.ends_with("::")
            && !before
                .trim_end_matches(':')
                .ends_with(['{', ' ', ',', '(', '<']);
        starts
            && !inner
            && (after.starts_with("::") || before.trim_end_matches(':').trim_end().ends_with("use"))
    })
}

/// Describes everything in these files that the tables don't allow.
fn violations(sources: &[Source]) -> Vec<String> {
    let rooms: BTreeMap<&str, &str> = ROOMS.iter().copied().collect();
    let own = sources
        .iter()
        .filter(|source| source.path.starts_with("src/"));
    let modules: BTreeSet<&str> = own.map(Source::room).collect();
    let mut wrong = Vec::new();
    for source in sources {
        let (path, room) = (&source.path, source.room());
        if room != "lib" && path.starts_with("src/") {
            match rooms.get(room) {
                None => wrong.push(format!(
                    "{path}: no room {room:?} in the table of tests/layering.rs"
                )),
                Some(allowed) => {
                    let allowed: Vec<&str> = allowed.split(' ').collect();
                    // A name that is no module (`crate::Error`) is an item of the crate's root.
                    let mut used = edges(&source.code);
                    used.extend(source.edges_by_super());
                    used.retain(|name| {
                        modules.contains(name.as_str()) || rooms.contains_key(name.as_str())
                    });
                    let crates = CRATES.iter().filter(|name| names(&source.code, name));
                    used.extend(crates.map(|&name| name.to_owned()));
                    for name in used.into_iter().filter(|name| name != room) {
                        // The simulated network uses the simulator's model of ThingsBoard.
                        let for_tests = source.is_test()
                            && (name == "authority" || name == "thingsboard_simulator");
                        if !for_tests
                            && !allowed.contains(&EVERYTHING)
                            && !allowed.contains(&name.as_str())
                        {
                            wrong.push(format!("{path}: {room} must not use {name}"));
                        }
                    }
                }
            }
        }
        for (library, places) in NAMED_IN {
            let allowed = places.iter().any(|place| {
                path.starts_with(place) || path.strip_suffix(".rs") == place.strip_suffix('/')
            });
            if names(&source.code, library) && !allowed && !source.is_test() {
                wrong.push(format!(
                    "{path}: {library} is named in {} alone",
                    places.join(" and ")
                ));
            }
        }
        for (library, forbidden) in NOT_IN {
            if names(&source.code, library) && forbidden.contains(&room) && !source.is_test() {
                wrong.push(format!("{path}: {room} must not use {library}"));
            }
        }
        if path.ends_with("/mod.rs") || source.code.contains("#[path") {
            wrong.push(format!(
                "{path}: a module is x.rs beside x/, and the file tree is the module tree"
            ));
        }
        let limit = if path == "src/main.rs" {
            LONGEST_MAIN
        } else {
            LONGEST_FILE
        };
        if source.lines > limit {
            wrong.push(format!("{path}: {} lines, more than {limit}", source.lines));
        }
    }
    wrong
}

fn read(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources_under(directory: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    read(&root.join(directory), &mut paths);
    let source = |path: PathBuf| {
        let name = path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/");
        Source::new(&name, &fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(source).collect()
}

#[test]
fn every_room_uses_only_the_rooms_and_libraries_of_its_row() {
    let mut sources = sources_under("src");
    sources.extend(sources_under("crates"));
    let seen: BTreeSet<&str> = sources.iter().map(Source::room).collect();
    for room in MUST_EXIST.iter().chain(&["main", "lib"]) {
        assert!(
            seen.contains(room),
            "no file of {room:?} was found: does this test look in the right place?"
        );
    }
    let wrong = violations(&sources);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_files_that_may_name_a_library_do_name_it() {
    // So that the table is changed when a file moves.
    let mut sources = sources_under("src");
    sources.extend(sources_under("crates"));
    for (library, places) in NAMED_IN {
        for place in places.iter().filter(|place| place.ends_with(".rs")) {
            if let Some(source) = sources.iter().find(|source| source.path == *place) {
                assert!(
                    names(&source.code, library),
                    "{place} does not name {library}"
                );
            }
        }
    }
}

#[test]
fn no_file_of_the_tests_and_crates_is_too_long() {
    let mut outside = sources_under("tests");
    outside.extend(sources_under("crates"));
    for path in ["tests/layering.rs", "crates/load/src/lib.rs"] {
        assert!(outside.iter().any(|source| source.path == path), "{path}");
    }
    for source in outside {
        assert!(
            source.lines <= LONGEST_FILE,
            "{}: {} lines",
            source.path,
            source.lines
        );
    }
}

#[test]
fn a_forbidden_edge_is_found_however_it_is_written() {
    for code in [
        "use crate::gateway::Core;",
        "pub(crate) use crate::gateway;",
        "use crate::{timers::Timers, gateway::{Core, Shard}};",
        "use crate::{\n    timers,\n    gateway,\n};",
        "fn f() { crate::gateway::run() }",
        "use super::super::gateway::Core;",
        "type T = Option<crate::gateway::Core>;",
        "let url = \"http://x\"; crate::gateway::run();",
    ] {
        let wrong = violations(&[Source::new("src/dtls/record.rs", code)]);
        assert_eq!(
            wrong,
            ["src/dtls/record.rs: dtls must not use gateway"],
            "{code}"
        );
    }
}

#[test]
fn a_forbidden_package_of_the_workspace_is_found() {
    for code in ["use coap::Message;", "fn f(m: &coap::Message) {}"] {
        let wrong = violations(&[Source::new("src/dtls/record.rs", code)]);
        assert_eq!(wrong, ["src/dtls/record.rs: dtls must not use coap"]);
    }
}

#[test]
fn allowed_code_is_not_reported() {
    for (path, code) in [
        (
            "src/dtls/record.rs",
            "use crate::dtls::hello;\nuse super::gateway;",
        ),
        ("src/dtls/session.rs", "use crate::timers::Timers;"),
        (
            "src/timers.rs",
            "mod tests { use super::*; use super::Slot; }",
        ),
        (
            "src/dtls/dtls13/engine.rs",
            "//! See [`crate::gateway`].\n// crate::gateway::x\nuse dimpl::Dtls;",
        ),
        (
            "src/dtls/session.rs",
            "use mycrate::gateway; let crate_gateway = 1;",
        ),
        (
            "src/cli.rs",
            "use crate::{gateway, reload}; use tokio::runtime::Runtime;",
        ),
        ("src/main.rs", "use coaps_gateway::facade::cli;"),
        ("src/upstream/tests.rs", "use tokio::net::TcpListener;"),
        ("src/device.rs", "let tokio_like = s.tokio; // tokio::x"),
    ] {
        assert_eq!(
            violations(&[Source::new(path, code)]),
            Vec::<String>::new(),
            "{path}: {code}"
        );
    }
}

#[test]
fn a_library_named_in_another_file_is_found() {
    for (path, code, expected) in [
        (
            "src/dtls/session.rs",
            "use dimpl::Dtls;",
            "dimpl is named in src/dtls/dtls13/engine.rs and crates/coap-client/src/dtls.rs alone",
        ),
        (
            "src/dtls/session.rs",
            "use {std::fmt, dimpl::Dtls};",
            "dimpl is named in src/dtls/dtls13/engine.rs and crates/coap-client/src/dtls.rs alone",
        ),
        (
            "crates/coap/src/option.rs",
            "fn f(engine: dimpl::Dtls) {}",
            "dimpl is named in src/dtls/dtls13/engine.rs and crates/coap-client/src/dtls.rs alone",
        ),
        (
            "src/calls/task.rs",
            "let c = tokio_rustls::TlsConnector::from(c);",
            "tokio_rustls is named in src/upstream/http/ and crates/load/src/bench/ and crates/test-support/src/tls_front.rs alone",
        ),
        (
            "src/timers.rs",
            "use tokio::time::sleep;",
            "timers must not use tokio",
        ),
        (
            "src/device/registry.rs",
            "use ::tokio;",
            "device must not use tokio",
        ),
    ] {
        let wrong = violations(&[Source::new(path, code)]);
        assert_eq!(wrong, [format!("{path}: {expected}")], "{code}");
    }
}

#[test]
fn a_long_file_and_an_unknown_room_are_found() {
    let long = "\n".repeat(601);
    assert_eq!(
        violations(&[Source::new("src/dtls/record.rs", &long)]).len(),
        1
    );
    assert_eq!(
        violations(&[Source::new("src/main.rs", &"\n".repeat(81))]).len(),
        1
    );
    assert_eq!(violations(&[Source::new("src/utils.rs", "")]).len(), 1);
}

#[test]
fn a_second_module_style_is_found() {
    for (path, code) in [
        ("src/dtls/mod.rs", ""),
        ("src/dtls/record.rs", "#[path = \"x.rs\"] mod x;"),
    ] {
        assert_eq!(violations(&[Source::new(path, code)]).len(), 1, "{path}");
    }
}
