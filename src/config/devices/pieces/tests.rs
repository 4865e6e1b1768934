use super::*;
use std::fmt::Write as _;
use toml::de::{DeTable, DeValue};

fn texts(text: &str) -> Vec<&str> {
    Pieces::of(text).map(|piece| piece.text).collect()
}

#[test]
fn each_entry_is_a_piece_and_comments_between_are_another() {
    let first = "[[device]]\nname = \"a\"\n# within\ntoken = \"t\"\n";
    let second = "  [[device]] # b\nname = \"b\"\n";
    let parts = ["# above\n\n", first, "# between\n\n", second];
    let text = parts.concat();
    assert_eq!(texts(&text), parts);
    let lines: Vec<usize> = Pieces::of(&text).map(|piece| piece.before).collect();
    assert_eq!(lines, [0, 2, 6, 8]);
    assert_eq!(texts(""), Vec::<&str>::new());
}

#[test]
fn an_entry_does_not_begin_within_a_string() {
    for one in [
        "a = \"\"\"\n[[device]]\n\"\"\"\n",
        "a = '''\n[[device]]\n'''\n",
        // Two quotes of the text, then the three that close it.
        "a = \"\"\"x\"\"\n[[device]]\n\"\"\"\"\" # \"\"\"\n",
        "a = '''x''\n[[device]]\n''''' # '''\n",
        "a = [\"\"\"x\"\"\"\", \"\"\"\n[[device]]\n\"\"\"]\n",
        "a = \"\"\"\\\"\"\"\n[[device]]\n\"\"\"\n",
        "a = '\"\"\"' \nb = \"'''\\\"\" # '''\nc = \"\"\"\n[[device]]\n\"\"\"\n",
    ] {
        assert!(DeTable::parse(one).is_ok(), "{one}");
        let two = format!("{one}[[device]]\n");
        assert_eq!(texts(&two), [one, "[[device]]\n"]);
    }
}

#[test]
fn no_piece_is_large_but_comments_may_be_many() {
    let entry = "[[device]]\nname = \"a\"\n";
    let comments = "# [[device]]\n".repeat(LARGEST / 4);
    let text = format!("{comments}{entry}{comments}{entry}");
    assert!(Pieces::of(&text).all(|piece| !piece.is_too_large && piece.text.len() < 2 * COMMENTS));
    assert_eq!(texts(&text).concat(), text);

    let garbage = "a\n".repeat(LARGEST);
    for text in [garbage.clone(), format!("{entry}{garbage}{entry}")] {
        let pieces: Vec<Piece<'_>> = Pieces::of(&text).collect();
        assert_eq!(pieces.len(), 1);
        assert!(pieces[0].is_too_large && pieces[0].text.len() <= LARGEST + entry.len());
    }
    let line = "x".repeat(3 * LARGEST);
    assert!(Pieces::of(&line).next().unwrap().is_too_large);
}

/// Every key with its value; `None` if the document is invalid.
fn contents(text: &str) -> Option<String> {
    fn write(value: &DeValue<'_>, into: &mut String) {
        match value {
            DeValue::Table(table) => write_table(table, into),
            DeValue::Array(items) => items.iter().for_each(|item| write(item.get_ref(), into)),
            other => write!(into, "{other:?};").unwrap(),
        }
    }
    fn write_table(table: &DeTable<'_>, into: &mut String) {
        for (key, value) in table {
            write!(into, "{}:", key.get_ref()).unwrap();
            write(value.get_ref(), into);
        }
    }
    let document = DeTable::parse(text).ok()?;
    let mut into = String::new();
    write_table(document.get_ref(), &mut into);
    Some(into)
}

/// The contents in alphabetical order, without the keys that a whole file has once and each piece again.
fn sorted(contents: &str) -> Vec<String> {
    let contents = contents.replace("device:", ";").replace("other:", ";");
    let parts = contents.split(';').filter(|part| !part.is_empty());
    let mut parts: Vec<String> = parts.map(str::to_owned).collect();
    parts.sort();
    parts
}

const FRAGMENTS: [&str; 24] = [
    "[[device]]\n",
    "[[device]] # c\r\n",
    " [[device]]\n",
    "[[device]]",
    "name = \"a\"\n",
    "token = 'b\"'\n",
    "fingerprint = [\n\"a\", # [[device]]\n'b',\n]\n",
    "x = \"\"\"\n",
    "\"\"\"\n",
    "y = '''",
    "'''\n",
    "\"",
    "'",
    "\\",
    "\\\"\n",
    "# \"\"\"\n",
    "# [[device]]\n",
    "\n",
    "\r\n",
    "z = { a = \"#\" }\n",
    "\"\"\"\"\" # \n",
    "]\n",
    "[[other]]\n",
    "ü\n",
];

#[test]
fn the_pieces_of_any_text_have_its_entries_and_are_valid_exactly_if_it_is() {
    let mut random = fastrand::Rng::with_seed(17);
    let (mut right, mut of_several) = (0, 0);
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..random.usize(1..9) {
            text.push_str(FRAGMENTS[random.usize(..FRAGMENTS.len())]);
        }
        let pieces = texts(&text);
        assert_eq!(pieces.concat(), text);
        let whole = contents(&text);
        let apart: Option<String> = pieces.iter().map(|piece| contents(piece)).collect();
        right += usize::from(whole.is_some());
        of_several += usize::from(whole.is_some() && pieces.len() > 1);
        assert_eq!(
            whole.as_deref().map(sorted),
            apart.as_deref().map(sorted),
            "{text:?} as {pieces:?}"
        );
    }
    assert!(right > 1_000 && of_several > 150, "{right} {of_several}");
}
