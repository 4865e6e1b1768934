//! A path as bytes, to judge its clients after a restart as before.
//!
//! ```text
//!  form (1) ‖ SHA-256 of what follows (32)
//!  ‖ number of intermediates (1) ‖ each: whether it was sent (1) ‖ length (3) ‖ certificate
//!  ‖ the anchor: length (3) ‖ name ‖ length (3) ‖ key ‖ whether it constrains names (1) ‖ length (3) ‖ constraints
//!  ‖ length (3) ‖ the certificate of a client, to search another path by
//! ```
//!
//! No signature is verified again: they are as trustworthy as the place where they were stored. The digest is for bytes that
//! were damaged there.

use super::{AuthorityPath, FoundIntermediate, FoundPath, Leaf, Path, PathName, name};
use crate::credentials::policies;
use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::{Der, TrustAnchor};
use std::sync::{Arc, Mutex};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// The form that is written, and the only one that is read.
const FORM: u8 = 1;
/// Bytes of an encoded path. A client sends 16 KiB at most, and the operator's file has the rest.
pub(super) const MAX_ENCODED: usize = 64 * 1024;

impl AuthorityPath {
    /// Encodes it. `None`: it has more than [`MAX_ENCODED`] bytes.
    pub(in crate::credentials) fn encode(&self) -> Option<Vec<u8>> {
        let path = &self.verified;
        let mut body = vec![u8::try_from(path.intermediates.len()).ok()?];
        for intermediate in &path.intermediates {
            body.push(u8::from(intermediate.is_sent));
            put(&mut body, &intermediate.der)?;
        }
        put(&mut body, &path.anchor.subject)?;
        put(&mut body, &path.anchor.subject_public_key_info)?;
        let constraints = path.anchor.name_constraints.as_deref();
        body.push(u8::from(constraints.is_some()));
        put(&mut body, constraints.unwrap_or_default())?;
        put(&mut body, &self.leaf().der)?;
        let encoded = [&[FORM], digest(&SHA256, &body).as_ref(), &body].concat();
        (encoded.len() <= MAX_ENCODED).then_some(encoded)
    }

    /// Decodes it. `None`: it is malformed.
    pub(super) fn decode(encoded: &[u8]) -> Option<AuthorityPath> {
        if encoded.len() > MAX_ENCODED {
            return None;
        }
        let (&[FORM], rest) = encoded.split_first_chunk()? else {
            return None;
        };
        let (checksum, mut body) = rest.split_first_chunk::<32>()?;
        if digest(&SHA256, body).as_ref() != checksum {
            return None;
        }
        let rest = &mut body;
        let [count] = *take_array(rest)?;
        let intermediates = (0..count).map(|_| {
            Some(FoundIntermediate {
                is_sent: take_flag(rest)?,
                der: take(rest)?.to_vec(),
            })
        });
        let intermediates = intermediates.collect::<Option<Vec<_>>>()?;
        let subject = Der::from(take(rest)?.to_vec());
        let subject_public_key_info = Der::from(take(rest)?.to_vec());
        let has_constraints = take_flag(rest)?;
        let constraints = take(rest)?;
        if !has_constraints && !constraints.is_empty() {
            return None;
        }
        let found = FoundPath {
            intermediates,
            anchor: TrustAnchor {
                subject,
                subject_public_key_info,
                name_constraints: has_constraints.then(|| Der::from(constraints.to_vec())),
            },
        };
        let leaf = take(rest)?;
        if !rest.is_empty() {
            return None;
        }
        let Ok(([], parsed)) = X509Certificate::from_der(leaf) else {
            return None;
        };
        let name: PathName = name(&found, &policies::extensions_of(&parsed));
        Some(AuthorityPath {
            name,
            verified: Arc::new(Path::read(found).ok()?),
            leaf: Mutex::new(Leaf::of(leaf, &parsed)),
            judged: Mutex::new(None),
        })
    }
}

/// Writes a length of three bytes and the bytes.
fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let [0, length @ ..] = u32::try_from(bytes.len()).ok()?.to_be_bytes() else {
        return None;
    };
    out.extend(length);
    out.extend(bytes);
    Some(())
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let &[a, b, c] = take_array(rest)?;
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let (taken, others) = rest.split_at_checked(length)?;
    *rest = others;
    Some(taken)
}

fn take_flag(rest: &mut &[u8]) -> Option<bool> {
    match take_array(rest)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

fn take_array<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(taken)
}
