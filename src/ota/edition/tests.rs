use super::*;
use crate::upstream::Package;

fn edition(checksum: Option<Checksum>, said: Option<u64>) -> Edition {
    let name = Name {
        package: Package::Firmware,
        title: "meter".into(),
        version: "1.0".into(),
    };
    let identity = Identity {
        checksum,
        size: said,
    };
    Edition::new(Owner::Group("fleet".into()), name, identity, 1024, 0)
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

#[test]
fn the_length_is_learned_from_the_chunks() {
    let mut edition = edition(None, None);
    assert_eq!((edition.contains(0), edition.size()), (None, None));
    edition.add_chunk(1, &bytes(1024)).unwrap();
    assert_eq!(edition.contains(2047), Some(true));
    assert_eq!(edition.contains(2048), None);
    // Far beyond the end: it is shorter than that, but its length is not known.
    edition.add_chunk(9, &bytes(0)).unwrap();
    assert_eq!(
        (edition.contains(9 * 1024), edition.contains(2048)),
        (Some(false), None)
    );
    assert_eq!(edition.size(), None);
    edition.add_chunk(2, &bytes(0)).unwrap();
    assert_eq!(
        (edition.contains(2048), edition.size()),
        (Some(false), Some(2048))
    );
}

#[test]
fn a_length_shown_by_chunks_goes_before_the_one_that_attributes_name() {
    let mut short = edition(None, Some(100));
    assert_eq!(
        (short.contains(99), short.contains(100)),
        (Some(true), Some(false))
    );
    short.add_chunk(0, &bytes(300)).unwrap();
    assert_eq!((short.size(), short.contains(200)), (Some(300), Some(true)));
    let mut long = edition(None, Some(5000));
    long.add_chunk(0, &bytes(1024)).unwrap();
    assert_eq!(long.size(), Some(5000));
    long.add_chunk(1, &bytes(1)).unwrap();
    assert_eq!(
        (long.size(), long.contains(1025)),
        (Some(1025), Some(false))
    );
}

#[test]
fn a_named_length_that_chunks_contradict_is_dropped() {
    let mut longer = edition(None, Some(100));
    longer.add_chunk(0, &bytes(1024)).unwrap();
    assert_eq!((longer.size(), longer.contains(1024)), (None, None));
    let mut shorter = edition(None, Some(5000));
    shorter.add_chunk(2, &bytes(0)).unwrap();
    assert_eq!((shorter.size(), shorter.contains(1000)), (None, None));
}

#[test]
fn chunks_that_disagree_about_the_end_are_a_contradiction() {
    let mut one = edition(None, None);
    one.add_chunk(3, &bytes(10)).unwrap();
    assert_eq!(one.add_chunk(4, &bytes(1)), Err(Contradiction));
    let mut other = edition(None, None);
    other.add_chunk(3, &bytes(1024)).unwrap();
    assert_eq!(other.add_chunk(2, &bytes(1000)), Err(Contradiction));
}

#[test]
fn a_chunk_that_is_fetched_again_must_be_the_same() {
    let mut edition = edition(None, None);
    edition.add_chunk(0, &bytes(1024)).unwrap();
    edition.add_chunk(0, &bytes(1024)).unwrap();
    let mut other = vec![7; 1024];
    other[1023] = 8;
    assert_eq!(edition.add_chunk(0, &other.into()), Err(Contradiction));
}

#[test]
fn the_checksum_is_compared_when_every_chunk_was_hashed_in_order() {
    let content = bytes(2500);
    let sha = |content: &[u8]| -> Checksum {
        let digest = digest::digest(&SHA256, content);
        Checksum {
            algorithm: "SHA256".into(),
            value: digest
                .as_ref()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
                .into(),
        }
    };
    for (checksum, expected) in [
        (sha(&content), Verification::Match),
        (sha(b"other"), Verification::Mismatch),
    ] {
        let mut edition = edition(Some(checksum), None);
        for number in [0_u8, 1] {
            let start = usize::from(number) * 1024;
            let chunk = content.slice(start..start + 1024);
            edition.add_chunk(number.into(), &chunk).unwrap();
            assert_eq!(edition.next_to_verify(), Some(number.into()));
            assert_eq!(edition.verify_next(&chunk), Verification::Incomplete);
        }
        edition.add_chunk(2, &content.slice(2048..)).unwrap();
        assert_eq!(edition.verify_next(&content[2048..]), expected);
        assert_eq!(edition.next_to_verify(), None);
    }
}

#[test]
fn the_etag_comes_from_the_checksum_or_from_the_first_chunk() {
    let checksum = |value: &str| {
        Some(Checksum {
            algorithm: "CRC32".into(),
            value: value.into(),
        })
    };
    let known = edition(checksum("aa"), None).etag().unwrap();
    assert_ne!(edition(checksum("ab"), None).etag(), Some(known));
    let mut unknown = edition(None, None);
    unknown.add_chunk(1, &bytes(1024)).unwrap();
    assert_eq!(unknown.etag(), None);
    unknown.add_chunk(0, &bytes(1024)).unwrap();
    let first = unknown.etag().unwrap();
    assert_ne!(first, known);
    // The same in any order of chunks, another for another length, and another after a contradiction.
    let mut again = edition(None, None);
    again.add_chunk(0, &bytes(1024)).unwrap();
    assert_eq!(again.etag(), Some(first));
    let mut longer = edition(None, Some(9999));
    longer.add_chunk(0, &bytes(1024)).unwrap();
    assert_ne!(longer.etag(), Some(first));
    let name = again.name.clone();
    let owner = Owner::Group("fleet".into());
    let mut contradicted = Edition::new(owner, name, Identity::default(), 1024, 1);
    contradicted.add_chunk(0, &bytes(1024)).unwrap();
    assert_ne!(contradicted.etag(), Some(first));
}
