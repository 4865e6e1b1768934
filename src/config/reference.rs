//! Writes `config/gateway.toml` and the table of keys in the documentation from the [sections](super::sections).

use super::key::InFile;
use super::sections::{SECTIONS, Values};

/// The column of the comments in the file, and the column where they end.
const COMMENTS: usize = 37;
const WIDTH: usize = 120;

const HEAD: &str = "\
# The gateway's configuration, as it comes: it works with the certificates that
#   coaps-gateway certs --out certs --host NAME --device meter-17
# makes. `coaps-gateway check` finds every mistake in it and in the files it names.
#
# Every key can be left out and then has the value shown here, unless it says otherwise. Every key
# can be set from the environment, which takes precedence over this file: COAPS_GATEWAY__SECTION__KEY, such as
#   COAPS_GATEWAY__UPSTREAM__URL=https://thingsboard.example
#   COAPS_GATEWAY__DTLS__VERSIONS=1.2,1.3
# Paths are relative to the directory the gateway is started in. Unknown keys are errors.
";

/// `config/gateway.toml`: every key with its default and what it means.
pub(crate) fn gateway_toml() -> String {
    let mut defaults = Values::default();
    let mut text = HEAD.to_owned();
    for section in SECTIONS.iter() {
        text.push('\n');
        commented(&mut text, &format!("[{}]", section.name), section.doc);
        for key in &section.keys {
            let (_, name) = key.name.split_once('.').unwrap_or_default();
            let code = match (key.in_file, key.written(&mut defaults)) {
                (InFile::Set(value), _) => format!("{name} = {value}"),
                (InFile::Example(value), _) => format!("# {name} = {value}"),
                (InFile::Default, default) => format!("{name} = {}", default.unwrap_or_default()),
            };
            commented(&mut text, &code, &key.doc.replace('`', ""));
        }
    }
    text
}

/// One line of code, and the comment beside it in as many lines as it needs.
fn commented(text: &mut String, code: &str, comment: &str) {
    text.push_str(code);
    let mut column = code.chars().count();
    let mut is_first = true;
    for word in comment.split_whitespace() {
        let is_full = column + 1 + word.chars().count() > WIDTH;
        if is_first || is_full {
            if is_full && !is_first {
                text.push('\n');
                column = 0;
            }
            let padding = COMMENTS.saturating_sub(column).max(1);
            text.push_str(&" ".repeat(padding));
            text.push('#');
            column = column + padding + 1;
            is_first = false;
        }
        text.push(' ');
        text.push_str(word);
        column += 1 + word.chars().count();
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key::Key;
    use std::fs;
    use std::path::{Path, PathBuf};

    const BEGIN: &str =
        "<!-- The keys: made by `UPDATE=1 cargo test --lib config::reference` -->\n\n";
    const END: &str = "\n<!-- End of the keys -->";

    /// The table of keys in Markdown.
    fn table() -> String {
        let mut defaults = Values::default();
        let mut text = "| Key | Default | Values | |\n|---|---|---|---|\n".to_owned();
        for key in SECTIONS.iter().flat_map(|section| &section.keys) {
            text.push_str(&row(key, &mut defaults));
        }
        text
    }

    fn row(key: &Key<Values>, defaults: &mut Values) -> String {
        let default = key.written(defaults);
        let default = default.map_or("none".to_owned(), |value| format!("`{value}`"));
        format!(
            "| `{}` | {default} | {} | {} |\n",
            key.name,
            key.range(),
            key.doc
        )
    }

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// Compares a file with what it should be, or writes that.
    fn assert_up_to_date(path: &Path, text: &str) {
        if std::env::var_os("UPDATE").is_some() {
            return fs::write(path, text).unwrap();
        }
        assert!(
            fs::read_to_string(path).unwrap() == text,
            "{} is not what src/config makes of its keys: UPDATE=1 cargo test --lib config::reference",
            path.display()
        );
    }

    #[test]
    fn the_shipped_file_is_made_from_the_keys() {
        assert_up_to_date(&root().join("config/gateway.toml"), &gateway_toml());
    }

    #[test]
    fn the_documentations_table_is_made_from_the_keys() {
        let mut documents = vec![root().join("README.md")];
        if let Ok(entries) = fs::read_dir(root().join("docs")) {
            documents.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let has_table =
            |path: &PathBuf| fs::read_to_string(path).is_ok_and(|it| it.contains(BEGIN));
        documents.retain(has_table);
        let [document] = documents.as_slice() else {
            panic!("the table is in {documents:?}");
        };
        let before = fs::read_to_string(document).unwrap();
        let (head, rest) = before.split_once(BEGIN).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        assert_up_to_date(document, &format!("{head}{BEGIN}{}{END}{tail}", table()));
    }

    #[test]
    fn a_comment_is_wrapped_below_its_beginning() {
        let mut text = String::new();
        commented(&mut text, "a = 1", &"word ".repeat(20));
        let column = " ".repeat(COMMENTS - "a = 1".len());
        assert!(
            text.starts_with(&format!("a = 1{column}# word word")),
            "{text}"
        );
        assert!(text.lines().count() == 2 && text.lines().all(|line| line.len() <= WIDTH));
        assert_eq!(text.lines().nth(1).unwrap().find('#'), Some(COMMENTS));
        text.clear();
        commented(&mut text, "a = 1", "");
        assert_eq!(text, "a = 1\n");
    }
}
