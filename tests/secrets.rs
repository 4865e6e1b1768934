//! Secrets in wrong places of files and arguments: nothing that the real binary prints, logs or dumps contains them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use test_support::world::{World, eventually};

/// A private key in the format that `certs` writes; it is not used anywhere.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n\
    OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n\
    1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n\
    -----END PRIVATE KEY-----\n";

const TOKEN: &str = "A1b2C3d4E5f6G7h8I9j0";

/// Runs the gateway in this directory.
fn gateway(directory: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coaps-gateway"));
    command.env_clear().envs(environment.iter().copied());
    command.current_dir(directory).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

fn printed(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr];
    both.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

fn assert_hidden(output: &str, what: &str) {
    for line in PEM.lines().chain([TOKEN]) {
        assert!(!output.contains(line), "{what}\n{output}");
    }
}

/// Every key of the shipped configuration file: section and name.
fn keys() -> Vec<(String, String)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gateway.toml");
    for line in fs::read_to_string(shipped).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap().to_owned();
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && !section.is_empty()
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            keys.push((section.clone(), key.to_owned()));
        }
    }
    assert!(keys.len() > 40, "{}", keys.len());
    keys
}

#[test]
fn a_private_key_in_place_of_any_value_is_shown_by_neither_check_nor_run() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("config")).unwrap();
    let made = gateway(
        directory.path(),
        &[],
        &["certs", "--out", "certs", "--host", "h"],
    );
    assert!(made.status.success());
    let file = directory.path().join("config/gateway.toml");
    for (section, key) in keys() {
        let variable = format!("COAPS_GATEWAY__{section}__{key}").to_uppercase();
        let _ = fs::remove_file(&file);
        let check = gateway(directory.path(), &[(&variable, PEM)], &["check"]);
        assert_hidden(&printed(&check), &variable);
        assert_eq!(
            check.status.code(),
            Some(1),
            "{variable}\n{}",
            printed(&check)
        );
        let run = gateway(directory.path(), &[(&variable, PEM)], &["run"]);
        assert_hidden(&printed(&run), &variable);
        assert_eq!(run.status.code(), Some(1), "{variable}\n{}", printed(&run));
        fs::write(&file, format!("[{section}]\n{key} = '''{PEM}'''\n")).unwrap();
        let check = gateway(directory.path(), &[], &["check"]);
        assert_hidden(&printed(&check), &key);
        assert_eq!(check.status.code(), Some(1), "{key}\n{}", printed(&check));
    }
}

#[test]
fn a_secret_in_any_field_of_a_device_is_shown_by_neither_check_nor_device() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("config")).unwrap();
    gateway(
        directory.path(),
        &[],
        &["certs", "--out", "certs", "--host", "h"],
    );
    let registry = directory.path().join("config/devices.toml");
    let ones = "1".repeat(64);
    for field in [
        "name",
        "fingerprint",
        "certificate",
        "token",
        "token_file",
        "token_env",
    ] {
        for secret in [PEM, TOKEN] {
            if secret == TOKEN && ["name", "token"].contains(&field) {
                continue;
            }
            let mut device = format!("[[device]]\n{field} = '''{secret}'''\n");
            if field != "name" {
                device += "name = 'a'\n";
            }
            if !["fingerprint", "certificate"].contains(&field) {
                device += &format!("fingerprint = '{ones}'\n");
            }
            if !field.starts_with("token") {
                device += "token = 'T'\n";
            }
            fs::write(&registry, &device).unwrap();
            let check = gateway(directory.path(), &[], &["check"]);
            assert_eq!(check.status.code(), Some(1), "{device}");
            assert_hidden(&printed(&check), &device);
            for arguments in [
                &["device", "list"][..],
                &["device", "list", "--json"],
                &["device", "remove", "a"],
                &["device", "add", "b", "--fingerprint", &ones, "--token", "-"],
            ] {
                let output = gateway(directory.path(), &[], arguments);
                assert_hidden(&printed(&output), &device);
            }
        }
    }
}

#[test]
fn a_secret_as_an_argument_is_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let ones = "1".repeat(64);
    for secret in [PEM, TOKEN] {
        for arguments in [
            &[
                "device",
                "add",
                "a",
                "--fingerprint",
                secret,
                "--token",
                "-",
            ][..],
            &[
                "device",
                "add",
                "a",
                "--certificate",
                secret,
                "--token",
                TOKEN,
            ],
            &[
                "device",
                "add",
                "a",
                "--fingerprint",
                &ones,
                "--token-file",
                secret,
            ],
            &[
                "device",
                "add",
                "a",
                "--fingerprint",
                &ones,
                "--token-env",
                secret,
            ],
            &["device", "add", "a", "--fingerprint", &ones, secret],
            &[
                "device",
                "add",
                "a",
                "--new-certificate",
                "--certs",
                secret,
                "--token",
                TOKEN,
            ],
            &["device", "list", "--config", secret],
            &["device", secret],
            &["fingerprint", secret],
            &["check", "--config", secret],
            &["run", "--config", secret],
            &["healthcheck", "--config", secret],
            &["certs", "--out", "o", "--host", secret],
            &[secret],
        ] {
            let output = gateway(directory.path(), &[], arguments);
            // A token may also be a valid variable name, or host name.
            if secret == PEM {
                assert!(
                    !output.status.success(),
                    "{arguments:?}\n{}",
                    printed(&output)
                );
            }
            assert_hidden(&printed(&output), &arguments.join(" "));
        }
    }
    let output = gateway(
        directory.path(),
        &[],
        &[
            "device",
            "add",
            PEM,
            "--fingerprint",
            &ones,
            "--token",
            TOKEN,
        ],
    );
    assert!(!output.status.success());
    assert_hidden(&printed(&output), "name");
}

#[test]
fn a_secret_in_a_reloaded_registry_is_not_logged() {
    let world = World::start();
    let registry = world.path().join("devices.toml");
    let ones = "1".repeat(64);
    for device in [
        format!("[[device]]\nname = 'a'\nfingerprint = '{TOKEN}'\ntoken = '{ones}'\n"),
        format!("[[device]]\nname = 'a'\ncertificate = '''{PEM}'''\ntoken = 'T'\n"),
        format!("[[device]]\nname = 'a'\n{PEM}"),
        PEM.to_owned(),
    ] {
        let refusals = || world.log().matches("not reloaded").count();
        let before = refusals();
        fs::write(&registry, &device).unwrap();
        eventually("the registry is refused", || refusals() > before);
        assert_hidden(&world.log(), &device);
    }
}

/// The owner of a process's files in `/proc`: its user, or root if it can't be dumped.
fn owner(process: u32) -> u32 {
    fs::metadata(format!("/proc/{process}/status"))
        .unwrap()
        .uid()
}

#[test]
fn run_writes_no_core_dump_and_other_processes_of_its_user_cannot_read_its_memory() {
    const NOBODY: u32 = 65_534;
    let directory = tempfile::tempdir().unwrap();
    let own = fs::metadata(directory.path()).unwrap().uid();
    // /proc shows root as the owner of all processes of root, so root starts these as another user.
    let user = if own == 0 { NOBODY } else { own };
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = directory.path().join("gateway");
    fs::copy(env!("CARGO_BIN_EXE_coaps-gateway"), &binary).unwrap();
    gateway(
        directory.path(),
        &[],
        &["certs", "--out", "certs", "--host", "h"],
    );
    let key = directory.path().join("certs/server.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    for (program, arguments, wanted) in [
        (binary.as_path(), &["run"][..], 0),
        // Another program's files belong to its user, so this test can tell the difference.
        (Path::new("sleep"), &["60"], user),
    ] {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(directory.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("COAPS_GATEWAY__LISTEN__COAPS", "127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if user != own {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn().unwrap();
        // The gateway can be dumped until it has read its arguments.
        std::thread::sleep(std::time::Duration::from_millis(300));
        eventually("its owner is as it should be", || {
            owner(child.id()) == wanted
        });
        assert!(
            child.try_wait().unwrap().is_none(),
            "{arguments:?} has ended"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
