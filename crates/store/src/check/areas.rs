//! The areas in front of the segments: images of the index.

use std::os::unix::fs::FileExt;

use super::{DamageKind, Device};
use crate::keys::Keys;
use crate::snapshot::{BLOCK_BYTES, HEAD_BYTES, Head, block_sum};

/// What the two areas hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Images {
    /// Whole ones.
    pub(super) whole: u32,
    /// Begun, and not whole: a crash while one was written leaves one of the two like this.
    pub(super) broken: u32,
}

impl Device {
    /// Looks at both areas; with `deep`, reads the images, too.
    pub(super) fn images(&self, keys: &Keys, deep: bool) -> Images {
        let mut images = Images::default();
        for area in 0..2 {
            match self.image(area * self.geometry().snapshot_bytes, keys, deep) {
                Some(true) => images.whole += 1,
                Some(false) => images.broken += 1,
                None => {}
            }
        }
        images
    }

    /// Two turns leave a whole image whatever happens in the third.
    pub(super) fn images_damage(&self, images: Images) -> Option<super::Damage> {
        let lost = images.whole == 0 && images.broken == 2;
        lost.then(|| self.damage(0, DamageKind::Snapshot))
    }

    /// Whether the image in an area is whole; `None` when there is none.
    fn image(&self, base: u64, keys: &Keys, deep: bool) -> Option<bool> {
        let mut front = [0; HEAD_BYTES as usize];
        if self.data.read_exact_at(&mut front, base).is_err() {
            return Some(false);
        }
        if front.iter().all(|byte| *byte == 0) {
            return None;
        }
        let whole = || {
            let layout = Head::measure(&front, self.geometry().snapshot_bytes)?;
            let mut head = vec![0; layout.image_at as usize];
            let mut tail = vec![0; layout.tail_bytes as usize];
            self.data.read_exact_at(&mut head, base).ok()?;
            self.data.read_exact_at(&mut tail, base + layout.tail_at()).ok()?;
            let (parsed, sums) = Head::parse(&head, &tail, keys)?;
            let seed = keys.snapshot_seed(parsed.sequence);
            let mut block = vec![0; BLOCK_BYTES as usize];
            for (number, sum) in (0..).zip(sums).filter(|_| deep) {
                let at = number * BLOCK_BYTES;
                let block = &mut block[..(layout.image_bytes - at).min(BLOCK_BYTES) as usize];
                self.data.read_exact_at(block, base + layout.image_at + at).ok()?;
                (block_sum(seed, block) == sum).then_some(())?;
            }
            Some(())
        };
        Some(whole().is_some())
    }
}
