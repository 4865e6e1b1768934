use super::*;

const DEVICE: NewDevice<'_> = NewDevice {
    name: "new",
    fingerprint: "AB:CD",
    token_key: "token",
    token: "A1_TEST_TOKEN",
};

fn entry(name: &str) -> String {
    format!("[[device]]\nname = \"{name}\"\nfingerprint = \"AB:CD\"\ntoken = \"A1_TEST_TOKEN\"\n")
}

/// Registries as people write them. The text between `<` and `>` is the device `a` and what is removed with it.
const MARKED: &[&str] = &[
    "<[[device]]\nname = \"a\"\n>",
    "# head\n<[[device]]\nname = \"a\"\n>",
    "# head\n\n<[[device]]\nname = \"a\"\n\n>[[device]]\nname = \"b\"\n",
    "[[device]]\nname = \"b\"\n\n<[[device]]\nname = \"a\"\n\n>[[device]]\nname = \"c\"\n",
    "[[device]]\nname = \"b\"\n<\n[[device]]\nname = \"a\"\n>",
    "[[device]]\nname = \"b\"\n<[[device]]\nname = \"a\">",
    "[[device]]\nname = \"b\"\n# of a?\n<[[device]]\nname = \"a\"\n># of c?\n[[device]]\nname = \"c\"",
    "<  [[ device ]]  # gone too\n\n  # inside\n  token = 'x' # at the end\n\tname = 'a'   # the last\n\n>\n\n# tail",
    "<[[device]]\n\"name\" = \"a\"\nfingerprint = [\n  \"x\", # one\n  \"y\",\n] # two\n># tail\n\n",
    "<[[device]]\ntoken = \"\"\"\n[[device]]\nname = \"b\"\"\"\"\nname = \"a\"\n\n>[[device]]\nname = \"c\"\n",
    "[[device]]\nname = \"ä ☃\" # ☃\n# ☃\n<[['device']]\nname = \"a\" # ☃\n># ☃\n",
    "# old = \"x\"\n\n\n<[[device]]\nname = \"a\"\n\n>\n[[device]]\nname = \"\\u0061b\"\n",
    "[[device]]\nname = \"b\"\n\t \n<[[device]]\nname = \"\\u0061\"\n\n>[[device]]\nname = \"c\"\n",
];

/// The text with LF, with CRLF, with both mixed, and after a byte order mark.
fn variants(text: &str) -> Vec<String> {
    let mut mixed = String::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match line.strip_suffix('\n') {
            Some(line) if index % 2 == 0 => mixed.extend([line, "\r\n"]),
            _ => mixed.push_str(line),
        }
    }
    let plain = [text.to_owned(), text.replace('\n', "\r\n"), mixed];
    let marked = plain.clone().map(|text| format!("\u{feff}{text}"));
    plain.into_iter().chain(marked).collect()
}

#[test]
fn a_device_is_removed_with_its_lines_and_every_other_byte_stays() {
    for marked in MARKED {
        for marked in variants(marked) {
            let (head, rest) = marked.split_once('<').unwrap();
            let (gone, tail) = rest.split_once('>').unwrap();
            let removed = removed(&format!("{head}{gone}{tail}"), "a").unwrap();
            assert_eq!(*removed.text, format!("{head}{tail}"), "{marked:?}");
        }
    }
}

#[test]
fn a_device_is_appended_and_every_other_byte_stays() {
    for marked in MARKED {
        for before in variants(&marked.replace(['<', '>'], "")) {
            let after = added(Some(&before), &DEVICE).unwrap();
            let new = after.strip_prefix(&before).unwrap();
            let last = before.rfind('\n').map_or("", |at| &before[..at]);
            let ours = if last.ends_with('\r') {
                entry("new").replace('\n', "\r\n")
            } else {
                entry("new")
            };
            let between = new.strip_suffix(&ours).unwrap();
            assert!(
                ["", "\n", "\r\n", "\n\n", "\r\n\r\n"].contains(&between),
                "{before:?} {between:?}"
            );
            let apart = after[..after.len() - ours.len()].replace('\r', "");
            assert!(apart.is_empty() || apart.ends_with("\n\n"), "{apart:?}");
        }
    }
}

#[test]
fn a_device_that_is_added_and_removed_leaves_the_file_unchanged() {
    for marked in MARKED {
        for before in variants(&marked.replace(['<', '>'], "")) {
            // A last line gets its end, and a blank line at the end serves as the one between.
            if !before.ends_with('\n') || before.replace('\r', "").ends_with("\n\n") {
                continue;
            }
            let after = added(Some(&before), &DEVICE).unwrap();
            assert_eq!(*removed(&after, "new").unwrap().text, before);
        }
    }
}

#[test]
fn any_device_of_many_can_be_removed_and_the_others_keep_their_order() {
    let mut random = fastrand::Rng::with_seed(17);
    let filler = [
        "",
        "\n",
        "# c\n",
        "\n# c\n\n",
        "  \n",
        "\n\n\n",
        "#[[device]]\n",
    ];
    for _ in 0..300 {
        let count = random.usize(1..6);
        let mut pieces = vec![random.choice(filler).unwrap().to_owned()];
        for index in 0..count {
            pieces.push(format!("[[device]] # {index}\nname = \"{index}\"\n"));
            pieces.push((*random.choice(filler).unwrap()).to_owned());
        }
        let chosen = random.usize(0..count);
        let after = removed(&pieces.concat(), &chosen.to_string()).unwrap();
        pieces.remove(2 * chosen + 1);
        // Of what stays, one blank line at most goes along.
        let solid = |text: &str| -> Vec<String> {
            text.lines()
                .filter(|line| !is_blank(line))
                .map(String::from)
                .collect()
        };
        let expected = pieces.concat();
        assert_eq!(solid(&after.text), solid(&expected));
        let lines = (after.text.lines().count(), expected.lines().count());
        assert!(
            lines.0 == lines.1 || lines.0 + 1 == lines.1,
            "{expected:?} {:?}",
            *after.text
        );
    }
}

#[test]
fn a_new_file_has_a_header_and_values_are_quoted() {
    let odd = NewDevice {
        name: "a \"b\" \\ 'c' ☃",
        ..DEVICE
    };
    let text = added(None, &odd).unwrap();
    assert!(
        text.starts_with("# The registry") && text.contains("\n\n[[device]]\n"),
        "{}",
        *text
    );
    let document = Document::parse(text.as_str()).unwrap();
    let table = tables(&document).unwrap().unwrap().get(0).unwrap();
    assert_eq!(table.get("name").and_then(Item::as_str), Some(odd.name));
    assert_eq!(*added(Some(""), &DEVICE).unwrap(), entry("new"));
}

#[test]
fn comments_above_or_below_a_removed_device_are_reported() {
    let has_comments = |text: &str| removed(text, "a").unwrap().comments;
    assert!(has_comments("# roof\n[[device]]\nname = \"a\"\n"));
    assert!(has_comments(
        "[[device]]\nname = \"a\"\n# token = \"old\"\n"
    ));
    assert!(!has_comments(
        "# head\n\n[[device]]\nname = \"a\"\n\n[[device]]\nname = \"b\"\n"
    ));
}

#[test]
fn devices_in_one_list_are_not_edited() {
    let list = "device = [{ name = \"a\" }]\n";
    assert!(
        added(Some(list), &DEVICE)
            .unwrap_err()
            .contains("edit the list by hand")
    );
    assert!(
        removed(list, "a")
            .err()
            .unwrap()
            .contains("edit the list by hand")
    );
    assert!(removed(&entry("b"), "a").err().unwrap().contains("\"a\""));
}
