use super::*;

const FIRMWARE: PackageKind = PackageKind::Firmware;

fn firmware(version: &str) -> PackageId {
    PackageId::new(FIRMWARE, "meter", version)
}

fn put(packages: &mut Packages, id: PackageId, package: Package) -> Result<(), String> {
    let stored = package.into_stored(&id)?;
    packages.insert(id, stored)
}

fn request(version: &str, size: i32, chunk: i32) -> PackageRequest {
    PackageRequest {
        kind: FIRMWARE,
        title: "meter".to_owned(),
        version: version.to_owned(),
        size,
        chunk,
    }
}

/// `meter` 1.0 of these bytes, assigned to all.
fn with(bytes: &'static [u8]) -> Packages {
    let mut packages = Packages::default();
    put(&mut packages, firmware("1.0"), Package::of(bytes)).unwrap();
    packages.assign(Assignee::All, &firmware("1.0")).unwrap();
    packages
}

fn fetched(packages: &mut Packages, size: i32, chunk: i32) -> Vec<u8> {
    match packages.fetch("a", &request("1.0", size, chunk)) {
        Fetched::Part { bytes, .. } => bytes.to_vec(),
        other @ (Fetched::NotFound | Fetched::OtherAssigned | Fetched::Failed) => {
            panic!("{size} {chunk}: {other:?}")
        }
    }
}

#[test]
fn chunks_are_slices_of_the_package_and_the_last_one_is_short() {
    let mut packages = with(b"abcdefghij");
    for (chunk, expected) in [(0, "abcd"), (1, "efgh"), (2, "ij"), (3, ""), (1000, "")] {
        assert_eq!(
            fetched(&mut packages, 4, chunk),
            expected.as_bytes(),
            "{chunk}"
        );
    }
    assert_eq!(fetched(&mut packages, i32::MAX, 0), b"abcdefghij");
    assert_eq!(fetched(&mut packages, 5, 2), b"");
}

#[test]
fn a_size_below_one_is_the_whole_package_whatever_the_chunk() {
    let mut packages = with(b"abcdefghij");
    for (size, chunk) in [(0, 0), (0, 7), (-1, 1), (i32::MIN, -1)] {
        assert_eq!(fetched(&mut packages, size, chunk), b"abcdefghij");
    }
}

#[test]
fn an_offset_beyond_javas_integers_wraps_around_or_throws() {
    let mut packages = with(b"abcdefghij");
    assert_eq!(fetched(&mut packages, 65_536, 65_536), b"abcdefghij");
    for (size, chunk) in [(4, -1), (65_536, 32_768), (i32::MAX, 2)] {
        let fetched = packages.fetch("a", &request("1.0", size, chunk));
        assert_eq!((&fetched, fetched.status()), (&Fetched::Failed, 500));
    }
}

#[test]
fn a_package_that_is_not_assigned_is_not_served() {
    let mut packages = with(b"one");
    put(&mut packages, firmware("2.0"), Package::of("two")).unwrap();
    let status = |packages: &mut Packages, request| packages.fetch("a", &request).status();
    assert_eq!(status(&mut packages, request("1.0", 0, 0)), 200);
    assert_eq!(status(&mut packages, request("2.0", 0, 0)), 400);
    let software = PackageRequest {
        kind: PackageKind::Software,
        ..request("1.0", 0, 0)
    };
    assert_eq!(status(&mut packages, software), 404);
    let other_title = PackageRequest {
        title: "Meter".to_owned(),
        ..request("1.0", 0, 0)
    };
    assert_eq!(status(&mut packages, other_title), 400);
    assert!(packages.unassign(Assignee::All, FIRMWARE));
    assert!(!packages.unassign(Assignee::All, FIRMWARE));
    assert_eq!(status(&mut packages, request("1.0", 0, 0)), 404);
}

#[test]
fn a_devices_own_package_has_precedence_over_that_of_all() {
    let mut packages = with(b"one");
    let own = firmware("2.0");
    put(&mut packages, own.clone(), Package::of("two")).unwrap();
    packages.assign(Assignee::Device("a"), &own).unwrap();
    assert_eq!(packages.assigned("a", FIRMWARE), Some(&own));
    assert_eq!(packages.assigned("b", FIRMWARE), Some(&firmware("1.0")));
    packages.delete_device("a");
    assert_eq!(packages.assigned("a", FIRMWARE), Some(&firmware("1.0")));
}

#[test]
fn an_external_package_is_not_found_whatever_the_title() {
    let mut packages = with(b"one");
    let url = Package::external("https://example.com/1.0");
    put(&mut packages, firmware("1.0"), url).unwrap();
    for version in ["1.0", "2.0"] {
        let fetched = packages.fetch("a", &request(version, 0, 0));
        assert_eq!(fetched, Fetched::NotFound, "{version}");
    }
}

#[test]
fn downloads_are_counted_by_package_until_it_is_replaced() {
    let mut packages = with(b"abcdefghij");
    for chunk in [2, 2, 3] {
        fetched(&mut packages, 4, chunk);
    }
    packages.fetch("a", &request("2.0", 4, 0));
    let served = |packages: &Packages| packages.get(&firmware("1.0")).unwrap().served;
    let expected = Served {
        requests: 3,
        bytes: 4,
    };
    assert_eq!(served(&packages), expected);
    put(&mut packages, firmware("1.0"), Package::of("new")).unwrap();
    assert_eq!(served(&packages), Served::default());
    assert_eq!(fetched(&mut packages, 0, 0), b"new");
}

#[test]
fn an_assignment_deletes_the_keys_without_a_value_and_updates_the_rest() {
    let text = |key: &str, text: &str| (key.to_owned(), AttributeValue::Text(text.to_owned()));
    let checksum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let mut packages = with(b"abc");
    let changes = packages.attribute_changes("a", FIRMWARE);
    assert_eq!(changes.deleted, ["fw_tag", "fw_url"]);
    assert_eq!(
        changes.updated,
        [
            text("fw_title", "meter"),
            text("fw_version", "1.0"),
            ("fw_size".to_owned(), AttributeValue::Number(3)),
            text("fw_checksum_algorithm", "SHA256"),
            text("fw_checksum", checksum),
        ]
    );
    let url = Package::external("https://example.com/1.0").with_tag("t");
    put(&mut packages, firmware("1.0"), url).unwrap();
    let changes = packages.attribute_changes("a", FIRMWARE);
    assert_eq!(
        changes.deleted,
        ["fw_size", "fw_checksum_algorithm", "fw_checksum"]
    );
    assert_eq!(changes.updated[2], text("fw_tag", "t"));
    assert_eq!(
        changes.updated[3],
        text("fw_url", "https://example.com/1.0")
    );
}

#[test]
fn the_end_of_an_assignment_deletes_every_key() {
    let changes = Packages::default().attribute_changes("a", PackageKind::Software);
    assert_eq!(changes.updated, []);
    assert_eq!(changes.deleted.len(), 9);
    assert!(changes.deleted.iter().all(|key| key.starts_with("sw_")));
}

#[test]
fn a_version_that_looks_like_a_number_stays_text_in_json() {
    assert_eq!(
        AttributeValue::Text("1.0".to_owned()).to_string(),
        r#""1.0""#
    );
    assert_eq!(AttributeValue::Number(1_048_576).to_string(), "1048576");
}

#[test]
fn a_package_that_is_assigned_is_not_deleted() {
    let mut packages = with(b"one");
    assert!(packages.remove(&firmware("1.0")).is_err());
    packages.unassign(Assignee::All, FIRMWARE);
    assert_eq!(packages.remove(&firmware("1.0")), Ok(true));
    assert_eq!(packages.remove(&firmware("1.0")), Ok(false));
    assert!(packages.assign(Assignee::All, &firmware("1.0")).is_err());
}

#[test]
fn an_invalid_package_is_refused_before_it_is_generated() {
    let mut packages = Packages::default();
    let long = "x".repeat(MAX_TEXT + 1);
    for package in [
        Package::of(""),
        Package::generated(0),
        Package::generated(MAX_PACKAGE_BYTES + 1),
        Package::generated(usize::MAX),
        Package::external(""),
        Package::external(&long),
        Package::of("x").with_tag(""),
    ] {
        let shown = format!("{package:?}");
        assert!(
            put(&mut packages, firmware("1"), package).is_err(),
            "{shown}"
        );
    }
    for version in ["", &long] {
        assert!(put(&mut packages, firmware(version), Package::of("x")).is_err());
    }
    assert_eq!(packages.iter().count(), 0);
}

#[test]
fn bytes_of_packages_are_bounded_and_freed() {
    let mut packages = Packages::default();
    let large = Bytes::from(vec![0; MAX_PACKAGE_BYTES]);
    for version in 0..MAX_BYTES / MAX_PACKAGE_BYTES {
        let id = firmware(&version.to_string());
        put(&mut packages, id, Package::of(large.clone())).unwrap();
    }
    assert!(put(&mut packages, firmware("more"), Package::of("x")).is_err());
    // The replaced package does not count.
    put(&mut packages, firmware("0"), Package::of(large)).unwrap();
    packages.remove(&firmware("0")).unwrap();
    put(&mut packages, firmware("more"), Package::of("x")).unwrap();
    assert_eq!(packages.total_bytes, MAX_BYTES - MAX_PACKAGE_BYTES + 1);
}

#[test]
fn the_number_of_packages_is_bounded() {
    let mut packages = Packages::default();
    let url = || Package::external("https://example.com");
    for version in 0..MAX_PACKAGES {
        put(&mut packages, firmware(&version.to_string()), url()).unwrap();
    }
    assert!(put(&mut packages, firmware("more"), url()).is_err());
    put(&mut packages, firmware("0"), url()).unwrap();
}
