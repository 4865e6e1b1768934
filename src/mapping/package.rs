//! A device's GET for a package into an offset and a length, and what is there into a block of Block2.
//!
//! The answer depends on the request and the package alone (RFC 7959 §2.4): NUM times the size is a place in the
//! package. So a download has no state here that could be lost: not when the device pauses for a day, not when it
//! comes back through another session, not when the gateway restarts.

use super::translate::{RETRY_AFTER, accepts, query};
use crate::ota::{Block as Piece, Cut, Refusal, Wanted};
use crate::upstream::Package;
use coap::block::{Block, largest_szx};
use coap::body::ETag;
use coap::option::content_format::OCTET_STREAM;
use coap::{Code, Request, Response};
use std::sync::Arc;

/// What a device has asked for, as far as its answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download {
    /// Where the block begins, and how large it is at most. M is not known yet.
    block: Block,
    /// Whether the device has sent Block2 itself: then its answer has one too, though it is complete.
    in_blocks: bool,
    /// Whether it wants to know the length of the package (RFC 7959 §4).
    size_wanted: bool,
}

impl Download {
    /// Reads a GET. Blocks are as large as the device wishes, or as one message of `max_message` bytes takes.
    pub fn read(
        request: &Request,
        package: Package,
        max_message: usize,
    ) -> Result<(Download, Wanted), Response> {
        accepts(request, OCTET_STREAM)?;
        let bad = |why| Response::error(Code::BAD_REQUEST, why);
        let largest = largest_szx(max_message);
        let szx = request
            .block2
            .map_or(largest, |block| block.szx().min(largest));
        let offset = request.block2.map_or(0, Block::offset);
        // What the device calls block 3 of 1024 bytes may be block 24 of 128 here.
        let block = Block::at(offset, false, szx).ok_or_else(|| {
            bad("the block's number has more than 20 bits in the size that fits a message")
        })?;
        let text = |name| {
            query(request, name)
                .filter(|text| !text.is_empty())
                .map(Arc::from)
        };
        let wanted = Wanted {
            package,
            title: text("title"),
            version: text("version"),
            cut: cut(request)?,
            offset: u64::try_from(offset).unwrap_or(u64::MAX),
            length: block.size(),
        };
        let download = Download {
            block,
            in_blocks: request.block2.is_some(),
            size_wanted: request.size2_wanted,
        };
        Ok((download, wanted))
    }

    /// The response with a piece of the package, or without.
    pub fn response(self, piece: Result<Piece, Refusal>) -> Response {
        let piece = match piece {
            Ok(piece) => piece,
            Err(refusal) => return refused(refusal),
        };
        let block = Block::new(self.block.num(), piece.more, self.block.szx());
        Response {
            etag: ETag::new(&piece.etag),
            block2: block.filter(|_| self.in_blocks || piece.more || self.block.num() > 0),
            size2: piece
                .size
                .filter(|_| self.size_wanted)
                .and_then(|size| u32::try_from(size).ok()),
            ..Response::content(OCTET_STREAM, piece.payload)
        }
    }
}

/// ThingsBoard's `size` and `chunk`, both of which default to 0; a size of 0 is the whole package there.
fn cut(request: &Request) -> Result<Option<Cut>, Response> {
    let number = |name| match query(request, name) {
        None | Some("") => Ok(0),
        // Java's int, as ThingsBoard reads it, and not below zero.
        Some(text) => text
            .parse::<i32>()
            .ok()
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| {
                let why = format!("{name} is not a number from 0 to 2147483647");
                Response::error(Code::BAD_REQUEST, why)
            }),
    };
    let (size, chunk) = (number("size")?, number("chunk")?);
    Ok((size > 0).then_some(Cut { size, chunk }))
}

/// One exhaustive match: a new kind of refusal must be given its code here.
fn refused(refusal: Refusal) -> Response {
    let (code, why) = match refusal {
        Refusal::NotAssigned => (
            Code::NOT_FOUND,
            "no such package is assigned to this device in ThingsBoard, or only an external URL",
        ),
        Refusal::OtherPackage => (
            Code::BAD_REQUEST,
            "another title or version is assigned to this device in ThingsBoard",
        ),
        Refusal::PastTheEnd => (Code::BAD_REQUEST, "the package ends before this block"),
        Refusal::Unauthorized => (
            Code::UNAUTHORIZED,
            "ThingsBoard does not know the access token registered for this device",
        ),
        Refusal::Forbidden => (Code::FORBIDDEN, "ThingsBoard forbids it to this device"),
        Refusal::Nonsense => (Code::BAD_GATEWAY, "ThingsBoard's reply makes no sense"),
        Refusal::Unavailable => {
            let why = "the package can't be fetched from ThingsBoard now";
            return Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(RETRY_AFTER);
        }
    };
    Response::error(code, why)
}

#[cfg(test)]
mod tests;
