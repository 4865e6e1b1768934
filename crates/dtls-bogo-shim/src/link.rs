//! The runner's framing: datagrams and commands of its clock over a TCP connection.
//!
//! The shim opens the connection and sends its id (64 bits, little-endian). After that both sides send frames: a byte that
//! names the kind, and what belongs to it, with numbers in network byte order.

use crate::failure::Failure;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::time::Duration;

/// Both ways: 32-bit length, then a datagram.
const PACKET: u8 = b'P';
/// From the runner: 64-bit nanoseconds. To be acknowledged before so much time passes.
const ADVANCE_CLOCK: u8 = b'T';
/// To the runner: what was sent before belongs to the time before.
const CLOCK_ACKNOWLEDGED: u8 = b't';
/// From the runner: 32-bit bytes.
const MTU: u8 = b'M';
/// From the runner: 64-bit nanoseconds to the timeout that it expects, all ones for none.
const EXPECT_TIMEOUT: u8 = b'E';
/// From the runner: 32-bit milliseconds, another first timeout.
const FIRST_TIMEOUT: u8 = b'U';

/// No datagram of UDP is larger.
const LARGEST_DATAGRAM: u32 = 65_535;
/// How long the runner may take to close the connection.
const CLOSING: Duration = Duration::from_secs(5);

/// What the runner sends.
#[derive(Debug)]
pub(crate) enum Frame {
    Packet(Vec<u8>),
    AdvanceClock(Duration),
    Mtu(u32),
    ExpectTimeout(Option<Duration>),
    FirstTimeout(Duration),
}

/// A connection to the runner.
pub(crate) struct Link {
    stream: TcpStream,
}

impl Link {
    pub(crate) fn open(port: u16, ipv6: bool, shim_id: u64) -> Result<Link, Failure> {
        let address: IpAddr = match ipv6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        };
        let mut stream = TcpStream::connect((address, port))?;
        stream.set_nodelay(true)?;
        stream.write_all(&shim_id.to_le_bytes())?;
        Ok(Link { stream })
    }

    /// The next frame. `None`: the runner has closed the connection.
    pub(crate) fn read(&mut self) -> Result<Option<Frame>, Failure> {
        let [kind] = match self.bytes() {
            Ok(kind) => kind,
            // A runner that gives up on a test may reset the connection.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let frame = match kind {
            PACKET => Frame::Packet(self.datagram()?),
            ADVANCE_CLOCK => Frame::AdvanceClock(Duration::from_nanos(self.u64()?)),
            MTU => Frame::Mtu(self.u32()?),
            EXPECT_TIMEOUT => {
                let nanos = self.u64()?;
                Frame::ExpectTimeout((nanos != u64::MAX).then(|| Duration::from_nanos(nanos)))
            }
            FIRST_TIMEOUT => Frame::FirstTimeout(Duration::from_millis(self.u32()?.into())),
            other => return Err(Failure::failed(format!(":BAD_FRAME: {other}"))),
        };
        Ok(Some(frame))
    }

    pub(crate) fn send(&mut self, datagram: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(datagram.len())
            .map_err(|_| Failure::failed(":BAD_FRAME: the datagram is too long"))?;
        let mut frame = vec![PACKET];
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(datagram);
        self.stream.write_all(&frame)?;
        Ok(())
    }

    pub(crate) fn acknowledge_clock(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&[CLOCK_ACKNOWLEDGED])?;
        Ok(())
    }

    /// Closes the connection after the runner has read everything: a reset would destroy what it has not.
    pub(crate) fn close(&mut self) {
        let stream = &mut self.stream;
        if stream.shutdown(Shutdown::Write).is_err()
            || stream.set_read_timeout(Some(CLOSING)).is_err()
        {
            return;
        }
        let mut ignored = [0; 1024];
        while matches!(stream.read(&mut ignored), Ok(length) if length > 0) {}
    }

    fn datagram(&mut self) -> Result<Vec<u8>, Failure> {
        let length = self.u32()?;
        if length > LARGEST_DATAGRAM {
            return Err(Failure::failed(format!(":BAD_FRAME: {length} bytes")));
        }
        let mut datagram = Vec::new();
        let mut limited = (&mut self.stream).take(length.into());
        limited.read_to_end(&mut datagram)?;
        Ok(datagram)
    }

    fn u32(&mut self) -> Result<u32, Failure> {
        Ok(u32::from_be_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, Failure> {
        Ok(u64::from_be_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], std::io::Error> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
