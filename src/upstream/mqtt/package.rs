//! A part of a package, out of what ThingsBoard's MQTT has for that.
//!
//! * It sends at most 64 KiB at once, so a larger part is requested in pieces.
//! * It does not look at title and version, and closes the connection if no package is assigned. So the assignment is read
//!   first, from the shared attributes. A package that is assigned in between is not noticed here: the checksum shows it.
//! * A request's id stays with the package it was first used for, so each piece has another id.

use super::super::{Error, Operation, Package, Rejection};
use super::validate::LARGEST_CHUNK;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pieces of one part.
const MOST_PIECES: u32 = 64;

/// The requests for a part of a package. Their answers are to be joined, up to the first one that is shorter.
pub(super) fn pieces(
    package: Package,
    (title, version): (&Arc<str>, &Arc<str>),
    size: u32,
    chunk: u64,
) -> Result<impl Iterator<Item = (u32, Operation)> + use<>, Error> {
    let unsupported = Error::Rejected(Rejection::BadRequest);
    let divides = |count: &u32| size.is_multiple_of(*count) && size / count <= LARGEST_CHUNK;
    let count = (1..=MOST_PIECES).find(divides).filter(|_| size > 0);
    let count = count.ok_or(unsupported.clone())?;
    let first = chunk.checked_mul(u64::from(count)).ok_or(unsupported)?;
    let (title, version, piece) = (title.clone(), version.clone(), size / count);
    Ok((0..count).map(move |number| {
        let operation = Operation::GetPackage {
            package,
            title: title.clone(),
            version: version.clone(),
            size: piece,
            chunk: first.saturating_add(u64::from(number)),
        };
        (piece, operation)
    }))
}

/// Whether this package is the one assigned, by the answer to [`Operation::ReadAssignment`].
///
/// # Errors
/// As HTTP has them: none is assigned, or one with a URL; or another one.
pub(super) fn check_assignment(
    answer: &[u8],
    package: Package,
    title: &str,
    version: &str,
) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Attributes<'a> {
        #[serde(borrow, default)]
        shared: BTreeMap<String, &'a RawValue>,
    }
    let unreadable = || Error::Unintelligible("its attributes are no JSON");
    let attributes: Attributes<'_> = serde_json::from_slice(answer).map_err(|_| unreadable())?;
    let prefix = match package {
        Package::Firmware => "fw",
        Package::Software => "sw",
    };
    let value = |name: &str| {
        let value = attributes.shared.get(&format!("{prefix}_{name}"))?.get();
        let text = serde_json::from_str::<String>(value);
        Some(text.unwrap_or_else(|_| value.to_owned()))
    };
    match (value("title"), value("version"), value("size")) {
        // A package with a URL has no size.
        (Some(assigned), Some(of_version), Some(_)) => {
            match assigned == title && of_version == version {
                true => Ok(()),
                false => Err(Error::Rejected(Rejection::BadRequest)),
            }
        }
        _ => Err(Error::Rejected(Rejection::NotFound)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(size: u32, chunk: u64) -> Result<Vec<(u32, u64)>, Error> {
        let names = (&Arc::from("t"), &Arc::from("v"));
        let pieces = pieces(Package::Software, names, size, chunk)?;
        Ok(pieces
            .map(|(piece, operation)| match operation {
                Operation::GetPackage { size, chunk, .. } => {
                    assert_eq!(size, piece);
                    (size, chunk)
                }
                other => panic!("{other:?}"),
            })
            .collect())
    }

    #[test]
    fn a_large_part_is_requested_in_pieces() {
        assert_eq!(parts(1024, 7), Ok(vec![(1024, 7)]));
        assert_eq!(parts(65_536, 1), Ok(vec![(65_536, 1)]));
        let expected = (48..64).map(|chunk| (65_536, chunk)).collect();
        assert_eq!(parts(1 << 20, 3), Ok(expected));
        let thirds = [3, 4, 5].map(|chunk| (33_333, chunk)).to_vec();
        assert_eq!(parts(99_999, 1), Ok(thirds));
        // Too many pieces, none, or past the last number.
        for (size, chunk) in [(99_991, 0), (0, 0), (1 << 20, u64::MAX)] {
            assert_eq!(
                parts(size, chunk),
                Err(Error::Rejected(Rejection::BadRequest))
            );
        }
    }

    #[test]
    fn the_assignment_is_compared_as_over_http() {
        let check =
            |answer: &str| check_assignment(answer.as_bytes(), Package::Firmware, "meter", "1.0");
        let assigned = r#"{"shared":{"fw_title":"meter","fw_version":"1.0","fw_size":5}}"#;
        assert_eq!(check(assigned), Ok(()));
        assert_eq!(check(&assigned.replace("\"1.0\"", "1.0")), Ok(()));
        let rejected = |rejection| Err(Error::Rejected(rejection));
        for other in [
            assigned.replace("meter", "valve"),
            assigned.replace("1.0", "1.1"),
        ] {
            assert_eq!(check(&other), rejected(Rejection::BadRequest));
        }
        for none in [
            "{}".to_owned(),
            assigned.replace("fw_size", "fw_url"),
            assigned.replace("fw_", "sw_"),
        ] {
            assert_eq!(check(&none), rejected(Rejection::NotFound));
        }
        assert!(matches!(check("[]x"), Err(Error::Unintelligible(_))));
    }
}
