//! The scripts of the tiers of tests, with stubs that record their calls in place of cargo and the package manager. The
//! scripts install nothing without `--install`, run nothing if a program is missing, and fail if a suite did not run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const TIERS: [&str; 2] = ["tests/run", "tests/interop/run"];

/// A PATH with a shell, its common tools, and the programs that a test adds.
struct Machine {
    directory: TempDir,
}

impl Machine {
    /// With a toolchain and a package manager that record how they were called.
    fn new() -> Machine {
        let machine = Machine {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(machine.path().join("bin")).unwrap();
        for tool in [
            "bash", "basename", "cat", "cut", "dirname", "env", "grep", "mktemp", "rm", "sed",
            "sort", "tee",
        ] {
            let found = ["/usr/bin", "/bin"].map(|directory| Path::new(directory).join(tool));
            let found = found.iter().find(|path| path.exists()).unwrap();
            symlink(found, machine.path().join("bin").join(tool)).unwrap();
        }
        machine.add("id", "echo 0");
        machine.add("cc", "");
        machine.add("cargo", "echo \"$*\" >>\"$CALLS/cargo\"");
        machine.add("apt-get", "echo \"$*\" >>\"$CALLS/apt-get\"");
        machine
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn add(&self, program: &str, script: &str) {
        let path = self.path().join("bin").join(program);
        fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The arguments of a program's calls, one call each.
    fn calls(&self, program: &str) -> Vec<String> {
        let calls = fs::read_to_string(self.path().join(program)).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// Runs one of the project's scripts; returns its exit code and its output.
    fn run(&self, script: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
            .args(arguments)
            .env_clear()
            .env("PATH", self.path().join("bin"))
            .env("CALLS", self.path())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), text.concat())
    }
}

#[test]
fn a_missing_program_is_named_with_its_install_command_and_no_test_runs() {
    for tier in TIERS {
        let machine = Machine::new();
        let (code, output) = machine.run(tier, &[]);
        assert_eq!(code, Some(1), "{output}");
        assert!(
            output.contains("missing: python3 (Debian: python3)"),
            "{output}"
        );
        assert!(output.contains("Nothing was run."), "{output}");
        assert!(output.contains(&format!("{tier} --install")), "{output}");
        assert_eq!(machine.calls("apt-get"), [""; 0]);
        assert_eq!(machine.calls("cargo"), [""; 0]);
    }
}

#[test]
fn install_installs_missing_programs_and_checks_again() {
    for (tier, package) in TIERS.into_iter().zip(["systemd", "libcoap3-bin"]) {
        let machine = Machine::new();
        let (code, output) = machine.run(tier, &["--install"]);
        let calls = machine.calls("apt-get");
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert!(calls[0].starts_with("update"), "{calls:?}");
        assert!(calls[1].starts_with("install -y"), "{calls:?}");
        let packages: Vec<&str> = calls[1].split(' ').collect();
        assert!(packages.contains(&package), "{calls:?}");
        assert!(packages.contains(&"python3"), "{calls:?}");
        // This package manager installs nothing.
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("missing: python3"), "{output}");
        assert_eq!(machine.calls("cargo"), [""; 0]);
    }
}

#[test]
fn an_unknown_argument_is_refused() {
    for tier in TIERS {
        let machine = Machine::new();
        let (code, output) = machine.run(tier, &["--instal"]);
        assert_eq!(code, Some(2), "{output}");
        assert!(output.contains("[--install]"), "{output}");
        assert_eq!(machine.calls("cargo"), [""; 0]);
    }
}

#[test]
fn a_missing_compiler_is_named_and_not_installed() {
    let machine = Machine::new();
    fs::remove_file(machine.path().join("bin/cc")).unwrap();
    machine.add("python3", "");
    machine.add("systemd-analyze", "");
    let (code, output) = machine.run("tests/run", &["--install"]);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("missing: cc (a C compiler"), "{output}");
    assert_eq!(machine.calls("apt-get"), [""; 0]);
}

#[test]
fn a_suite_that_did_not_run_or_ignores_a_test_fails_tests_run() {
    let good = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
    let ignoring = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
    let mut all = String::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = fs::read_dir(root.join("crates")).unwrap();
    let crates = crates.map(|entry| entry.unwrap().path().join("tests"));
    let directories = crates.filter(|tests| tests.exists());
    for directory in directories.chain([root.join("tests")]) {
        for entry in fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".rs") {
                all += &format!("     Running tests/{name} (target/debug/deps/x)\n{good}\n");
            }
        }
    }
    let without_one = all.replace("tests/abuse.rs", "tests/another.rs");
    for (output, complaint) in [
        (without_one, "tests/abuse.rs was not run"),
        (all.replacen(good, ignoring, 1), "some tests were ignored"),
    ] {
        let machine = Machine::new();
        machine.add("python3", "");
        machine.add("systemd-analyze", "");
        machine.add("cargo", &format!("cat <<'END'\n{output}END"));
        let (code, output) = machine.run("tests/run", &[]);
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(complaint), "{output}");
        assert!(!output.contains("All tests passed"), "{output}");
    }
}
