//! The real binary's commands `device list`, `add` and `remove`.
#![allow(
    clippy::unwrap_used,
    reason = "a test that can't go on should stop where it is"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const REGISTRY: &str = "config/devices.toml";
const ONES: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const SECRET: &str = "A1_SECRET_TOKEN";

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coaps-gateway"));
    command.env_clear().current_dir(directory).args(args);
    command
}

/// A command's exit code, standard output and standard error. Asserts that none shows the token.
fn parts(output: Output) -> (i32, String, String) {
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!out.contains(SECRET) && !err.contains(SECRET), "{out}{err}");
    (output.status.code().unwrap(), out, err)
}

fn device(directory: &Path, args: &[&str]) -> (i32, String, String) {
    parts(
        command(directory, &[&["device"], args].concat())
            .output()
            .unwrap(),
    )
}

/// Adds a device with a fingerprint that repeats one digit.
fn add(directory: &Path, name: &str, digit: &str) -> (i32, String, String) {
    let fingerprint = ONES.replace('1', digit);
    let token = format!("TOKEN-OF-{name}");
    device(
        directory,
        &[
            "add",
            name,
            "--fingerprint",
            &fingerprint,
            "--token",
            &token,
        ],
    )
}

fn registry(directory: &Path) -> String {
    fs::read_to_string(directory.join(REGISTRY)).unwrap()
}

fn certs(directory: &Path, devices: &[&str]) {
    let mut args = vec!["certs", "--out", "certs", "--host", "localhost"];
    args.extend(devices.iter().flat_map(|name| ["--device", name]));
    assert!(command(directory, &args).output().unwrap().status.success());
}

/// Every file with its bytes, to compare before and after.
fn contents(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn a_device_is_added_listed_checked_and_removed_and_the_file_is_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    certs(at, &["meter-17"]);
    fs::create_dir(at.join("config")).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(REGISTRY);
    fs::copy(shipped, at.join(REGISTRY)).unwrap();
    let before = registry(at);
    let args = [
        "add",
        "meter-17",
        "--certificate",
        "certs/meter-17.pem",
        "--token",
        SECRET,
    ];
    let (code, out, err) = device(at, &args);
    assert_eq!((code, err.contains("error")), (0, false), "{err}");
    assert!(
        out.contains("added  \"meter-17\" to config/devices.toml"),
        "{out}"
    );
    let after = registry(at);
    assert!(after.starts_with(&before) && after.contains(&format!("token = \"{SECRET}\"")));
    let check = parts(command(at, &["check"]).output().unwrap());
    assert!(check.1.contains("devices         1"), "{check:?}");
    let (_, named, _) = parts(
        command(at, &["fingerprint", "certs/meter-17.pem"])
            .output()
            .unwrap(),
    );
    let sha256 = named
        .lines()
        .find_map(|line| line.trim().strip_prefix("SHA-256"))
        .unwrap()
        .trim();
    let (code, table, _) = device(at, &["list"]);
    assert_eq!(code, 0);
    let expected =
        format!("NAME      TOKEN            FINGERPRINT\nmeter-17  in the registry  {sha256}\n");
    assert_eq!(table, expected);
    let (code, out, _) = device(at, &["remove", "meter-17"]);
    assert_eq!(
        (code, out.contains("removed  \"meter-17\"")),
        (0, true),
        "{out}"
    );
    assert_eq!(registry(at), before);
}

#[test]
fn the_first_device_creates_the_file_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (code, _, err) = add(directory.path(), "a", "1");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(registry(directory.path()).starts_with("# The registry"));
    let mode = fs::metadata(directory.path().join(REGISTRY))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_certificate_is_registered_once_whatever_form_its_fingerprint_has() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    certs(at, &["m", "n"]);
    let names = |file: &str| {
        let (_, out, _) = parts(command(at, &["fingerprint", file]).output().unwrap());
        let name = |key| {
            out.lines()
                .find_map(|line| line.trim().strip_prefix(key))
                .unwrap()
                .trim()
                .to_owned()
        };
        [name("SHA-256"), name("ThingsBoard")]
    };
    let [sha256, sha3] = names("certs/m.pem");
    let plain = sha256.replace(':', "").to_lowercase();
    let by_fingerprint =
        |given: &str| device(at, &["add", "new", "--fingerprint", given, "--token", "T"]);
    let by_certificate = || {
        device(
            at,
            &["add", "new", "--certificate", "certs/m.pem", "--token", "T"],
        )
    };
    let file = "certificate = \"certs/m.pem\"".to_owned();
    for registered in [
        file,
        format!("fingerprint = \"{sha256}\""),
        format!("fingerprint = \"{sha3}\""),
    ] {
        fs::create_dir_all(at.join("config")).unwrap();
        let text = format!("[[device]]\nname = \"old\"\n{registered}\ntoken = \"TOKEN\"\n");
        fs::write(at.join(REGISTRY), &text).unwrap();
        let mut tries = vec![by_certificate()];
        if !registered.contains("sha3:") {
            tries.extend([by_fingerprint(&sha256), by_fingerprint(&plain)]);
        }
        if !registered.starts_with("fingerprint = \"sha3:") && registered.starts_with("certificate")
        {
            tries.push(by_fingerprint(&sha3));
        }
        for (code, _, err) in tries {
            assert_eq!(code, 1, "{registered}");
            assert!(
                err.contains("belongs to \"old\" already (config/devices.toml:1)"),
                "{err}"
            );
        }
        assert_eq!(registry(at), text);
    }
    let (code, _, err) = device(
        at,
        &["add", "old", "--certificate", "certs/n.pem", "--token", "T"],
    );
    assert!(
        code == 1 && err.contains("there is a device named \"old\" already"),
        "{err}"
    );
}

#[test]
fn a_registry_with_mistakes_is_not_edited_and_the_mistakes_are_printed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    certs(at, &[]);
    fs::create_dir(at.join("config")).unwrap();
    for text in [
        "[[device]]\nname = \"a\"\n[[device]]\nname = \"b\"\ntokn = \"x\"\n".to_owned(),
        format!("[[device]]\nname = \"a\"\nfingerprint = \"{ONES}\"\ntoken = \"{SECRET}\n"),
        format!("[[device]]\nname = \"a\"\nfingerprint = \"{ONES}\"\ntoken = \"{SECRET} x\"\n"),
    ] {
        fs::write(at.join(REGISTRY), &text).unwrap();
        let (_, _, mistakes) = parts(command(at, &["check"]).output().unwrap());
        let of_registry: Vec<&str> = mistakes
            .lines()
            .filter(|line| line.contains(REGISTRY))
            .collect();
        for (code, out, err) in [
            add(at, "c", "3"),
            device(at, &["remove", "a"]),
            device(at, &["list"]),
        ] {
            assert_eq!((code, out.as_str()), (1, ""), "{err}");
            assert_eq!(err.lines().collect::<Vec<_>>(), of_registry);
        }
        assert_eq!(registry(at), text);
    }
}

#[test]
fn a_trial_certificate_is_issued_by_the_ca_of_certs_and_overwrites_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let new = |name: &str| device(at, &["add", name, "--new-certificate", "--token", "TOKEN"]);
    let (code, _, err) = new("m");
    assert!(
        code == 1 && err.contains("coaps-gateway certs --out certs --host NAME"),
        "{err}"
    );
    certs(at, &["there"]);
    let before = contents(&at.join("certs"));
    let (code, _, err) = new("there");
    assert!(
        code == 1 && err.contains("--certificate certs/there.pem"),
        "{err}"
    );
    assert_eq!(contents(&at.join("certs")), before);
    let (code, out, err) = new("m");
    assert!(
        code == 0 && out.contains("made   certs/m.pem  certs/m.key"),
        "{out}{err}"
    );
    let after = contents(&at.join("certs"));
    assert_eq!(after.len(), before.len() + 2);
    assert!(before.iter().all(|file| after.contains(file)));
    let (code, _, err) = device(
        at,
        &["add", "n", "--certificate", "certs/m.pem", "--token", "T"],
    );
    assert!(
        code == 1 && err.contains("belongs to \"m\" already"),
        "{err}"
    );
    let (code, _, err) = new("m");
    assert!(
        code == 1 && err.contains("there is a device named \"m\""),
        "{err}"
    );
    assert_eq!(contents(&at.join("certs")), after);
}

#[test]
fn tokens_are_read_from_standard_input_files_and_variables_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let args = ["device", "add", "a", "--fingerprint", ONES, "--token", "-"];
    let mut child = command(at, &args);
    child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{SECRET}\r\n").as_bytes())
        .unwrap();
    assert_eq!(parts(child.wait_with_output().unwrap()).0, 0);
    fs::write(at.join("token"), format!("{SECRET}-2\n")).unwrap();
    let (twos, threes) = (ONES.replace('1', "2"), ONES.replace('1', "3"));
    let file = ["add", "b", "--fingerprint", &twos, "--token-file", "token"];
    assert_eq!(device(at, &file).0, 0);
    // This process does not have the variable; the gateway's will.
    let variable = [
        "add",
        "c",
        "--fingerprint",
        &threes,
        "--token-env",
        "METER_TOKEN",
    ];
    let (code, out, err) = device(at, &variable);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("until it is restarted with this one"), "{out}");
    assert!(
        err.contains("warning: config/devices.toml:") && err.contains("can't be read here"),
        "{err}"
    );
    let text = registry(at);
    for line in [
        &format!("token = \"{SECRET}\""),
        "token_file = \"token\"",
        "token_env = \"METER_TOKEN\"",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}");
    }
    let mut list = command(at, &["device", "list", "--json"]);
    let (code, json, _) = parts(
        list.env("METER_TOKEN", format!("{SECRET}-3"))
            .output()
            .unwrap(),
    );
    assert_eq!(code, 0);
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let tokens: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["token"].to_string())
        .collect();
    let expected = [
        ("registry", "null"),
        ("file", "\"token\""),
        ("variable", "\"METER_TOKEN\""),
    ];
    assert_eq!(
        tokens,
        expected.map(|(kind, named)| format!("{{\"in\":\"{kind}\",\"named\":{named}}}"))
    );
    assert_eq!(
        rows[1]["fingerprints"][0]
            .as_str()
            .unwrap()
            .replace(':', ""),
        twos
    );
    let (_, table, _) = device(at, &["list"]);
    assert!(
        table.contains("file token") && table.contains("a variable, not set here"),
        "{table}"
    );
}

#[test]
fn an_invalid_device_is_refused_with_advice_and_no_file_is_created() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(
        at.join("broken.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let bad = format!("{SECRET} x");
    for (args, expected) in [
        (
            ["a", "--certificate", "nowhere.pem", "--token", "T"],
            "nowhere.pem: ",
        ),
        (
            ["a", "--certificate", "broken.pem", "--token", "T"],
            "broken.pem: the certificate is malformed",
        ),
        (
            ["a\n", "--fingerprint", ONES, "--token", "T"],
            "can't be a device's name",
        ),
        (
            ["a", "--fingerprint", ONES, "--token", &bad],
            "--token: an access token has",
        ),
        (
            ["a", "--fingerprint", ONES, "--token-file", "nowhere"],
            "--token-file: nowhere: ",
        ),
        (
            ["a", "--fingerprint", ONES, "--token-env", &bad],
            "--token-env: not a valid variable NAME",
        ),
    ] {
        let (code, _, err) = device(at, &[&["add"], &args[..]].concat());
        assert!(code == 1 && err.contains(expected), "{args:?}: {err}");
    }
    for args in [
        &["a", "--fingerprint", ONES][..],
        &["a", "--token", SECRET],
        &["a", "--fingerprint", "AB:CD", "--token", SECRET],
        &[
            "a",
            "--fingerprint",
            ONES,
            "--token",
            SECRET,
            "--token-env",
            "X",
        ],
        &[
            "a",
            "--fingerprint",
            ONES,
            "--new-certificate",
            "--token",
            SECRET,
        ],
    ] {
        assert_eq!(device(at, &[&["add"], args].concat()).0, 2, "{args:?}");
    }
    assert!(!at.join("config").exists());
    for args in [&["remove", "a"][..], &["list", "--config", "nowhere"]] {
        assert_eq!(device(at, args).0, 1, "{args:?}");
    }
    add(at, "a", "1");
    let (code, _, err) = device(at, &["remove", "b"]);
    assert!(
        code == 1 && err.contains("no device named \"b\" among the 1"),
        "{err}"
    );
}

#[test]
fn the_configuration_names_the_registry_and_must_have_no_mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("my.toml"), "[devices]\nfile = \"mine.toml\"\n").unwrap();
    let args = [
        "add",
        "a",
        "--fingerprint",
        ONES,
        "--token",
        "T",
        "--config",
        "my.toml",
    ];
    assert_eq!(device(at, &args).0, 0);
    assert!(at.join("mine.toml").exists() && !at.join(REGISTRY).exists());
    fs::write(at.join("my.toml"), "[devices]\nfiel = \"mine.toml\"\n").unwrap();
    let (code, _, err) = device(at, &["list", "--config", "my.toml"]);
    assert!(
        code == 1 && err.contains("my.toml:2: devices.fiel: there is no such key"),
        "{err}"
    );
    let mut empty = command(at, &["device", "list"]);
    let (code, _, err) = parts(
        empty
            .env("COAPS_GATEWAY__DEVICES__FILE", "")
            .output()
            .unwrap(),
    );
    assert!(
        code == 1 && err.contains("devices.file: this is empty"),
        "{err}"
    );
}

#[test]
fn no_change_of_concurrent_commands_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let children: Vec<_> = (0..12)
        .map(|index| {
            let (name, fingerprint) = (format!("m{index}"), format!("{index:064}"));
            let args = [
                "device",
                "add",
                &name,
                "--fingerprint",
                &fingerprint,
                "--token",
                "T",
            ];
            command(at, &args)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(registry(at).matches("[[device]]").count(), 12);
}

/// A running gateway treats an empty registry file as damaged.
#[test]
fn removing_the_last_device_leaves_a_comment() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::create_dir(at.join("config")).unwrap();
    assert_eq!(add(at, "only", "1").0, 0);
    // A file without the header that `device add` writes into a new one.
    let text = registry(at);
    let entry = text.find("[[device]]").unwrap();
    fs::write(at.join(REGISTRY), &text[entry..]).unwrap();
    let (code, _, err) = device(at, &["remove", "only"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(registry(at), "# No device is registered.\n");
    assert_eq!(add(at, "next", "2").0, 0);
}
