//! A device's GET for a package into an offset and a length, and the bytes there into a block of Block2.
//!
//! The response depends only on the request and the package (RFC 7959 §2.4): NUM times the block size is an offset in the
//! package. So a download has no state here that could be lost, whether the device pauses for a day, continues in another
//! session, or the gateway restarts.

use super::query;
use super::representation::Representation;
use super::response::RETRY_AFTER;
use crate::ota::{self, Cut, PackageError, ReadRequest};
use crate::upstream::Package;
use coap::{Block, ETag, largest_szx};
use coap::{Code, Request, Response};
use std::sync::Arc;

/// The parts of a request that its response depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download {
    /// NUM and SZX of the response. M is not known yet.
    block: Block,
    /// Whether the request has Block2: then the response has it too, even if it is complete.
    in_blocks: bool,
    /// Whether the request has Size2: 0, and the response gets the length of the package (RFC 7959 §4).
    size_wanted: bool,
}

impl Download {
    /// Reads a GET. Blocks have the size that the device requests, or the largest that fits a message of `max_message` bytes.
    pub fn read(
        request: &Request,
        package: Package,
        max_message: usize,
    ) -> Result<(Download, ReadRequest), Response> {
        Representation::Bytes.check_accept(request)?;
        let bad = |why| Response::error(Code::BAD_REQUEST, why);
        let largest = largest_szx(max_message);
        let szx = request
            .block2
            .map_or(largest, |block| block.szx().min(largest));
        let offset = request.block2.map_or(0, Block::offset);
        // Block 3 of 1024 bytes, as the device counts, may be block 24 of 128 here.
        let block = Block::at(offset, false, szx).ok_or_else(|| {
            bad("the block's number has more than 20 bits in the size that fits a message")
        })?;
        let text = |name| {
            query::parameter(request, name)
                .filter(|text| !text.is_empty())
                .map(Arc::from)
        };
        let wanted = ReadRequest {
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

    /// The response with these bytes of the package, or the error.
    pub fn response(self, read: Result<ota::PackageBlock, PackageError>) -> Response {
        let read = match read {
            Ok(read) => read,
            Err(refusal) => return refused(refusal),
        };
        let block = Block::new(self.block.num(), read.more, self.block.szx());
        Response {
            etag: ETag::new(&read.etag),
            block2: block.filter(|_| self.in_blocks || read.more || self.block.num() > 0),
            size2: read
                .size
                .filter(|_| self.size_wanted)
                .and_then(|size| u32::try_from(size).ok()),
            ..Representation::Bytes.content(read.payload)
        }
    }
}

/// ThingsBoard's parameters `size` and `chunk`. Both default to 0; a size of 0 means the whole package.
fn cut(request: &Request) -> Result<Option<Cut>, Response> {
    let number = |name| match query::parameter(request, name) {
        None | Some("") => Ok(0),
        // ThingsBoard reads a Java int. It may not be negative.
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

fn refused(refusal: PackageError) -> Response {
    let (code, why) = match refusal {
        PackageError::NotAssigned => (
            Code::NOT_FOUND,
            "no such package is assigned to this device in ThingsBoard, or only an external URL",
        ),
        PackageError::OtherPackage => (
            Code::BAD_REQUEST,
            "another title or version is assigned to this device in ThingsBoard",
        ),
        PackageError::PastTheEnd => (Code::BAD_REQUEST, "the package ends before this block"),
        PackageError::Unauthorized => (
            Code::UNAUTHORIZED,
            "ThingsBoard does not know the access token registered for this device",
        ),
        PackageError::Forbidden => (Code::FORBIDDEN, "ThingsBoard forbids it to this device"),
        PackageError::MalformedAnswer => (
            Code::BAD_GATEWAY,
            "ThingsBoard's reply could not be understood",
        ),
        PackageError::Unavailable => {
            let why = "the package can't be fetched from ThingsBoard now";
            return Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(RETRY_AFTER);
        }
    };
    Response::error(code, why)
}

#[cfg(test)]
mod tests;
