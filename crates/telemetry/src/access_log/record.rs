//! What is logged of one exchange, and its form in the queue.
//!
//! Numbers are little-endian, parts carry a 16-bit length in front; both sides are this process, so
//! there is no version. Parts that a peer chose are bytes: nothing is assumed about them (TM-6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One exchange, as its access log line shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Wall time of the end of the exchange, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The downstream peer. Flow label and scope of an IPv6 address are not logged.
    pub peer: SocketAddr,
    /// Request method as received; cut at [`METHOD_BYTES_MAX`].
    pub method: &'a [u8],
    /// Request target as received; cut at [`TARGET_BYTES_MAX`].
    pub target: &'a [u8],
    /// Host asked for, or empty; cut at [`HOST_BYTES_MAX`].
    pub host: &'a [u8],
    /// Protocol of the request, as in `HTTP/1.1`; one of our own words.
    pub protocol: &'a str,
    /// Version of TLS, or empty if there was none.
    pub tls: &'a str,
    /// The cipher suite, or empty without TLS; cut at [`SUITE_BYTES_MAX`].
    pub suite: &'a str,
    /// Status of the response; 0 if none was sent.
    pub status: u16,
    /// Bytes received of the request, head and body.
    pub received_bytes: u64,
    /// Bytes sent of the response, head and body.
    pub sent_bytes: u64,
    /// From the first byte of the head to the last byte of the response, in microseconds.
    pub duration_us: u64,
    /// Cache outcome, an RFC 9211 word, or empty if the request never got there.
    pub cache: &'a str,
    /// Why the connection ends with this exchange, or empty if it goes on.
    pub close: &'a str,
    /// The `Referer` field, or empty; cut at [`FIELD_BYTES_MAX`].
    pub referer: &'a [u8],
    /// The `User-Agent` field, or empty; cut at [`FIELD_BYTES_MAX`].
    pub user_agent: &'a [u8],
}

/// Longest method that is logged whole.
pub const METHOD_BYTES_MAX: usize = 32;
/// Longest target that is logged whole; the default limit for targets.
pub const TARGET_BYTES_MAX: usize = 8192;
/// Longest host that is logged whole: a DNS name and a port.
pub const HOST_BYTES_MAX: usize = 261;
/// Longest `Referer` and `User-Agent` that are logged whole.
pub const FIELD_BYTES_MAX: usize = 512;
/// Longest of our own words that is logged whole: protocol, version of TLS, cache outcome, close
/// reason.
pub const WORD_BYTES_MAX: usize = 32;
/// Longest name of a cipher suite that is logged whole.
pub const SUITE_BYTES_MAX: usize = 48;
/// The longest record in a queue; a queue is never smaller.
pub const RECORD_BYTES_MAX: usize = FIXED_BYTES
    + PARTS_COUNT * LENGTH_BYTES
    + METHOD_BYTES_MAX
    + TARGET_BYTES_MAX
    + HOST_BYTES_MAX
    + 4 * WORD_BYTES_MAX
    + SUITE_BYTES_MAX
    + 2 * FIELD_BYTES_MAX;

impl<'a> Record<'a> {
    /// Replaces the content of `out`, by at most [`RECORD_BYTES_MAX`] bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        for number in [self.unix_ms, self.received_bytes, self.sent_bytes, self.duration_us] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.status.to_le_bytes());
        let (family, address) = match self.peer.ip() {
            IpAddr::V4(v4) => (FAMILY_V4, v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => (FAMILY_V6, v6),
        };
        out.push(family);
        out.extend_from_slice(&address.octets());
        out.extend_from_slice(&self.peer.port().to_le_bytes());
        put(out, self.method, METHOD_BYTES_MAX);
        put(out, self.target, TARGET_BYTES_MAX);
        put(out, self.host, HOST_BYTES_MAX);
        put(out, self.protocol.as_bytes(), WORD_BYTES_MAX);
        put(out, self.tls.as_bytes(), WORD_BYTES_MAX);
        put(out, self.suite.as_bytes(), SUITE_BYTES_MAX);
        put(out, self.cache.as_bytes(), WORD_BYTES_MAX);
        put(out, self.close.as_bytes(), WORD_BYTES_MAX);
        put(out, self.referer, FIELD_BYTES_MAX);
        put(out, self.user_agent, FIELD_BYTES_MAX);
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for anything else.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let record = Self {
            unix_ms: rest.u64()?,
            received_bytes: rest.u64()?,
            sent_bytes: rest.u64()?,
            duration_us: rest.u64()?,
            status: rest.u16()?,
            peer: rest.peer()?,
            method: rest.part()?,
            target: rest.part()?,
            host: rest.part()?,
            protocol: rest.word()?,
            tls: rest.word()?,
            suite: rest.word()?,
            cache: rest.word()?,
            close: rest.word()?,
            referer: rest.part()?,
            user_agent: rest.part()?,
        };
        rest.0.is_empty().then_some(record)
    }
}

fn put(out: &mut Vec<u8>, part: &[u8], bytes_max: usize) {
    let cut = &part[..part.len().min(bytes_max)];
    out.extend_from_slice(&(cut.len() as u16).to_le_bytes());
    out.extend_from_slice(cut);
}

/// What is left to decode.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn peer(&mut self) -> Option<SocketAddr> {
        let [family] = self.array()?;
        let address = Ipv6Addr::from(self.array::<16>()?);
        let port = self.u16()?;
        let ip = match family {
            FAMILY_V4 => IpAddr::V4(address.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED)),
            _ => IpAddr::V6(address),
        };
        Some(SocketAddr::new(ip, port))
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u16()?);
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    /// One of our own words; should one have been cut inside a character, up to that character.
    fn word(&mut self) -> Option<&'a str> {
        let part = self.part()?;
        part.utf8_chunks().next().map_or(Some(""), |chunk| Some(chunk.valid()))
    }
}

const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;
const FIXED_BYTES: usize = 4 * 8 + 2 + 1 + 16 + 2;
const PARTS_COUNT: usize = 10;
const LENGTH_BYTES: usize = 2;

const _: () = assert!(TARGET_BYTES_MAX <= u16::MAX as usize);

#[cfg(test)]
pub(super) mod tests;
