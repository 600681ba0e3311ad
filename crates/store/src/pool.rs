//! Buffers for heads: lent to a record, and back in the pool when it is dropped, so that a lookup
//! allocates nothing once as many records as usual have been out at the same time.

use std::cell::RefCell;
use std::rc::Rc;

/// A reader's free buffers; bounded, see [`KEPT_MAX`] and [`KEPT_BYTES_MAX`].
#[derive(Clone, Default)]
pub(crate) struct HeadPool(Rc<RefCell<Vec<Vec<u8>>>>);

/// A buffer on loan.
pub(crate) struct HeadBuffer {
    /// Every byte was written once; those behind `len` are of an earlier loan.
    bytes: Vec<u8>,
    len: usize,
    pool: HeadPool,
}

impl HeadPool {
    pub(crate) fn take(&self) -> HeadBuffer {
        let bytes = self.0.borrow_mut().pop().unwrap_or_default();
        HeadBuffer { bytes, len: 0, pool: self.clone() }
    }
}

impl HeadBuffer {
    /// The bytes of this loan.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The first `len` bytes, to be written; they are the loan's bytes from here on.
    #[inline]
    pub(crate) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.bytes.resize(len.max(FIRST_BYTES), 0);
        }
        self.len = len;
        &mut self.bytes[..len]
    }
}

impl Drop for HeadBuffer {
    fn drop(&mut self) {
        let mut free = self.pool.0.borrow_mut();
        if free.len() < KEPT_MAX && self.bytes.len() <= KEPT_BYTES_MAX {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Buffers that a reader keeps: 4 MiB at most, with the bound below.
const KEPT_MAX: usize = 256;
/// Larger ones are given back to the allocator.
const KEPT_BYTES_MAX: usize = 16 << 10;
/// Of a new buffer: room for most heads.
const FIRST_BYTES: usize = 1024;
