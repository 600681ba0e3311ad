//! What is sent: a payload lends its bytes as a few slices, front first.

/// Slices that one send may gather: a head, a body in up to two pieces, and framing.
pub const PARTS_MAX: usize = 4;

/// Bytes on their way to a peer.
///
/// The transport keeps the payload at one address, borrows its parts once per send and neither
/// moves, changes nor drops it until the send's completion: so whatever the parts point into
/// (its own bytes, a pinned mapping) must live as long as the payload does, and no longer.
pub trait Payload: 'static {
    /// Pushes the bytes still to be sent, front first. At most [`PARTS_MAX`] slices count; what
    /// does not fit is simply sent next time.
    fn parts<'a>(&'a self, parts: &mut Parts<'a>);

    /// Copies the bytes from `offset` on that fill `into`, for a transport that must look at them
    /// itself, to encrypt them; false if they cannot be read (the kernel's EFAULT). There are as
    /// many: [`Payload::parts`] has said so.
    fn copy_to(&self, offset: usize, into: &mut [u8]) -> bool {
        let mut parts = Parts::new();
        self.parts(&mut parts);
        parts.copy_to(offset, into)
    }

    /// The first `sent_bytes` of [`Payload::parts`] have been sent.
    fn advance(&mut self, sent_bytes: usize);
}

/// Up to [`PARTS_MAX`] non-empty slices, in the order in which they are sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    slices: [&'a [u8]; PARTS_MAX],
    count: usize,
}

impl<'a> Parts<'a> {
    /// No parts yet.
    pub const fn new() -> Self {
        Self { slices: [&[]; PARTS_MAX], count: 0 }
    }

    /// Adds a slice behind the others. Empty ones are skipped; beyond [`PARTS_MAX`] slices nothing
    /// is added: those bytes are asked for again after the send.
    pub fn push(&mut self, slice: &'a [u8]) {
        if slice.is_empty() {
            return;
        }
        if let Some(free) = self.slices.get_mut(self.count) {
            *free = slice;
            self.count += 1;
        }
    }

    /// The slices, none of them empty.
    pub fn as_slices(&self) -> &[&'a [u8]] {
        self.slices.get(..self.count).unwrap_or(&[])
    }

    /// Copies the bytes from `offset` on that fill `into`; false if there are not as many.
    pub fn copy_to(&self, offset: usize, into: &mut [u8]) -> bool {
        let (mut skip, mut rest) = (offset, into);
        for slice in self.as_slices() {
            let from = slice.get(skip..).unwrap_or(&[]);
            skip = skip.saturating_sub(slice.len());
            let (front, behind) = rest.split_at_mut(from.len().min(rest.len()));
            front.copy_from_slice(&from[..front.len()]);
            rest = behind;
        }
        rest.is_empty()
    }

    /// Sum of the slices' lengths.
    pub fn total_bytes(&self) -> usize {
        self.as_slices().iter().map(|slice| slice.len()).sum()
    }
}
