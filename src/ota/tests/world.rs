//! The package cache, devices that read, and a ThingsBoard of a few lines, under a test clock.

use crate::device::{AccessToken, Device};
use crate::ota::Settings;
use crate::ota::{
    CallId, Cut, PackageBlock, PackageCache, PackageEffect, PackageError, ReadRequest, RequestId,
};
use crate::upstream::{Answer, Error, Operation, Package, Rejection};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * KIB;

/// A package in ThingsBoard, and what attributes name of it.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) title: &'static str,
    pub(super) version: &'static str,
    pub(super) bytes: Bytes,
    /// Algorithm and value.
    pub(super) checksum: Option<(&'static str, String)>,
    pub(super) names_size: bool,
}

pub(super) fn content(title: &'static str, version: &'static str, bytes: Vec<u8>) -> Image {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02X}"));
    Image {
        title,
        version,
        bytes: bytes.into(),
        checksum: Some(("SHA256", digits.collect())),
        names_size: true,
    }
}

/// Random bytes.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

pub(super) struct QueuedCall {
    pub(super) call: CallId,
    pub(super) device: Arc<Device>,
    pub(super) operation: Operation,
}

pub(super) struct World {
    pub(super) packages: PackageCache,
    pub(super) now: Instant,
    /// The firmware assigned to each device, by its name.
    pub(super) assigned: BTreeMap<Arc<str>, Image>,
    /// What the attributes of a device name, if that is not what is assigned.
    pub(super) attributes: BTreeMap<Arc<str>, Option<Image>>,
    /// The error that ThingsBoard answers everything with.
    pub(super) error: Option<Error>,
    /// The group of all devices.
    pub(super) group: Option<Arc<str>>,
    pub(super) calls: VecDeque<QueuedCall>,
    /// Answers that ThingsBoard has sent and that have not arrived.
    pub(super) late: Vec<(CallId, Result<Answer, Error>)>,
    pub(super) answers: HashMap<RequestId, Result<PackageBlock, PackageError>>,
    /// Bytes of packages that ThingsBoard has sent.
    pub(super) fetched: usize,
    /// Calls answered: reads of attributes, probes of 64 bytes, chunks.
    pub(super) attribute_reads: usize,
    pub(super) probes: usize,
    pub(super) chunks: Vec<u64>,
    pub(super) ota: Settings,
    last_waiter: u64,
}

pub(super) fn rejected(code: u16) -> Error {
    Error::Rejected(Rejection::new(code, false))
}

impl World {
    pub(super) fn new(chunk: usize, cache: usize) -> World {
        let ota = Settings {
            chunk,
            cache,
            ..Settings::default()
        };
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        World {
            packages: PackageCache::new(ota, 7),
            now,
            assigned: BTreeMap::new(),
            attributes: BTreeMap::new(),
            error: None,
            group: None,
            calls: VecDeque::new(),
            late: Vec::new(),
            answers: HashMap::new(),
            fetched: 0,
            attribute_reads: 0,
            probes: 0,
            chunks: Vec::new(),
            ota,
            last_waiter: 0,
        }
    }

    /// A device that this package is assigned to.
    pub(super) fn device(&mut self, name: &str, content: &Image) -> Arc<Device> {
        self.assigned.insert(name.into(), content.clone());
        device(name, name)
    }

    pub(super) fn after(&mut self, duration: Duration) {
        self.now += duration;
        self.packages.handle_timeout(self.now);
        self.collect();
    }

    /// Sets the counts of calls to zero.
    pub(super) fn reset_counts(&mut self) {
        (self.fetched, self.attribute_reads, self.probes) = (0, 0, 0);
        self.chunks.clear();
    }

    pub(super) fn read(&mut self, device: &Arc<Device>, wanted: ReadRequest) -> RequestId {
        self.last_waiter += 1;
        let id = RequestId(self.last_waiter);
        let group = self.group.as_ref();
        self.packages.read(self.now, device, group, wanted, id);
        self.collect();
        id
    }

    /// Takes the effects, and asserts the bounds.
    pub(super) fn collect(&mut self) {
        while let Some(effect) = self.packages.poll_effect() {
            match effect {
                PackageEffect::Call {
                    call,
                    device,
                    operation,
                } => self.calls.push_back(QueuedCall {
                    call,
                    device,
                    operation,
                }),
                PackageEffect::Answer(request, answer) => {
                    let before = self.answers.insert(request, answer);
                    assert!(before.is_none(), "{request:?} is answered twice");
                }
            }
        }
        assert!(self.packages.cached_bytes() <= self.ota.cache);
        assert!(self.packages.calls_in_flight() <= Settings::CONNECTIONS);
    }

    /// ThingsBoard answers one of the calls, and the answer arrives.
    pub(super) fn answer(&mut self, at: usize) {
        self.answer_late(at);
        self.deliver(self.late.len() - 1);
    }

    /// ThingsBoard answers one of the calls, and the answer does not arrive yet.
    pub(super) fn answer_late(&mut self, at: usize) {
        let call = self.calls.remove(at).unwrap();
        let outcome = self.outcome(&call.device.name, &call.operation);
        self.late.push((call.call, outcome));
    }

    /// One of the late answers arrives.
    pub(super) fn deliver(&mut self, at: usize) {
        let (call, outcome) = self.late.swap_remove(at);
        self.packages.completed(self.now, call, outcome);
        self.collect();
    }

    /// Answers calls until there are none.
    pub(super) fn settle(&mut self) {
        while !self.late.is_empty() {
            self.deliver(0);
        }
        let mut turns = 0;
        loop {
            let due = self.packages.next_timeout();
            if due.is_some_and(|at| at <= self.now) {
                self.packages.handle_timeout(self.now);
                self.collect();
            } else if self.calls.is_empty() {
                break;
            } else {
                self.answer(0);
            }
            turns += 1;
            assert!(turns < 1_000_000, "the calls do not end");
        }
    }

    pub(super) fn outcome(&mut self, device: &str, operation: &Operation) -> Result<Answer, Error> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let body = match operation {
            Operation::ReadAssignment(Package::Firmware) => {
                self.attribute_reads += 1;
                let lagging = self.attributes.get(device).cloned();
                let named = lagging.unwrap_or_else(|| self.assigned.get(device).cloned());
                named.map_or(Bytes::from_static(b"{}"), |content| attributes(&content))
            }
            Operation::GetPackage {
                package: Package::Firmware,
                title,
                version,
                size,
                chunk,
            } => {
                let Some(content) = self.assigned.get(device) else {
                    return Err(rejected(404));
                };
                if (&**title, &**version) != (content.title, content.version) {
                    return Err(rejected(400));
                }
                let size = usize::try_from(*size).unwrap();
                let length = content.bytes.len();
                let start = usize::try_from(*chunk)
                    .unwrap()
                    .saturating_mul(size)
                    .min(length);
                let body = content.bytes.slice(start..(start + size).min(length));
                self.fetched += body.len();
                if size == self.ota.chunk {
                    self.chunks.push(*chunk);
                } else {
                    assert!(size <= 64, "{size}");
                    self.probes += 1;
                }
                body
            }
            other => panic!("{other:?}"),
        };
        Ok(Answer { body })
    }

    pub(super) fn block(
        &mut self,
        device: &Arc<Device>,
        wanted: ReadRequest,
    ) -> Result<PackageBlock, PackageError> {
        let id = self.read(device, wanted);
        self.settle();
        self.answers.remove(&id).expect("an answer")
    }

    /// Reads a package as a device does, from the first block to the last, and begins again when the ETag changes.
    pub(super) fn download(&mut self, device: &Arc<Device>, wanted: &ReadRequest) -> Bytes {
        let mut whole: Vec<u8> = Vec::new();
        let mut etag = None;
        let mut restarts = 0;
        loop {
            let offset = u64::try_from(whole.len()).unwrap();
            let next = ReadRequest {
                offset,
                ..wanted.clone()
            };
            let block = self.block(device, next).unwrap();
            if *etag.get_or_insert(block.etag) != block.etag {
                restarts += 1;
                assert!(restarts < 20, "its ETag changes each time");
                whole.clear();
                etag = None;
                continue;
            }
            whole.extend_from_slice(&block.payload);
            if !block.more {
                return whole.into();
            }
        }
    }
}

pub(super) fn device(name: &str, token: &str) -> Arc<Device> {
    Arc::new(Device {
        name: name.into(),
        token: AccessToken::new(token).unwrap(),
    })
}

pub(super) fn attributes(content: &Image) -> Bytes {
    let mut shared = serde_json::json!({"fw_title": content.title, "fw_version": content.version});
    if content.names_size {
        shared["fw_size"] = content.bytes.len().into();
    }
    if let Some((algorithm, value)) = &content.checksum {
        shared["fw_checksum"] = value.as_str().into();
        shared["fw_checksum_algorithm"] = (*algorithm).into();
    }
    serde_json::json!({ "shared": shared }).to_string().into()
}

/// A block of 1024 bytes of the package that is assigned.
pub(super) fn unnamed(offset: usize) -> ReadRequest {
    ReadRequest {
        package: Package::Firmware,
        title: None,
        version: None,
        cut: None,
        offset: u64::try_from(offset).unwrap(),
        length: KIB,
    }
}

/// The same of a package named by the request.
pub(super) fn named(title: &str, version: &str, offset: usize) -> ReadRequest {
    ReadRequest {
        title: Some(title.into()),
        version: Some(version.into()),
        ..unnamed(offset)
    }
}

/// The same of a part of the package.
pub(super) fn cut(size: u64, chunk: u64, offset: usize) -> ReadRequest {
    ReadRequest {
        cut: Some(Cut { size, chunk }),
        ..unnamed(offset)
    }
}
