//! The real binary's commands `check`, `fingerprint` and `certs`.
#![allow(
    clippy::unwrap_used,
    reason = "a test that can't go on should stop where it is"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A working directory with only the files that the project ships.
fn shipped() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    fs::create_dir(directory.path().join("config")).unwrap();
    let mut seen = Vec::new();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        fs::copy(&path, directory.path().join("config").join(&name)).unwrap();
        seen.push(name.into_string().unwrap());
    }
    seen.sort();
    assert_eq!(seen, ["devices.toml", "gateway.toml"]);
    directory
}

/// Runs the gateway there, with this environment only.
fn gateway_with(directory: &Path, environment: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coaps-gateway"));
    command.env_clear().envs(environment.iter().copied());
    command.current_dir(directory).args(args).output().unwrap()
}

fn gateway(directory: &Path, args: &[&str]) -> Output {
    gateway_with(directory, &[], args)
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Makes certificates in `certs/`.
fn certs(directory: &Path, devices: &[&str]) -> Output {
    let mut args = vec!["certs", "--out", "certs", "--host", "localhost"];
    args.extend(devices.iter().flat_map(|name| ["--device", name]));
    gateway(directory, &args)
}

/// Every file of a directory with its bytes, to compare before and after.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn the_shipped_configuration_works_with_the_certificates_that_certs_makes() {
    let directory = shipped();
    let made = certs(directory.path(), &[]);
    assert!(made.status.success(), "{}", err(&made));
    let check = gateway(directory.path(), &["check"]);
    assert!(check.status.success(), "{}", err(&check));
    assert!(
        out(&check).contains("The configuration is fine."),
        "{}",
        out(&check)
    );
    // The shipped registry is empty, which is a warning, not a mistake.
    assert!(
        err(&check).starts_with("warning: ") && err(&check).lines().count() == 1,
        "{}",
        err(&check)
    );
    let named = gateway(directory.path(), &["fingerprint", "certs/server.pem"]);
    let sha256 = out(&named).lines().find_map(|line| {
        line.trim()
            .strip_prefix("SHA-256")
            .map(str::trim)
            .map(String::from)
    });
    assert!(out(&check).contains(&sha256.unwrap()), "{}", out(&check));
}

#[test]
fn the_lines_that_certs_prints_need_a_token_and_then_register_the_device() {
    let directory = shipped();
    let printed = out(&certs(directory.path(), &["meter-17", "meter-18"]));
    let lines = &printed[printed.find("[[device]]").unwrap()..];
    let registry = directory.path().join("config/devices.toml");
    fs::write(&registry, lines).unwrap();
    let forgotten = gateway(directory.path(), &["check"]);
    assert_eq!(forgotten.status.code(), Some(1));
    assert!(
        err(&forgotten).contains("config/devices.toml:4: device \"meter-17\": token:"),
        "{}",
        err(&forgotten)
    );
    fs::write(
        &registry,
        lines.replace("token = \"\"", "token = \"A1_TEST_TOKEN\""),
    )
    .unwrap();
    let check = gateway(directory.path(), &["check"]);
    assert!(check.status.success(), "{}", err(&check));
    assert!(out(&check).contains("devices         2"), "{}", out(&check));
    assert!(!out(&check).contains("A1_TEST_TOKEN") && !err(&check).contains("A1_TEST_TOKEN"));
}

#[test]
fn chains_and_an_rsa_certificate_are_made_checked_and_registered() {
    let directory = shipped();
    let made = gateway(
        directory.path(),
        &[
            "certs",
            "--out",
            "certs",
            "--host",
            "localhost",
            "--device",
            "meter-17",
            "--key-type",
            "ed25519",
            "--server-key-type",
            "p384",
            "--rsa-server",
            "--intermediate",
        ],
    );
    assert!(made.status.success(), "{}", err(&made));
    for name in ["ca", "intermediate", "server", "server-rsa", "meter-17"] {
        let line = format!("made  certs/{name}.pem  certs/{name}.key\n");
        assert!(out(&made).contains(&line), "{}", out(&made));
    }
    let environment = [
        (
            "COAPS_GATEWAY__SERVER__RSA_CERTIFICATE",
            "certs/server-rsa.pem",
        ),
        (
            "COAPS_GATEWAY__SERVER__RSA_PRIVATE_KEY",
            "certs/server-rsa.key",
        ),
        ("COAPS_GATEWAY__DTLS__CONNECTION_ID", "0"),
    ];
    let check = gateway_with(directory.path(), &environment, &["check"]);
    assert!(check.status.success(), "{}", err(&check));
    for part in [
        "  certificate     SHA-256 ",
        "  RSA certificate SHA-256 ",
        " (2 certificates, ",
        "  connection IDs  off (dtls.connection_id)",
    ] {
        assert!(out(&check).contains(part), "{part}: {}", out(&check));
    }
    assert!(
        err(&check).contains("sends the first certificate alone"),
        "{}",
        err(&check)
    );
    // The device's own certificate is registered, not the authority's behind it.
    let added = gateway(
        directory.path(),
        &[
            "device",
            "add",
            "meter-17",
            "--certificate",
            "certs/meter-17.pem",
            "--token",
            "A1_TEST_TOKEN",
        ],
    );
    assert!(added.status.success(), "{}", err(&added));
    let printed = out(&made);
    let mut lines = printed.lines();
    let fingerprint = lines
        .find(|line| line.starts_with("fingerprint = "))
        .unwrap();
    let registry = fs::read_to_string(directory.path().join("config/devices.toml")).unwrap();
    assert!(registry.contains(fingerprint), "{registry}");
}

#[test]
fn check_reports_mistakes_of_file_environment_certificates_and_registry_at_once() {
    let directory = shipped();
    fs::write(
        directory.path().join("config/devices.toml"),
        "[[device]]\nname = \"a\"\n",
    )
    .unwrap();
    let environment = [
        ("COAPS_GATEWAY__COAP__NSTART", "0"),
        ("COAPS_GATEWAY__COAP__NSTRAT", "1"),
    ];
    let check = gateway_with(directory.path(), &environment, &["check"]);
    assert_eq!(check.status.code(), Some(1));
    assert_eq!(out(&check), "");
    let errors = err(&check);
    for expected in [
        ": server.certificate: certs/server.pem",
        ": server.private_key: certs/server.key",
        ": clients.trust_anchors: certs/ca.pem",
        "error: config/devices.toml:1: device \"a\": fingerprint:",
        "error: config/devices.toml:1: device \"a\": token:",
        "error: COAPS_GATEWAY__COAP__NSTART: coap.nstart: \"0\" is out of range",
        "error: COAPS_GATEWAY__COAP__NSTRAT: coap.nstrat: there is no such key; did you mean coap.nstart?",
    ] {
        assert!(errors.contains(expected), "{expected}\n{errors}");
    }
    assert_eq!(errors.lines().count(), 7, "{errors}");
}

#[test]
fn check_accepts_each_way_to_reach_thingsboard() {
    let directory = shipped();
    assert!(certs(directory.path(), &[]).status.success());
    for url in [
        "http://127.0.0.1",
        "https://127.0.0.1",
        "mqtt://127.0.0.1",
        "mqtts://127.0.0.1",
    ] {
        let environment = [
            ("COAPS_GATEWAY__UPSTREAM__URL", url),
            ("COAPS_GATEWAY__UPSTREAM__CA", "certs/ca.pem"),
        ];
        let check = gateway_with(directory.path(), &environment, &["check"]);
        assert!(check.status.success(), "{url}: {}", err(&check));
        assert!(out(&check).contains(url), "{}", out(&check));
    }
}

#[test]
fn a_sidecar_needs_no_configuration_file_but_a_named_file_must_exist() {
    let directory = tempfile::tempdir().unwrap();
    assert!(certs(directory.path(), &[]).status.success());
    let check = gateway(directory.path(), &["check"]);
    assert!(check.status.success(), "{}", err(&check));
    assert!(
        err(&check).contains("config/gateway.toml: not there"),
        "{}",
        err(&check)
    );
    let named = gateway(
        directory.path(),
        &["check", "--config", "config/gateway.toml"],
    );
    assert_eq!(named.status.code(), Some(1));
    assert!(
        err(&named).starts_with("error: config/gateway.toml: "),
        "{}",
        err(&named)
    );
}

#[test]
fn fingerprint_lists_every_certificate_of_every_file_and_reports_files_without_one() {
    let directory = shipped();
    certs(directory.path(), &["meter-17"]);
    let path = |name: &str| directory.path().join("certs").join(name);
    let two = [
        fs::read(path("meter-17.pem")).unwrap(),
        fs::read(path("ca.pem")).unwrap(),
    ]
    .concat();
    fs::write(path("two.pem"), two).unwrap();
    let both = gateway(
        directory.path(),
        &[
            "fingerprint",
            "certs/two.pem",
            "certs/server.key",
            "nowhere",
            "certs/server.pem",
        ],
    );
    assert_eq!(both.status.code(), Some(1));
    let text = out(&both);
    assert_eq!(text.matches("certs/two.pem\n").count(), 2, "{text}");
    assert!(
        text.contains("CN=meter-17")
            && text.contains("CN=coaps-gateway trial CA")
            && text.contains("CN=localhost")
    );
    assert_eq!(
        (
            text.matches("SHA-256 ").count(),
            text.matches("sha3:").count()
        ),
        (3, 3),
        "{text}"
    );
    let errors = err(&both);
    assert!(
        errors.contains("error: certs/server.key: it holds a private key, not a certificate"),
        "{errors}"
    );
    assert!(errors.contains("error: nowhere: "), "{errors}");
    assert_eq!(errors.lines().count(), 2, "{errors}");
}

#[test]
fn fingerprint_prints_what_openssl_and_thingsboard_show() {
    // Made once with openssl; names from `openssl x509 -noout -fingerprint -sha256`, and from Python:
    // hashlib.sha3_256("".join(base64 lines of the PEM).encode()).hexdigest()
    let certificate = "-----BEGIN CERTIFICATE-----\n\
        MIIBejCCASGgAwIBAgIUDYobAvnh3MLcQTqvYPld53xhq0IwCgYIKoZIzj0EAwIw\n\
        EzERMA8GA1UEAwwIbWV0ZXItMTcwHhcNMjYxMTIzMDI0MzQ4WhcNMzYxMTIwMDI0\n\
        MzQ4WjATMREwDwYDVQQDDAhtZXRlci0xNzBZMBMGByqGSM49AgEGCCqGSM49AwEH\n\
        A0IABB1/+YFBugzT2oHIP8COQxKDy+nnNkh8JHoN9tGa79n1FpbkIv1jBa0sbrAk\n\
        vGu9pzXwZV2/Mx4KDPS7L/epwr2jUzBRMB0GA1UdDgQWBBQ+vG5+iHAUwOI4H3qw\n\
        SojoFTEXTjAfBgNVHSMEGDAWgBQ+vG5+iHAUwOI4H3qwSojoFTEXTjAPBgNVHRMB\n\
        Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIBYjaGZdfIfRThGD+3YeKoso1Um3\n\
        1wLvhDb8KQD1kZ2dAiBrB1QU4YLoVQHG6QiRbOqw/hdGwWoLybMORhnZtvxoMA==\n\
        -----END CERTIFICATE-----\n";
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("device.pem"), certificate).unwrap();
    let named = gateway(directory.path(), &["fingerprint", "device.pem"]);
    assert!(named.status.success(), "{}", err(&named));
    assert_eq!(
        out(&named),
        "device.pem\n  subject      CN=meter-17\n  SHA-256      62:E3:1A:0D:A6:5C:AD:3A:A1:24:DC:55:3F:20:27:CE:22:47:BA:8B:48:FD:3E:56:3A:AB:DC:A1:01:A5:82:A6\n  ThingsBoard  sha3:983b9610bd8a4fda12bb88a165bde169e4b34be9fa702e821db126e43beebefa\n"
    );
}

#[test]
fn certs_adds_devices_and_never_changes_existing_files() {
    let directory = tempfile::tempdir().unwrap();
    assert!(certs(directory.path(), &["a"]).status.success());
    let before = contents(&directory.path().join("certs"));
    assert_eq!(before.len(), 6);
    let again = certs(directory.path(), &["a", "b"]);
    assert!(again.status.success(), "{}", err(&again));
    assert!(
        out(&again).contains("kept  certs/a.pem") && out(&again).contains("made  certs/b.pem"),
        "{}",
        out(&again)
    );
    let after = contents(&directory.path().join("certs"));
    assert_eq!(after.len(), 8);
    assert!(before.iter().all(|file| after.contains(file)));
    let elsewhere = certs(directory.path(), &["../c"]);
    assert_eq!(elsewhere.status.code(), Some(1));
    assert!(
        err(&elsewhere).starts_with("error: text of 4 characters can't be a device's name"),
        "{}",
        err(&elsewhere)
    );
    assert!(!directory.path().join("c.key").exists());
}

#[test]
fn the_exit_code_distinguishes_a_wrong_command_line_from_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    for args in [
        &["chekc"][..],
        &[],
        &["certs"],
        &["device"],
        &["fingerprint"],
        &["simulator"],
        &["demo"],
    ] {
        let output = gateway(directory.path(), args);
        assert_eq!(
            (output.status.code(), out(&output).as_str()),
            (Some(2), ""),
            "{args:?}"
        );
    }
    for command in ["run", "check", "fingerprint", "certs", "device"] {
        let help = gateway(directory.path(), &[command, "--help"]);
        assert!(
            help.status.success() && out(&help).contains("Usage: coaps-gateway"),
            "{command}"
        );
    }
}

#[test]
fn a_low_limit_of_open_files_is_a_warning_that_names_the_keys() {
    let directory = shipped();
    assert!(certs(directory.path(), &[]).status.success());
    // 8 requests; 8 polls and 1 that overlaps its successor; 64 reads; 32 for packages; 64 others.
    let environment = [
        ("COAPS_GATEWAY__UPSTREAM__MAX_IN_FLIGHT", "8"),
        ("COAPS_GATEWAY__RELAY__MAX_POLLS", "8"),
        // An address of no machine, so that the gateway ends by itself.
        ("COAPS_GATEWAY__LISTEN__COAPS", "192.0.2.1:5684"),
    ];
    for (limit, is_warned) in [("177", false), ("176", true)] {
        let script = format!("ulimit -n {limit} && exec \"$0\" run");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_coaps-gateway")]);
        shell.env_clear().envs(environment);
        let log = err(&shell.current_dir(directory.path()).output().unwrap());
        assert!(log.contains("192.0.2.1:5684"), "{log}");
        let warned = log.contains("relay.max_polls") && log.contains("upstream.max_in_flight");
        assert_eq!(warned, is_warned, "{limit}: {log}");
    }
}

#[test]
fn check_says_what_is_stored_and_what_a_start_would_set_aside() {
    let directory = shipped();
    let path = directory.path();
    assert!(certs(path, &[]).status.success());
    let off = gateway(path, &["check"]);
    assert!(
        out(&off).contains("  state           off (state.directory): after a restart"),
        "{}",
        out(&off)
    );
    let state = path.join("state");
    let state_text = state.to_str().unwrap();
    let check = |more: &[(&str, &str)]| {
        let mut environment = vec![("COAPS_GATEWAY__STATE__DIRECTORY", state_text)];
        environment.extend(more);
        gateway_with(path, &environment, &["check"])
    };
    let says = |output: &Output, line: &str, warnings: usize| {
        assert!(output.status.success(), "{}", err(output));
        assert!(
            out(output).contains(line),
            "{line}: {}{}",
            out(output),
            err(output)
        );
        // One is of the empty registry.
        assert_eq!(err(output).lines().count(), 1 + warnings, "{}", err(output));
    };
    says(&check(&[]), "no key yet, it is made at the start; ", 0);
    assert!(!state.exists(), "check creates nothing");
    let key = state_store::StoreKey::from_hex(&"a1".repeat(32)).unwrap();
    let opened = state_store::open(&state, &key).unwrap();
    let of_variable = [
        ("COAPS_GATEWAY__STATE__KEY_ENV", "A_KEY"),
        ("A_KEY", &"a1".repeat(32)),
    ];
    says(&check(&of_variable), "in use by a process that runs; ", 0);
    drop(opened);
    says(&check(&of_variable), "sessions: 0, bytes: ", 0);
    let other = [of_variable[0], ("A_KEY", &"b2".repeat(32))];
    let output = check(&other);
    says(&output, "not usable; ", 1);
    assert!(
        err(&output).contains("it was written with another key"),
        "{}",
        err(&output)
    );
    let output = check(&[]);
    says(&output, "no key yet, it is made at the start; ", 1);
    assert!(
        err(&output).contains("their key file is not there"),
        "{}",
        err(&output)
    );
    // No file can be made below a file.
    fs::write(path.join("file"), "").unwrap();
    let below = path.join("file/state");
    let environment = [
        ("COAPS_GATEWAY__STATE__DIRECTORY", below.to_str().unwrap()),
        of_variable[0],
        of_variable[1],
    ];
    let output = gateway_with(path, &environment, &["check"]);
    says(&output, ": not usable", 1);
    assert!(err(&output).contains("is below a file"), "{}", err(&output));
}
