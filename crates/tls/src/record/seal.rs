//! Onto the wire: data in records of up to 16 KiB, and what the session says by itself.
//!
//! A record that lies in one slice is sealed from there straight into the output; one that spans
//! slices is gathered in the output and sealed in place. Nothing is allocated after the keys.
//! This side does not pad: what a cache sends is as long as it says, and public mostly.

use aws_lc_rs::aead::Aad;

use super::open::KEY_UPDATE;
use super::{Records, UpdateRequest};
use crate::Sealed;
use crate::fault::{Alert, Fault};
use crate::frame::{Header, content};
use crate::limits::{HEADER_BYTES, PLAINTEXT_BYTES_MAX, SEALED_EXTRA_BYTES};

impl Records {
    /// Seals as much of `parts` as `output` takes, behind what is owed.
    ///
    /// # Errors
    /// [`Fault::Ended`] after close_notify or a fault; [`Fault::Exhausted`] if the sequence
    /// numbers ran out.
    pub(crate) fn seal(&mut self, parts: &[&[u8]], output: &mut [u8]) -> Result<Sealed, Fault> {
        if self.closed {
            return Err(Fault::Ended);
        }
        // A number or a key update whose record is lost cannot be made good.
        self.seal_records(parts, output).map_err(|fault| self.fail(fault))
    }

    fn seal_records(&mut self, parts: &[&[u8]], output: &mut [u8]) -> Result<Sealed, Fault> {
        let mut writer = Writer { output, written: 0 };
        let mut source = Source { parts, at: 0 };
        let mut taken = 0;
        if self.write_owed(&mut writer)? {
            while let Some(length) = writer.next_record(source.remaining_bytes()) {
                self.update_keys_in_time();
                if !self.write_owed(&mut writer)? || writer.room() < SEALED_EXTRA_BYTES + length {
                    break;
                }
                self.seal_data(&mut source, length, &mut writer)?;
                taken += length;
            }
        }
        Ok(Sealed { taken, written: writer.written })
    }

    /// Writes what is owed, as far as `output` takes it; the bytes written.
    pub(crate) fn control(&mut self, output: &mut [u8]) -> usize {
        let mut writer = Writer { output, written: 0 };
        if let Err(fault) = self.write_owed(&mut writer) {
            // Only an exhausted or failing library comes here, and then nothing can be said.
            self.fail(fault);
            self.owed = super::Owed::default();
        }
        self.forget_if_silent();
        writer.written
    }

    /// RFC 8446, 5.5: the last record under a key is the update to the next one.
    fn update_keys_in_time(&mut self) {
        if self.tx.sequence + 1 >= self.suite.records_max() && self.owed.key_update.is_none() {
            self.owed.key_update = Some(UpdateRequest::NotRequested);
        }
    }

    /// Whether everything that was owed has been written.
    fn write_owed(&mut self, writer: &mut Writer<'_>) -> Result<bool, Fault> {
        if let Some(request) = self.owed.key_update {
            let message = [KEY_UPDATE, 0, 0, 1, request as u8];
            if !self.write_message(&message, content::HANDSHAKE, writer)? {
                return Ok(false);
            }
            self.owed.key_update = None;
            self.tx.update(self.suite)?;
        }
        if let Some(alert) = self.owed.alert {
            let level = if alert == Alert::CLOSE_NOTIFY { WARNING } else { FATAL };
            if !self.write_message(&[level, alert.0], content::ALERT, writer)? {
                return Ok(false);
            }
            self.owed.alert = None;
        }
        Ok(true)
    }

    /// Whether there was room for the message, which is then written.
    fn write_message(
        &mut self,
        message: &[u8],
        content_type: u8,
        writer: &mut Writer<'_>,
    ) -> Result<bool, Fault> {
        let Some(record) = writer.record(message.len()) else {
            return Ok(false);
        };
        let sealed = record.bytes.len();
        self.seal_from(message, content_type, record)?;
        writer.written += sealed;
        Ok(true)
    }

    fn seal_data(
        &mut self,
        source: &mut Source<'_>,
        length: usize,
        writer: &mut Writer<'_>,
    ) -> Result<(), Fault> {
        let record = writer.record(length).ok_or(Fault::Internal)?;
        let sealed = record.bytes.len();
        match source.contiguous(length) {
            Some(plain) => self.seal_from(plain, content::APPLICATION_DATA, record)?,
            None => self.seal_gathered(source, record)?,
        }
        writer.written += sealed;
        Ok(())
    }

    fn seal_from(
        &mut self,
        plain: &[u8],
        content_type: u8,
        record: Record<'_>,
    ) -> Result<(), Fault> {
        let (header, cipher, tail) = record.split(plain.len()).ok_or(Fault::Internal)?;
        let (nonce, keys) = self.next_nonce()?;
        keys.aead
            .seal_out_of_place_scatter(
                nonce,
                Aad::from(header),
                plain,
                cipher,
                &[content_type],
                tail,
            )
            .map_err(|_unspecified| Fault::Internal)
    }

    fn seal_gathered(&mut self, source: &mut Source<'_>, record: Record<'_>) -> Result<(), Fault> {
        let length = record.bytes.len().saturating_sub(SEALED_EXTRA_BYTES);
        let (header, cipher, tail) = record.split(length).ok_or(Fault::Internal)?;
        source.gather(cipher);
        let (nonce, keys) = self.next_nonce()?;
        keys.aead
            .seal_in_place_scatter(
                nonce,
                Aad::from(header),
                cipher,
                &[content::APPLICATION_DATA],
                tail,
            )
            .map_err(|_unspecified| Fault::Internal)
    }

    /// The nonce of the next record, used up by this call whatever becomes of the record (TL-3).
    fn next_nonce(&mut self) -> Result<(aws_lc_rs::aead::Nonce, &crate::keys::Keys), Fault> {
        let sequence = self.tx.sequence;
        // The alert of a broken session may follow the last record of a key, nothing else.
        if sequence > self.suite.records_max() {
            return Err(Fault::Exhausted);
        }
        self.tx.sequence += 1;
        let keys = self.tx.keys(self.suite)?;
        Ok((keys.nonce(sequence), keys))
    }
}

/// The output and how much of it is written.
struct Writer<'a> {
    output: &'a mut [u8],
    written: usize,
}

impl Writer<'_> {
    fn room(&self) -> usize {
        self.output.len().saturating_sub(self.written)
    }

    /// Plaintext bytes of the next data record, none if nothing is left to send or it is not
    /// worth a record: a large answer is not cut small by the end of a buffer.
    fn next_record(&self, remaining: usize) -> Option<usize> {
        let wanted = remaining.min(PLAINTEXT_BYTES_MAX);
        let length = self.room().saturating_sub(SEALED_EXTRA_BYTES).min(wanted);
        let is_worth_it = length == wanted || self.written == 0 || length >= WORTH_BYTES;
        (length > 0 && is_worth_it).then_some(length)
    }

    /// Room for a record of `length` plaintext bytes.
    fn record(&mut self, length: usize) -> Option<Record<'_>> {
        let end = self.written.checked_add(length)?.checked_add(SEALED_EXTRA_BYTES)?;
        self.output.get_mut(self.written..end).map(|bytes| Record { bytes })
    }
}

/// The room of one record.
struct Record<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Record<'a> {
    /// Writes the header, and splits the rest into the content's place and the tail for content
    /// type and tag.
    fn split(self, length: usize) -> Option<([u8; HEADER_BYTES], &'a mut [u8], &'a mut [u8])> {
        let body_bytes = self.bytes.len().checked_sub(HEADER_BYTES)?;
        let header =
            Header { content_type: content::APPLICATION_DATA, version: LEGACY_VERSION, body_bytes }
                .bytes();
        let (front, body) = self.bytes.split_first_chunk_mut::<HEADER_BYTES>()?;
        *front = header;
        let (cipher, tail) = body.split_at_mut_checked(length)?;
        Some((header, cipher, tail))
    }
}

/// The slices to be sent and how much of the first one is gone.
struct Source<'a> {
    parts: &'a [&'a [u8]],
    at: usize,
}

impl<'a> Source<'a> {
    fn remaining_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum::<usize>().saturating_sub(self.at)
    }

    /// The next `length` bytes, if they lie in one slice; they are taken then.
    fn contiguous(&mut self, length: usize) -> Option<&'a [u8]> {
        self.skip_empty();
        let part = *self.parts.first()?;
        let end = self.at.checked_add(length)?;
        let bytes = part.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    /// Takes the next bytes, as many as `target` holds.
    fn gather(&mut self, target: &mut [u8]) {
        let mut filled = 0;
        while filled < target.len() {
            self.skip_empty();
            let Some(rest) = self.parts.first().and_then(|part| part.get(self.at..)) else {
                return;
            };
            let room = target.get_mut(filled..).unwrap_or_default();
            let count = rest.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..count), rest.get(..count)) {
                to.copy_from_slice(from);
            }
            self.at += count;
            filled += count;
        }
    }

    fn skip_empty(&mut self) {
        while let Some((part, rest)) = self.parts.split_first()
            && self.at >= part.len()
        {
            self.at -= part.len();
            self.parts = rest;
        }
    }
}

const LEGACY_VERSION: [u8; 2] = [3, 3];
const WARNING: u8 = 1;
const FATAL: u8 = 2;
/// A record that the end of the output cuts short is made only if it has this many bytes.
const WORTH_BYTES: usize = 4096;
