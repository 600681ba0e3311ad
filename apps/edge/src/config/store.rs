//! `[store]`: one device by `path` and `size`, or several by `devices`; and the memory tier.

use std::collections::HashMap;
use std::path::PathBuf;

use toml::Spanned;

use super::checked::{Device, Store};
use super::fault::Cause;
use super::knobs::{self, Knob};
use super::raw::{self, Cell, Typed};
use super::resolve::Resolver;
use super::units::{Bytes, KIB, MIB, Millis};
use super::{DEVICES_MAX, SEGMENTS_MAX, SEGMENTS_MIN, check::start};

pub(super) fn store(resolver: &mut Resolver<'_>, typed: &raw::Store) -> Store {
    resolver.enter("[store]", 0);
    let mut devices = Vec::new();
    if typed.devices.is_empty() {
        let path = resolver.path(&knobs::STORE_PATH, &typed.path).unwrap_or_default();
        let size = Bytes(resolver.number(&knobs::STORE_SIZE, &typed.size));
        devices.push(Device { path, size });
    } else {
        named_once(resolver, typed);
    }
    // Judged after the values of the table itself, which must come first in a file.
    let sizes: Vec<u64> = match devices.first() {
        Some(one) => vec![one.size.0],
        None => typed.devices.iter().map(size_of).collect(),
    };
    let total = sizes.iter().fold(0u64, |sum, size| sum.saturating_add(*size));
    let segment = segment(resolver, typed, &sizes);
    let objects = total / OBJECT_BYTES_USUAL;
    let objects_max = resolver.number_or(&knobs::STORE_OBJECTS_MAX, &typed.objects_max, objects);
    let memory = memory(resolver, &typed.memory, total);
    let short_lifetime = resolver.number(&knobs::STORE_SHORT_LIFETIME, &typed.short_lifetime);
    let write_patience = resolver.number(&knobs::STORE_WRITE_PATIENCE, &typed.write_patience);
    if devices.is_empty() {
        devices = list(resolver, &typed.devices);
    }
    Store {
        devices,
        segment: Bytes(segment),
        objects_max,
        memory: Bytes(memory),
        short_lifetime: Millis(short_lifetime),
        write_patience: Millis(write_patience),
    }
}

/// A list of devices and a single one cannot both be the store.
fn named_once(resolver: &mut Resolver<'_>, typed: &raw::Store) {
    let list_at = typed.devices.first().map(|device| device.span().start);
    for (knob, cell) in [(&knobs::STORE_PATH, &typed.path), (&knobs::STORE_SIZE, &typed.size)] {
        if let Some(at) = start(cell) {
            let line = resolver.source.place(at).line;
            let cause = Cause::DevicesBesideOne { key: knob.key, line };
            resolver.fault(list_at, "store.devices", cause);
        }
    }
}

fn list(resolver: &mut Resolver<'_>, typed: &[Spanned<raw::Device>]) -> Vec<Device> {
    if let Some(beyond) = typed.get(DEVICES_MAX) {
        let cause = Cause::TooMany { most: DEVICES_MAX };
        resolver.fault(Some(beyond.span().start), "store.devices", cause);
    }
    let mut first: HashMap<PathBuf, usize> = HashMap::new();
    let mut devices = Vec::new();
    for (index, table) in typed.iter().take(DEVICES_MAX).enumerate() {
        resolver.enter("[[store.devices]]", index);
        let at = table.span().start;
        let raw::Device { path, size } = table.get_ref();
        for (knob, cell) in [(&knobs::STORE_DEVICES_PATH, path), (&knobs::STORE_DEVICES_SIZE, size)]
        {
            if cell.is_none() {
                resolver.fault(Some(at), knob.key, Cause::Missing);
            }
        }
        let (Some(_), Some(_)) = (path, size) else { continue };
        let knob: &'static Knob = &knobs::STORE_DEVICES_PATH;
        let folder = resolver.path(knob, path);
        let size = Bytes(resolver.number(&knobs::STORE_DEVICES_SIZE, size));
        let Some(folder) = folder else { continue };
        let at = start(path).unwrap_or(at);
        if let Some(before) = first.insert(folder.clone(), at) {
            let first_line = resolver.source.place(before).line;
            let cause = Cause::Duplicate { value: folder.display().to_string(), first_line };
            resolver.fault(Some(at), knob.key, cause);
        }
        devices.push(Device { path: folder, size });
    }
    devices
}

/// What a device's size will be judged to be, for the defaults that follow from it.
fn size_of(device: &Spanned<raw::Device>) -> u64 {
    let knob = &knobs::STORE_DEVICES_SIZE;
    match device.get_ref().size.as_ref().map(Spanned::get_ref) {
        Some(Typed::Text(text)) => knob.unit.parse(text).unwrap_or(knob.least).max(knob.least),
        Some(Typed::Integer(_) | Typed::List(_) | Typed::Flag(_) | Typed::Other(_)) | None => {
            knob.least
        }
    }
}

fn segment(resolver: &mut Resolver<'_>, typed: &raw::Store, sizes: &[u64]) -> u64 {
    let knob = &knobs::STORE_SEGMENT;
    let smallest = sizes.iter().copied().min().unwrap_or(knob.least);
    let segment = resolver.number_or(knob, &typed.segment, segment_preset(smallest));
    let at = start(&typed.segment);
    let count: u64 = sizes.iter().map(|size| size / segment).sum();
    if !segment.is_multiple_of(MIB) {
        resolver.fault(at, knob.key, Cause::SegmentNotWhole);
    } else if smallest / segment < SEGMENTS_MIN {
        let cause = Cause::SegmentTooLarge { size: Bytes(smallest).to_string() };
        resolver.fault(at, knob.key, cause);
    } else if count > SEGMENTS_MAX {
        let size = Bytes(sizes.iter().sum()).to_string();
        resolver.fault(at, knob.key, Cause::SegmentTooSmall { size });
    }
    segment
}

/// 64 MiB, or the largest power of two of which [`SEGMENTS_USUAL`] fit.
fn segment_preset(size: u64) -> u64 {
    let fitting = (size / SEGMENTS_USUAL).max(MIB);
    (1u64 << fitting.ilog2()).min(64 * MIB)
}

/// The memory tier.
fn memory(resolver: &mut Resolver<'_>, typed: &Cell, disks: u64) -> u64 {
    let knob = &knobs::STORE_MEMORY;
    if resolver.is_nothing(knob, typed) {
        return 0;
    }
    // Whole MiB, for people.
    let preset = (disks / MEMORY_SHARE).min(MEMORY_USUAL_MAX) / MIB * MIB;
    resolver.number_or(knob, typed, preset.max(MIB))
}

/// What the index reckons with for one object when the file does not say.
const OBJECT_BYTES_USUAL: u64 = 8 * KIB;
/// The store's own default: so few that one is soon full, so many that little is lost with it.
const SEGMENTS_USUAL: u64 = 16;
/// S3-FIFO's small queue is a tenth.
const MEMORY_SHARE: u64 = 10;
/// Beyond this it is for the operator to say what else the host's memory is for.
const MEMORY_USUAL_MAX: u64 = 256 * MIB;
