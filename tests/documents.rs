//! The documents agree with the code and with each other: keys and their defaults, log lines, links, versions,
//! licences.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of the table under a heading of a document, cell by cell.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let (_, section) = text.split_once(heading).expect(heading);
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        let inner = row.trim_matches('|').split('|');
        inner.map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// Every key of config/gateway.toml with its value, `section.key` and `value`.
fn keys() -> Vec<(String, String)> {
    let mut keys = Vec::new();
    let mut section = String::new();
    for line in read("config/gateway.toml").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap().to_owned();
        } else if let Some((key, rest)) = line.trim_start_matches("# ").split_once(" = ")
            && !section.is_empty()
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            let value = rest
                .split("  #")
                .next()
                .unwrap()
                .split(" #")
                .next()
                .unwrap();
            let default = match key {
                // The file has these because `certs` makes them, or as examples.
                "trust_anchors" | "ca" | "admin" | "command_answer" | "http_url"
                | "client_certificate" | "client_key" | "rsa_certificate" | "rsa_private_key"
                | "directory" | "key_file" | "key_env" | "ca_file" | "address" => "none".to_owned(),
                "url" if section == "state" => "none".to_owned(),
                _ => format!("`{}`", value.trim()),
            };
            keys.push((format!("`{section}.{key}`"), default));
        }
    }
    keys
}

#[test]
fn the_reference_has_every_key_with_its_default_in_the_order_of_the_file() {
    let rows = table("docs/configuration.md", "\n## Configuration reference\n");
    let documented: Vec<_> = rows
        .iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert!(documented.len() > 40, "{}", documented.len());
    assert_eq!(documented, keys());
}

#[test]
fn the_gateway_writes_every_log_line_that_troubleshooting_quotes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "crates"] {
        sources(&root.join(directory), &mut files);
    }
    let text: Vec<String> = files
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    // As one line, continued string literals joined.
    let text = text.concat();
    let text: Vec<&str> = text
        .split_whitespace()
        .filter(|word| *word != "\\")
        .collect();
    let text = text.join(" ");
    let mut quoted = 0;
    for row in table("docs/troubleshooting.md", "# Troubleshooting\n") {
        for line in row[1].split('`').skip(1).step_by(2) {
            // The number is inserted at run time.
            let line = line.trim_end_matches("status 400").trim();
            assert!(text.contains(line), "no source says {line:?}");
            quoted += 1;
        }
    }
    assert!(quoted > 20, "{quoted}");
}

/// Every Markdown file of the project, relative to its root.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !["target", ".git", "corpus"].contains(&name) {
                directories.push(path);
            } else if name.ends_with(".md") {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The lines of a document outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c => c.is_alphanumeric().then_some(c),
        });
        kept.collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut checked, mut broken) = (0, Vec::new());
    for document in documents() {
        let text = fs::read_to_string(root.join(&document)).unwrap();
        let links = prose(&text).flat_map(|line| line.split("](").skip(1));
        for link in links.map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            checked += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => root.join(&document),
                path => root.join(&document).parent().unwrap().join(path),
            };
            let leads = target.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&target)
                        .is_ok_and(|text| anchors(&text).iter().any(|found| found == anchor)));
            if !leads {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(checked > 30, "{checked}");
}

/// The project's Cargo.toml files.
fn manifests() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec!["Cargo.toml".to_owned(), "fuzz/Cargo.toml".to_owned()];
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        found.push(format!("crates/{name}/Cargo.toml"));
    }
    found
}

#[test]
fn one_rust_version_is_declared_built_and_documented() {
    let toolchain = read("rust-toolchain.toml");
    let version = |text: &str, before: &str| -> String {
        let (_, rest) = text.split_once(before).expect(before);
        let version = rest.split(|c: char| !c.is_ascii_digit() && c != '.');
        version.take(1).collect()
    };
    let full = version(&toolchain, "channel = \"");
    let (minor, _patch) = full.rsplit_once('.').unwrap();
    for (document, before) in [
        ("README.md", "pins Rust "),
        ("deploy/Dockerfile", "FROM rust:"),
        (".github/workflows/ci.yml", "image: rust:"),
        (".github/workflows/weekly.yml", "container: rust:"),
    ] {
        let text = read(document);
        assert_eq!(version(&text, before), minor, "{document}");
    }
    for manifest in manifests() {
        let text = read(&manifest);
        let inherits = text.contains("\nrust-version.workspace = true\n");
        if !inherits || text.contains("[workspace.package]") {
            assert_eq!(version(&text, "rust-version = \""), minor, "{manifest}");
        }
    }
}

#[test]
fn every_crate_names_the_licence_whose_texts_are_here() {
    for manifest in manifests() {
        let text = read(&manifest);
        let key = "\nlicense = \"Apache-2.0 OR MIT\"\n";
        let inherits = text.contains("\nlicense.workspace = true\n");
        let defines = !inherits || text.contains("[workspace.package]");
        assert!(!defines || text.contains(key), "{manifest}");
    }
    assert!(read("LICENSE-APACHE").contains("Version 2.0, January 2004"));
    assert!(read("LICENSE-MIT").starts_with("MIT License"));
    assert!(read("LICENSE").contains("at your option"));
}

#[test]
fn the_readme_is_read_in_five_minutes() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "{lines}");
}

/// All Rust sources below a directory.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_path_that_a_document_quotes_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rust = Vec::new();
    for directory in ["src", "crates", "tests", "benches"] {
        sources(&root.join(directory), &mut rust);
    }
    let folders = [
        "src/", "crates/", "tests/", "benches/", "fuzz/", "deploy/", "docs/",
    ];
    let (mut checked, mut missing) = (0, Vec::new());
    for document in documents() {
        let text = fs::read_to_string(root.join(&document)).unwrap();
        for quoted in prose(&text).flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let is_path = folders.iter().any(|folder| quoted.starts_with(folder))
                && !quoted.contains([' ', '*', '<']);
            // A path relative to a folder that the text has named before, as `relay/poll.rs`. `x` stands for any name.
            let is_placeholder = quoted.starts_with("x.") || quoted.starts_with("x/");
            let is_file = quoted.ends_with(".rs") && !quoted.contains(' ') && !is_placeholder;
            if !is_path && !is_file {
                continue;
            }
            checked += 1;
            if !is_path {
                if !rust.iter().any(|path| path.ends_with(quoted)) {
                    missing.push(format!("{}: {quoted}", document.display()));
                }
                continue;
            }
            // Written by the tools that these documents describe.
            let is_output = ["fuzz/artifacts", "fuzz/corpus"]
                .iter()
                .any(|output| quoted.starts_with(output));
            if !is_output && !root.join(quoted).exists() {
                missing.push(format!("{}: {quoted}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(checked > 60, "{checked}");
}

/// The code in a document: indented and fenced lines, and text between backticks.
fn code(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            found.push(line.trim());
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// The help of one of the gateway's commands, or the error that it prints.
fn help(command: &[&str]) -> Result<String, String> {
    let program = env!("CARGO_BIN_EXE_coaps-gateway");
    let output = Command::new(program)
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

#[test]
fn every_command_that_a_document_shows_exists_with_its_options() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut checked, mut wrong) = (0, Vec::new());
    // The changelog also names removed commands.
    for document in documents()
        .iter()
        .filter(|path| !path.ends_with("CHANGELOG.md"))
    {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for line in code(&text) {
            let mut words = line.split_whitespace();
            if !words.any(|word| word == "coaps-gateway") {
                continue;
            }
            let words: Vec<&str> = words
                .take_while(|word| !["|", "&&", "#", "<", ">"].contains(word))
                .collect();
            let is_name = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            let names = match words.first() {
                Some(&"device") => 2,
                _ => 1,
            };
            let command: Vec<&str> = words
                .iter()
                .take_while(is_name)
                .take(names)
                .copied()
                .collect();
            if command.is_empty() {
                continue;
            }
            checked += 1;
            match help(&command) {
                Ok(help) => {
                    let options = words.iter().filter(|word| word.starts_with("--"));
                    for option in options.filter(|option| !help.contains(**option)) {
                        wrong.push(format!("{}: {line}: no {option}", document.display()));
                    }
                }
                Err(error) => wrong.push(format!("{}: {line}: {error}", document.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 15, "{checked}");
}

#[test]
fn every_key_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let keys: Vec<String> = keys().into_iter().map(|(key, _)| key).collect();
    let known = |name: &str| keys.contains(&format!("`{name}`"));
    let is_section = |section: &str| {
        keys.iter()
            .any(|key| key.starts_with(&format!("`{section}.")))
    };
    let (mut checked, mut wrong) = (0, Vec::new());
    for document in documents() {
        let text = fs::read_to_string(root.join(&document)).unwrap();
        for line in code(&text) {
            let variables = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let variables = variables.filter_map(|word| word.strip_prefix("COAPS_GATEWAY__"));
            let names = variables.map(|name| name.to_lowercase().replace("__", "."));
            let key = line.split(" = ").next().unwrap();
            let key = key.split_once('.').filter(|(section, name)| {
                let is_name = name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
                is_section(section)
                    && is_name
                    && !["rs", "toml", "py", "md", "pem", "key"].contains(name)
            });
            let key = key.map(|(section, name)| format!("{section}.{name}"));
            for name in names.chain(key).filter(|name| name != "section.key") {
                checked += 1;
                if !known(&name) {
                    wrong.push(format!("{}: {name}", document.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 50, "{checked}");
}

#[test]
fn every_test_command_that_a_document_shows_turns_on_the_features_of_its_suite() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifests: String = manifests().iter().map(|path| read(path)).collect();
    let feature_of = |suite: &str| {
        let (_, rest) = manifests.split_once(&format!("\nname = \"{suite}\"\n"))?;
        let (_, feature) = rest.lines().next()?.split_once("required-features = [\"")?;
        feature.split('"').next()
    };
    let (mut checked, mut wrong) = (0, Vec::new());
    for document in documents() {
        let text = fs::read_to_string(root.join(&document)).unwrap();
        for line in code(&text) {
            let Some((_, suite)) = line.split_once(" --test ") else {
                continue;
            };
            checked += 1;
            let suite = suite.split(' ').next().unwrap();
            let feature = feature_of(suite);
            if feature.is_some_and(|feature| !line.contains(&format!("--features {feature}"))) {
                wrong.push(format!("{}: {line}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 8, "{checked}");
}
