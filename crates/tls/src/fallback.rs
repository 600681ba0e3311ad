//! A session whose record layer is rustls's: TLS 1.2, or TLS 1.3 by choice. It cannot be parked.

use rustls::ProtocolVersion;
use rustls::unbuffered::EncryptError;
use zeroize::Zeroizing;

use crate::driver::{Driver, Output};
use crate::fault::Fault;
use crate::frame::Header;
use crate::limits::{HEADER_BYTES, MESSAGE_BYTES_MAX, PLAINTEXT_BYTES_MAX, SEALED_EXTRA_BYTES_MAX};
use crate::{Opened, Role, Sealed, Version};

/// A rustls connection after its handshake, and what it has to send.
pub(crate) struct Fallback {
    driver: Driver,
    /// Records that rustls has made by itself.
    owed: Vec<u8>,
    /// What a record held; it goes back into the caller's input.
    output: Output,
    closed: bool,
    fault: Option<Fault>,
}

impl Fallback {
    pub(crate) fn new(driver: Driver) -> Self {
        Self { driver, owed: Vec::new(), output: Output::default(), closed: false, fault: None }
    }

    pub(crate) fn open(&mut self, input: &mut [u8]) -> Result<Opened, Fault> {
        if self.fault.is_some() {
            return Err(Fault::Ended);
        }
        if self.output.peer_closed {
            return Ok(Opened::Closed { consumed: input.len() });
        }
        self.open_record(input).inspect_err(|&fault| {
            self.fault = Some(fault);
            self.closed = true;
        })
    }

    fn open_record(&mut self, input: &mut [u8]) -> Result<Opened, Fault> {
        let Some(header) = Header::read(input) else {
            return Ok(Opened::More { wanted: HEADER_BYTES });
        };
        let consumed = header.record_bytes();
        if !header.is_plausible() {
            // rustls refuses it by its header, and says so to the peer.
            self.feed(input.get_mut(..HEADER_BYTES).unwrap_or_default())?;
            return Err(Fault::RecordOverflow);
        }
        let Some(record) = input.get_mut(..consumed) else {
            return Ok(Opened::More { wanted: consumed });
        };
        self.feed(record)?;
        if self.driver.held_bytes() > MESSAGE_BYTES_MAX || self.owed.len() > OWED_BYTES_MAX {
            return Err(Fault::TooManyMessages);
        }
        // It falls with its memory: between requests such a session holds no buffer.
        let data = Zeroizing::new(std::mem::take(&mut self.output.data));
        if !data.is_empty() {
            let range = 0..data.len();
            input.get_mut(range.clone()).ok_or(Fault::Internal)?.copy_from_slice(&data);
            return Ok(Opened::Data { data: range, consumed });
        }
        if self.output.peer_closed {
            return Ok(Opened::Closed { consumed });
        }
        Ok(Opened::Quiet { consumed })
    }

    fn feed(&mut self, record: &mut [u8]) -> Result<(), Fault> {
        let Self { driver, owed, output, .. } = self;
        driver.feed(record, owed, output).map_err(|error| {
            driver.last_words(owed);
            Fault::from_rustls(&error)
        })
    }

    pub(crate) fn seal(&mut self, parts: &[&[u8]], output: &mut [u8]) -> Result<Sealed, Fault> {
        if self.closed {
            return Err(Fault::Ended);
        }
        let mut sealed = Sealed { taken: 0, written: self.control(output) };
        let mut gathered = Zeroizing::new(Vec::new());
        while self.owed.is_empty() {
            let rest = output.get_mut(sealed.written..).unwrap_or_default();
            let room = rest.len().saturating_sub(SEALED_EXTRA_BYTES_MAX).min(PLAINTEXT_BYTES_MAX);
            gather(parts, sealed.taken, room, &mut gathered);
            if gathered.is_empty() {
                break;
            }
            match self.encrypt(&gathered, rest)? {
                Some(written) => sealed.written += written,
                None => break,
            }
            sealed.taken += gathered.len();
        }
        Ok(sealed)
    }

    /// Encrypts what is gathered; none if it does not fit behind what rustls had queued.
    fn encrypt(&mut self, plain: &[u8], output: &mut [u8]) -> Result<Option<usize>, Fault> {
        let Self { driver, owed, .. } = self;
        let result = driver
            .write(owed, |connection| connection.encrypt(plain, output))
            .map_err(|error| Fault::from_rustls(&error))?;
        match result {
            Some(Ok(written)) => Ok(Some(written)),
            Some(Err(EncryptError::InsufficientSize(_))) => Ok(None),
            Some(Err(EncryptError::EncryptExhausted)) => Err(Fault::Exhausted),
            None => Err(Fault::Ended),
        }
    }

    pub(crate) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    pub(crate) fn control(&mut self, output: &mut [u8]) -> usize {
        let count = self.owed.len().min(output.len());
        if let (Some(to), Some(from)) = (output.get_mut(..count), self.owed.get(..count)) {
            to.copy_from_slice(from);
        }
        self.owed.drain(..count);
        count
    }

    pub(crate) fn close_notify(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        let Self { driver, owed, .. } = self;
        let mut record = [0; SEALED_EXTRA_BYTES_MAX];
        let written = driver.write(owed, |connection| connection.close_notify(&mut record));
        if let Ok(Some(Ok(written))) = written {
            owed.extend_from_slice(record.get(..written).unwrap_or_default());
        }
    }

    pub(crate) fn role(&self) -> Role {
        if self.driver.is_client() { Role::Client } else { Role::Server }
    }

    pub(crate) fn version(&self) -> Version {
        match self.driver.common().protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
            _ => Version::Tls13,
        }
    }

    pub(crate) fn suite(&self) -> u16 {
        self.driver.common().negotiated_cipher_suite().map_or(0, |suite| u16::from(suite.suite()))
    }

    pub(crate) fn is_peer_closed(&self) -> bool {
        self.output.peer_closed
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// Takes up to `room` bytes from behind the first `taken` ones.
fn gather(parts: &[&[u8]], taken: usize, room: usize, gathered: &mut Vec<u8>) {
    gathered.clear();
    let mut skip = taken;
    for part in parts {
        let rest = part.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(part.len());
        let count = rest.len().min(room - gathered.len());
        gathered.extend_from_slice(rest.get(..count).unwrap_or_default());
    }
}

/// Bytes that rustls may want to send by itself before they are fetched.
const OWED_BYTES_MAX: usize = 4096;
