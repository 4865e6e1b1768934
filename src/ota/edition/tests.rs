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
fn how_far_it_reaches_is_learned_from_its_chunks() {
    let mut edition = edition(None, None);
    assert_eq!((edition.reaches(0), edition.size()), (None, None));
    edition.take(1, &bytes(1024)).unwrap();
    assert_eq!(edition.reaches(2047), Some(true));
    assert_eq!(edition.reaches(2048), None);
    // Far beyond the end: no longer than that, but how long is not known.
    edition.take(9, &bytes(0)).unwrap();
    assert_eq!(
        (edition.reaches(9 * 1024), edition.reaches(2048)),
        (Some(false), None)
    );
    assert_eq!(edition.size(), None);
    edition.take(2, &bytes(0)).unwrap();
    assert_eq!(
        (edition.reaches(2048), edition.size()),
        (Some(false), Some(2048))
    );
}

#[test]
fn what_is_seen_goes_before_what_is_said() {
    let mut short = edition(None, Some(100));
    assert_eq!(
        (short.reaches(99), short.reaches(100)),
        (Some(true), Some(false))
    );
    short.take(0, &bytes(300)).unwrap();
    assert_eq!((short.size(), short.reaches(200)), (Some(300), Some(true)));
    let mut long = edition(None, Some(5000));
    long.take(0, &bytes(1024)).unwrap();
    assert_eq!(long.size(), Some(5000));
    long.take(1, &bytes(1)).unwrap();
    assert_eq!((long.size(), long.reaches(1025)), (Some(1025), Some(false)));
}

#[test]
fn what_is_said_is_dropped_when_it_can_not_be() {
    let mut longer = edition(None, Some(100));
    longer.take(0, &bytes(1024)).unwrap();
    assert_eq!((longer.size(), longer.reaches(1024)), (None, None));
    let mut shorter = edition(None, Some(5000));
    shorter.take(2, &bytes(0)).unwrap();
    assert_eq!((shorter.size(), shorter.reaches(1000)), (None, None));
}

#[test]
fn chunks_that_disagree_about_the_end_are_a_contradiction() {
    let mut one = edition(None, None);
    one.take(3, &bytes(10)).unwrap();
    assert_eq!(one.take(4, &bytes(1)), Err(Contradiction));
    let mut other = edition(None, None);
    other.take(3, &bytes(1024)).unwrap();
    assert_eq!(other.take(2, &bytes(1000)), Err(Contradiction));
}

#[test]
fn a_chunk_that_comes_again_must_be_the_same() {
    let mut edition = edition(None, None);
    edition.take(0, &bytes(1024)).unwrap();
    edition.take(0, &bytes(1024)).unwrap();
    let mut other = vec![7; 1024];
    other[1023] = 8;
    assert_eq!(edition.take(0, &other.into()), Err(Contradiction));
}

#[test]
fn the_proof_needs_every_chunk_in_order_and_judges_at_the_end_alone() {
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
        (sha(&content), Proved::Whole),
        (sha(b"other"), Proved::Wrong),
    ] {
        let mut edition = edition(Some(checksum), None);
        for number in [0_u8, 1] {
            let start = usize::from(number) * 1024;
            let chunk = content.slice(start..start + 1024);
            edition.take(number.into(), &chunk).unwrap();
            assert_eq!(edition.next_to_prove(), Some(number.into()));
            assert_eq!(edition.prove(&chunk), Proved::SoFar);
        }
        edition.take(2, &content.slice(2048..)).unwrap();
        assert_eq!(edition.prove(&content[2048..]), expected);
        assert_eq!(edition.next_to_prove(), None);
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
    unknown.take(1, &bytes(1024)).unwrap();
    assert_eq!(unknown.etag(), None);
    unknown.take(0, &bytes(1024)).unwrap();
    let first = unknown.etag().unwrap();
    assert_ne!(first, known);
    // The same whenever it is learned, another for another length, and another after a contradiction.
    let mut again = edition(None, None);
    again.take(0, &bytes(1024)).unwrap();
    assert_eq!(again.etag(), Some(first));
    let mut longer = edition(None, Some(9999));
    longer.take(0, &bytes(1024)).unwrap();
    assert_ne!(longer.etag(), Some(first));
    let name = again.name.clone();
    let owner = Owner::Group("fleet".into());
    let mut salted = Edition::new(owner, name, Identity::default(), 1024, 1);
    salted.take(0, &bytes(1024)).unwrap();
    assert_ne!(salted.etag(), Some(first));
}
