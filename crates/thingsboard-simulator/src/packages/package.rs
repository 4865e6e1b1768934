//! One package: where its bytes come from, and what is kept of it.

use super::{MAX_PACKAGE_BYTES, MAX_TEXT, PackageId, Served};
use crate::arrival::hex;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use std::sync::Arc;

/// A package to define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    content: Content,
    tag: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Bytes(Bytes),
    Generated { size: usize, seed: u64 },
    External(String),
}

impl Package {
    /// A package of these bytes.
    #[must_use]
    pub fn of(bytes: impl Into<Bytes>) -> Package {
        Package::from(Content::Bytes(bytes.into()))
    }

    /// A package of so many bytes, the same each time it is made.
    ///
    /// They are SplitMix64's output, eight bytes at a time with the lowest first; its state begins as the size.
    #[must_use]
    pub fn generated(size: usize) -> Package {
        let seed = u64::try_from(size).unwrap_or(u64::MAX);
        Package::from(Content::Generated { size, seed })
    }

    /// The same, but SplitMix64 begins with `seed`: so two packages of one size differ.
    #[must_use]
    pub fn seeded(size: usize, seed: u64) -> Package {
        Package::from(Content::Generated { size, seed })
    }

    /// A package that lies elsewhere: ThingsBoard names its URL in the attribute `fw_url` and has no bytes of it.
    #[must_use]
    pub fn external(url: &str) -> Package {
        Package::from(Content::External(url.to_owned()))
    }

    /// The same with a tag, which the attribute `fw_tag` tells.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Package {
        self.tag = Some(tag.to_owned());
        self
    }

    /// The package as it is kept under this name, its bytes made and hashed; or why it can't be.
    pub fn into_stored(self, id: &PackageId) -> Result<StoredPackage, String> {
        check_text("title of a package", &id.title)?;
        check_text("version of a package", &id.version)?;
        if let Some(tag) = &self.tag {
            check_text("tag", tag)?;
        }
        let source = match self.content {
            Content::Bytes(bytes) => {
                check_size(bytes.len())?;
                Source::here(bytes)
            }
            Content::Generated { size, seed } => {
                check_size(size)?;
                Source::here(generate(size, seed))
            }
            Content::External(url) => {
                check_text("URL", &url)?;
                Source::External(url)
            }
        };
        Ok(StoredPackage {
            tag: self.tag,
            source,
            served: Served::default(),
            file_name: file_name(id),
        })
    }
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.chars().count() > MAX_TEXT {
        return Err(format!("the {what} has 1 to {MAX_TEXT} characters"));
    }
    Ok(())
}

fn check_size(size: usize) -> Result<(), String> {
    if !(1..=MAX_PACKAGE_BYTES).contains(&size) {
        return Err(format!("a package has 1 to {MAX_PACKAGE_BYTES} bytes"));
    }
    Ok(())
}

impl From<Content> for Package {
    fn from(content: Content) -> Package {
        Package { content, tag: None }
    }
}

/// A package as it is kept.
pub struct StoredPackage {
    pub tag: Option<String>,
    pub source: Source,
    pub served: Served,
    file_name: Arc<str>,
}

/// Where a device gets it.
pub enum Source {
    /// Here.
    Local {
        /// All of it.
        bytes: Bytes,
        /// SHA-256 in lowercase hexadecimal.
        checksum: String,
    },
    /// From this URL.
    External(String),
}

impl Source {
    fn here(bytes: Bytes) -> Source {
        Source::Local {
            checksum: sha256(&bytes),
            bytes,
        }
    }
}

impl StoredPackage {
    pub(super) fn bytes(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Local { bytes, .. } => Some(bytes),
            Source::External(_) => None,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.bytes().map_or(0, Bytes::len)
    }

    pub(super) fn file_name(&self) -> Arc<str> {
        Arc::clone(&self.file_name)
    }

    pub(super) fn count(&mut self, bytes: usize) {
        self.served.requests += 1;
        self.served.bytes += u64::try_from(bytes).unwrap_or_default();
    }
}

/// A name that fits in a header, whatever the title is.
fn file_name(id: &PackageId) -> Arc<str> {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || ".-_".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = format!("{}-{}.bin", id.title, id.version)
        .chars()
        .map(plain)
        .collect();
    name.into()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn generate(size: usize, seed: u64) -> Bytes {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).take(size).collect();
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_bytes_are_splitmix64s() {
        // Its first two outputs from 1234567, as its authors' implementation gives them.
        let expected = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973];
        let bytes: Vec<u8> = expected.into_iter().flat_map(u64::to_le_bytes).collect();
        assert_eq!(generate(16, 1_234_567), bytes);
        assert_eq!(generate(11, 1_234_567), bytes[..11]);
    }

    #[test]
    fn a_checksum_is_sha256_in_hexadecimal() {
        // FIPS 180-4's example.
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_file_name_fits_in_a_header() {
        let id = PackageId::new(super::super::PackageKind::Firmware, "mé \"ter\r\n", "1/0");
        assert_eq!(&*file_name(&id), "m___ter__-1_0.bin");
    }
}
