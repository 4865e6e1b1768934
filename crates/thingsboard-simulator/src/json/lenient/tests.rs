use super::*;

fn text(document: &str) -> String {
    read(document).unwrap().to_string()
}

fn error(document: &str) -> String {
    read(document).unwrap_err().0
}

#[test]
fn strict_json_reads_as_itself() {
    let document = r#"{"a":[1,-2.5e+3,true,false,null,"x\n\u00e9\ud83d\ude00"],"b":{},"c":[]}"#;
    assert_eq!(
        text(document),
        r#"{"a":[1,-2.5e+3,true,false,null,"x\né😀"],"b":{},"c":[]}"#
    );
}

#[test]
fn documents_that_gson_accepts_are_accepted() {
    for (document, canonical) in [
        ("{temperature:25}", r#"{"temperature":25}"#),
        ("{'a':'b \"c\"'}", r#"{"a":"b \"c\""}"#),
        ("{a=1;b=>2}", r#"{"a":1,"b":2}"#),
        (
            "{a:1, // one\n b:2, # two\n /* three */ c:3}",
            r#"{"a":1,"b":2,"c":3}"#,
        ),
        ("[1,,2,]", "[1,null,2,null]"),
        ("[,]", "[null,null]"),
        ("[1;2]", "[1,2]"),
        (
            "{a:TRUE,b:False,c:nUlL}",
            r#"{"a":true,"b":false,"c":null}"#,
        ),
        (
            "{a:on,b:trues,c:NaN}",
            r#"{"a":"on","b":"trues","c":"NaN"}"#,
        ),
        (
            "{a:007,b:+1,c:.5,d:1.,e:0x1F}",
            r#"{"a":"007","b":"+1","c":".5","d":"1.","e":"0x1F"}"#,
        ),
        ("\u{feff}{\"a\":1}", r#"{"a":1}"#),
        (")]}'\n{a:1}", r#"{"a":1}"#),
        ("hello", r#""hello""#),
        ("{a:1,b:2,a:3}", r#"{"a":3,"b":2}"#),
        ("{a:'x\ny'}", r#"{"a":"x\ny"}"#),
        ("{a b:1}", ""),
    ] {
        if canonical.is_empty() {
            assert!(read(document).is_err(), "{document}");
        } else {
            assert_eq!(text(document), canonical, "{document}");
        }
    }
}

#[test]
fn an_empty_document_reads_as_null() {
    for document in ["", "  \n", "// only a comment"] {
        assert_eq!(read(document), Ok(Element::Null), "{document:?}");
    }
}

#[test]
fn errors_say_where_in_gsons_words() {
    let see = "\nSee https://github.com/google/gson/blob/main/Troubleshooting.md#malformed-json";
    let prefix = "com.google.gson.stream.MalformedJsonException: ";
    for (document, message) in [
        ("{\"a\" 1}", "Expected ':' at line 1 column 7 path $.a"),
        (
            "{\"a\":1 \"b\":2}",
            "Unterminated object at line 1 column 9 path $.a",
        ),
        ("[1 2]", "Unterminated array at line 1 column 5 path $[1]"),
        ("{,}", "Expected name at line 1 column 2 path $."),
        ("{a:1,}", "Expected name at line 1 column 7 path $.a"),
        ("{a:,}", "Unexpected value at line 1 column 5 path $.a"),
        ("{a:\n'b", "Unterminated string at line 2 column 3 path $.a"),
        (
            "{a:'\\x'}",
            "Invalid escape sequence at line 1 column 7 path $.a",
        ),
        ("{a:=}", "Expected value at line 1 column 4 path $.a"),
    ] {
        assert_eq!(
            error(document),
            format!("{prefix}{message}{see}"),
            "{document}"
        );
    }
    assert_eq!(
        error("{\"a\":"),
        "java.io.EOFException: End of input at line 1 column 6 path $.a"
    );
    assert_eq!(error("{} {}"), "Did not consume the entire document.");
}

#[test]
fn nesting_has_gsons_bound() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&deep(255)).is_ok());
    assert!(error(&deep(256)).contains("Nesting limit 255 reached"));
    assert!(error(&"{a:".repeat(100_000)).contains("Nesting limit 255 reached"));
}

#[test]
fn a_document_of_too_many_values_is_refused() {
    let flat = format!("[{}]", "1,".repeat(ELEMENT_LIMIT));
    assert!(error(&flat).contains("more than 1000000 values"));
}

#[test]
fn no_cut_of_a_document_panics() {
    let document = "{\"é\":[1,'\\u00e9\\ud83d',/* c */{a=>b;c:-1e5}],d:)]}'}";
    for end in 0..=document.len() {
        if let Some(cut) = document.get(..end) {
            let _ = read(cut);
        }
        if let Some(cut) = document.get(end..) {
            let _ = read(cut);
        }
    }
}
