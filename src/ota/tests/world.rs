//! Packages, the devices that read them, and a ThingsBoard of a few lines, under a clock of the test's own.

use crate::device::{AccessToken, Device};
use crate::ota::Settings;
use crate::ota::{Block, CallId, Cut, Effect, Packages, Refusal, WaiterId, Wanted};
use crate::upstream::{Answer, Error, Operation, Package, Status};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * KIB;

/// A package as ThingsBoard has it, and what it tells of it in attributes.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) title: &'static str,
    pub(super) version: &'static str,
    pub(super) bytes: Bytes,
    /// Algorithm and value; none is told without.
    pub(super) checksum: Option<(&'static str, String)>,
    pub(super) tells_size: bool,
}

pub(super) fn content(title: &'static str, version: &'static str, bytes: Vec<u8>) -> Content {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02X}"));
    Content {
        title,
        version,
        bytes: bytes.into(),
        checksum: Some(("SHA256", digits.collect())),
        tells_size: true,
    }
}

/// Bytes that look like nothing else.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

pub(super) struct Asked {
    pub(super) call: CallId,
    pub(super) device: Arc<Device>,
    pub(super) operation: Operation,
}

pub(super) struct World {
    pub(super) packages: Packages,
    pub(super) now: Instant,
    /// By device name. All are firmware.
    pub(super) assigned: BTreeMap<Arc<str>, Content>,
    /// What attributes say, where that lags behind.
    pub(super) attributes: BTreeMap<Arc<str>, Option<Content>>,
    /// What ThingsBoard answers instead.
    pub(super) trouble: Option<Error>,
    /// With whom all devices share what is not proven.
    pub(super) group: Option<Arc<str>>,
    pub(super) asked: VecDeque<Asked>,
    /// Answers on their way.
    pub(super) late: Vec<(CallId, Result<Answer, Error>)>,
    pub(super) answers: HashMap<WaiterId, Result<Block, Refusal>>,
    /// Bytes of packages that crossed the uplink.
    pub(super) fetched: usize,
    /// Requests answered: attributes, pieces of 64 bytes, chunks.
    pub(super) attribute_reads: usize,
    pub(super) probes: usize,
    pub(super) chunks: Vec<u64>,
    pub(super) ota: Settings,
    last_waiter: u64,
}

pub(super) fn rejected(code: u16) -> Error {
    Error::Rejected(Status {
        code,
        has_text: false,
    })
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
            packages: Packages::new(ota, 7),
            now,
            assigned: BTreeMap::new(),
            attributes: BTreeMap::new(),
            trouble: None,
            group: None,
            asked: VecDeque::new(),
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

    /// A device that has this package.
    pub(super) fn device(&mut self, name: &str, content: &Content) -> Arc<Device> {
        self.assigned.insert(name.into(), content.clone());
        device(name, name)
    }

    pub(super) fn after(&mut self, duration: Duration) {
        self.now += duration;
        self.packages.handle_timeout(self.now);
        self.collect();
    }

    /// Forgets what was counted, but not what is known.
    pub(super) fn count_anew(&mut self) {
        (self.fetched, self.attribute_reads, self.probes) = (0, 0, 0);
        self.chunks.clear();
    }

    pub(super) fn read(&mut self, device: &Arc<Device>, wanted: Wanted) -> WaiterId {
        self.last_waiter += 1;
        let id = WaiterId(self.last_waiter);
        let group = self.group.as_ref();
        self.packages.read(self.now, device, group, wanted, id);
        self.collect();
        id
    }

    /// Takes what the packages want done, and holds them to their bounds.
    pub(super) fn collect(&mut self) {
        while let Some(effect) = self.packages.poll_effect() {
            match effect {
                Effect::Ask {
                    call,
                    device,
                    operation,
                } => self.asked.push_back(Asked {
                    call,
                    device,
                    operation,
                }),
                Effect::Answer(waiter, answer) => {
                    let before = self.answers.insert(waiter, answer);
                    assert!(before.is_none(), "{waiter:?} is answered twice");
                }
            }
        }
        assert!(self.packages.cached_bytes() <= self.ota.cache);
        assert!(self.packages.under_way() <= Settings::CONNECTIONS);
    }

    /// ThingsBoard answers one of the requests, as things are now.
    pub(super) fn answer(&mut self, at: usize) {
        self.answer_late(at);
        self.deliver(self.late.len() - 1);
    }

    /// ThingsBoard answers one of the requests, as things are now, and the answer is long on its way.
    pub(super) fn answer_late(&mut self, at: usize) {
        let asked = self.asked.remove(at).unwrap();
        let outcome = self.outcome(&asked.device.name, &asked.operation);
        self.late.push((asked.call, outcome));
    }

    /// One of these answers is there.
    pub(super) fn deliver(&mut self, at: usize) {
        let (call, outcome) = self.late.swap_remove(at);
        self.packages.completed(self.now, call, outcome);
        self.collect();
    }

    /// ThingsBoard answers until nothing is asked any more.
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
            } else if self.asked.is_empty() {
                break;
            } else {
                self.answer(0);
            }
            turns += 1;
            assert!(turns < 1_000_000, "this does not come to an end");
        }
    }

    pub(super) fn outcome(&mut self, device: &str, operation: &Operation) -> Result<Answer, Error> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone());
        }
        let body = match operation {
            Operation::ReadAssignment(Package::Firmware) => {
                self.attribute_reads += 1;
                let lagging = self.attributes.get(device).cloned();
                let told = lagging.unwrap_or_else(|| self.assigned.get(device).cloned());
                told.map_or(Bytes::from_static(b"{}"), |told| attributes(&told))
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

    /// Reads one block to its end.
    pub(super) fn block(&mut self, device: &Arc<Device>, wanted: Wanted) -> Result<Block, Refusal> {
        let id = self.read(device, wanted);
        self.settle();
        self.answers.remove(&id).expect("an answer")
    }

    /// Reads a package as a device does, from its first block to its last, and begins again when the ETag is
    /// another.
    pub(super) fn download(&mut self, device: &Arc<Device>, wanted: &Wanted) -> Bytes {
        let mut whole: Vec<u8> = Vec::new();
        let mut etag = None;
        let mut anew = 0;
        loop {
            let offset = u64::try_from(whole.len()).unwrap();
            let next = Wanted {
                offset,
                ..wanted.clone()
            };
            let block = self.block(device, next).unwrap();
            if *etag.get_or_insert(block.etag) != block.etag {
                anew += 1;
                assert!(anew < 20, "its ETag is another each time");
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

pub(super) fn attributes(content: &Content) -> Bytes {
    let mut shared = serde_json::json!({"fw_title": content.title, "fw_version": content.version});
    if content.tells_size {
        shared["fw_size"] = content.bytes.len().into();
    }
    if let Some((algorithm, value)) = &content.checksum {
        shared["fw_checksum"] = value.as_str().into();
        shared["fw_checksum_algorithm"] = (*algorithm).into();
    }
    serde_json::json!({ "shared": shared }).to_string().into()
}

/// A block of 1024 bytes of the package that is assigned.
pub(super) fn unnamed(offset: usize) -> Wanted {
    Wanted {
        package: Package::Firmware,
        title: None,
        version: None,
        cut: None,
        offset: u64::try_from(offset).unwrap(),
        length: KIB,
    }
}

/// The same of a package by its name.
pub(super) fn named(title: &str, version: &str, offset: usize) -> Wanted {
    Wanted {
        title: Some(title.into()),
        version: Some(version.into()),
        ..unnamed(offset)
    }
}

/// The same of a part that ThingsBoard cuts.
pub(super) fn cut(size: u64, chunk: u64, offset: usize) -> Wanted {
    Wanted {
        cut: Some(Cut { size, chunk }),
        ..unnamed(offset)
    }
}
