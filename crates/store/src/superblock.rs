//! The super block: what a device is, twice, in `super.0` and `super.1`.
//!
//! ```text
//!   0 magic 8 │ 8 version 4 │ 12 segment bytes 4 │ 16 segment count 4 │ 20 zero 4
//!  24 store 16 │ 40 secret 32 │ 72 epoch 8 │ 80 snapshot bytes 8 │ 88 purge bytes 8
//!  96 device 16 │ 112 floor epoch 8 │ 120 member count 4 │ 124 zero 4
//! 128 members, 16 each, up to 64 │ zero … │ 4080 MAC 16                        (4,096 bytes)
//! ```
//! The copy with the higher epoch wins; an open writes the next epoch into one file and, when that
//! is durable, into the other: one whole copy is there at any time, and while the store is at work
//! either may be lost. The epoch is the high part of every sequence and generation that the open
//! gives out: none is ever given out twice, whatever a crash has forgotten (ST-4).
//!
//! All devices of a store have its name, its secret and its epoch. An open names its members in
//! all of them before anything else is written. So a device whose epoch is behind was either cut
//! off from an open that wrote nothing more, and is a member of the newest epoch; or it was left
//! out, and has missed purges: its floor epoch is then set to the new one, below which no record
//! of it counts.

use crate::config::{DEVICES_MAX, Geometry};
use crate::format::{FORMAT_VERSION, put, u32_at, u64_at, u128_at};
use crate::keys::mac_with;

/// One super block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SuperBlock {
    pub(crate) geometry: Geometry,
    pub(crate) identity: Identity,
    pub(crate) device: u128,
    pub(crate) epoch: u64,
    /// Records of earlier epochs do not count.
    pub(crate) floor_epoch: u64,
    /// The devices that take part in this epoch.
    pub(crate) members: Vec<u128>,
}

/// What all devices of a store share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: u128,
    pub(crate) secret: [u8; 32],
}

/// What a file that should be a super block holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Valid(Box<SuperBlock>),
    OtherVersion(u32),
    Damaged,
}

impl SuperBlock {
    pub(crate) fn encode(&self) -> [u8; SUPER_BYTES] {
        let mut bytes = [0; SUPER_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &FORMAT_VERSION.to_le_bytes());
        put(&mut bytes, 12, &self.geometry.segment_bytes.to_le_bytes());
        put(&mut bytes, 16, &self.geometry.segment_count.to_le_bytes());
        put(&mut bytes, 24, &self.identity.store.to_le_bytes());
        put(&mut bytes, 40, &self.identity.secret);
        put(&mut bytes, 72, &self.epoch.to_le_bytes());
        put(&mut bytes, 80, &self.geometry.snapshot_bytes.to_le_bytes());
        put(&mut bytes, 88, &self.geometry.purge_bytes.to_le_bytes());
        put(&mut bytes, 96, &self.device.to_le_bytes());
        put(&mut bytes, 112, &self.floor_epoch.to_le_bytes());
        let members = &self.members[..self.members.len().min(DEVICES_MAX)];
        put(&mut bytes, 120, &(members.len() as u32).to_le_bytes());
        for (number, member) in members.iter().enumerate() {
            put(&mut bytes, MEMBERS_AT + 16 * number, &member.to_le_bytes());
        }
        let mac = mac_with(&mac_key(&self.identity.secret), &bytes[..MAC_AT]);
        put(&mut bytes, MAC_AT, &mac);
        bytes
    }

    /// Total over any bytes. The version is read before the MAC: another version may have
    /// another one.
    pub(crate) fn parse(bytes: &[u8]) -> Parsed {
        if bytes.len() < 12 || bytes[..8] != MAGIC {
            return Parsed::Damaged;
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Parsed::OtherVersion(version);
        }
        if bytes.len() != SUPER_BYTES {
            return Parsed::Damaged;
        }
        let mut secret = [0; 32];
        secret.copy_from_slice(&bytes[40..72]);
        if mac_with(&mac_key(&secret), &bytes[..MAC_AT])[..] != bytes[MAC_AT..] {
            return Parsed::Damaged;
        }
        let geometry = Geometry {
            segment_bytes: u32_at(bytes, 12),
            segment_count: u32_at(bytes, 16),
            snapshot_bytes: u64_at(bytes, 80),
            purge_bytes: u64_at(bytes, 88),
        };
        // The secret of the MAC lies beside it: whoever can write the file can make it pass.
        if !geometry.is_within_bounds() {
            return Parsed::Damaged;
        }
        Parsed::Valid(Box::new(Self {
            geometry,
            identity: Identity { store: u128_at(bytes, 24), secret },
            device: u128_at(bytes, 96),
            epoch: u64_at(bytes, 72),
            floor_epoch: u64_at(bytes, 112),
            members: (0..(u32_at(bytes, 120) as usize).min(DEVICES_MAX))
                .map(|number| u128_at(bytes, MEMBERS_AT + 16 * number))
                .collect(),
        }))
    }

    /// The lowest sequence and generation that counts.
    pub(crate) fn floor(&self) -> u64 {
        self.floor_epoch << EPOCH_SHIFT
    }
}

/// The two files in the order in which an epoch is written to them.
pub(crate) fn file_names(epoch: u64) -> [&'static str; 2] {
    let [even, odd] = FILE_NAMES;
    if epoch.is_multiple_of(2) { [even, odd] } else { [odd, even] }
}

fn mac_key(secret: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("longhold store 2 super block", secret)
}

/// The two files.
pub(crate) const FILE_NAMES: [&str; 2] = ["super.0", "super.1"];
/// Sequences and generations are `epoch << EPOCH_SHIFT` and up: 2^44 of each for every open, five
/// years of 100,000 records a second.
pub(crate) const EPOCH_SHIFT: u32 = 44;
/// Opens in the life of a store: a million.
pub(crate) const EPOCH_MAX: u64 = (1 << (64 - EPOCH_SHIFT)) - 1;

const MAGIC: [u8; 8] = *b"LHSTORE\0";
/// Size of a super block file.
pub(crate) const SUPER_BYTES: usize = 4096;
const MAC_AT: usize = SUPER_BYTES - 16;
const MEMBERS_AT: usize = 128;

const _: () = assert!(MEMBERS_AT + 16 * DEVICES_MAX <= MAC_AT);
