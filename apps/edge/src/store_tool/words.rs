//! What the tools print: for people, and as JSON.

use std::fmt::Write as _;

use longhold_store::check::{
    Ages, CheckReport, Damage, DeviceCheck, DeviceStat, PurgeStat, Sizes, StoreStat,
};
use longhold_store::{Compacted, Stats};
use serde_json::{Value, json};

use crate::config::memory::rounded;

pub(super) fn check_text(report: &CheckReport) -> String {
    let mut text = String::new();
    for device in &report.devices {
        let DeviceCheck { path, records, segments_used, segments_empty, snapshots, purges, .. } =
            device;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}: {records} records, {}, in {segments_used} segments; {segments_empty} empty; \
             {snapshots} images of the index; {purges} purges on record",
            path.display(),
            rounded(device.record_bytes),
        );
        if device.unfinished > 0 {
            let (count, bytes) = (device.unfinished, rounded(device.unfinished_bytes));
            let _ = writeln!(text, "  {count} were never completed, {bytes}: left by a crash");
        }
        if device.unreachable_bytes > 0 {
            let bytes = rounded(device.unreachable_bytes);
            let _ = writeln!(text, "  {bytes} cannot be reached behind damaged headers");
        }
        text.push_str(voided(device.voided));
    }
    text.push_str(&missing(report.devices_missing));
    for damage in &report.damage {
        let _ = writeln!(text, "{damage}");
    }
    let unlisted = report.damage_count - report.damage.len() as u64;
    if unlisted > 0 {
        let _ = writeln!(text, "and {unlisted} damaged places more");
    }
    if report.is_clean() {
        text.push_str("nothing is damaged\n");
    }
    text
}

pub(super) fn check_json(report: &CheckReport) -> Value {
    let device = |device: &DeviceCheck| {
        json!({
            "path": device.path,
            "voided": device.voided,
            "segments_used": device.segments_used,
            "segments_empty": device.segments_empty,
            "records": device.records,
            "record_bytes": device.record_bytes,
            "unfinished": device.unfinished,
            "unfinished_bytes": device.unfinished_bytes,
            "unreachable_bytes": device.unreachable_bytes,
            "snapshots": device.snapshots,
            "purges": device.purges,
        })
    };
    let damage = |damage: &Damage| {
        json!({
            "file": damage.file,
            "offset": damage.offset,
            "what": damage.what.word(),
            "meaning": damage.what.to_string(),
        })
    };
    json!({
        "clean": report.is_clean(),
        "devices": report.devices.iter().map(device).collect::<Vec<_>>(),
        "devices_missing": report.devices_missing,
        "damage_count": report.damage_count,
        "damage": report.damage.iter().map(damage).collect::<Vec<_>>(),
    })
}

pub(super) fn stat_text(stat: &StoreStat) -> String {
    let mut text = String::new();
    for device in &stat.devices {
        let disk = &device.disk;
        let _ = writeln!(
            text,
            "{}: {} segments of {}, {} in front; {} used, {} objects, {} live, {} dead; \
             {} images of the index",
            device.path.display(),
            disk.segment_count,
            rounded(disk.segment_bytes.into()),
            rounded(disk.front_bytes),
            device.segments_used,
            device.objects,
            rounded(device.live_bytes),
            rounded(device.dead_bytes),
            device.snapshots,
        );
        if device.segments_unreadable > 0 {
            let _ = writeln!(text, "  {} segments cannot be read", device.segments_unreadable);
        }
        text.push_str(voided(device.voided));
    }
    text.push_str(&missing(stat.devices_missing));
    let (live, dead) = (rounded(stat.live_bytes), rounded(stat.dead_bytes));
    let _ = writeln!(
        text,
        "{} objects, {live} live, {dead} dead, opened {} times",
        stat.objects, stat.epoch
    );
    let PurgeStat { keys, prefixes, tags, all, bytes, capacity_bytes } = stat.purges;
    let _ = writeln!(
        text,
        "{} purges on record ({keys} of keys, {prefixes} of prefixes, {tags} of tags, {all} of \
         everything), {} of {}",
        stat.purges.count(),
        rounded(bytes),
        rounded(capacity_bytes),
    );
    text.push_str("\nsize of an object      objects       bytes\n");
    for (class, below) in Sizes::BELOW.iter().enumerate() {
        let (objects, bytes) = (stat.sizes.objects[class], stat.sizes.bytes[class]);
        if objects > 0 {
            let _ = writeln!(
                text,
                "below {:<14} {objects:>9}  {:>10}",
                rounded(*below),
                rounded(bytes)
            );
        }
    }
    text.push_str("\nage of a segment         bytes\n");
    for (name, bytes) in AGE_NAMES.iter().zip(stat.ages.bytes) {
        if bytes > 0 {
            let _ = writeln!(text, "{name:<20} {:>10}", rounded(bytes));
        }
    }
    text.push_str("\nlive part of a segment   segments\n");
    for (tenth, segments) in stat.fill.iter().enumerate() {
        if *segments > 0 {
            let share = format!("{} to {} %", tenth * 10, (tenth + 1) * 10);
            let _ = writeln!(text, "{share:<22} {segments:>10}");
        }
    }
    text
}

pub(super) fn stat_json(stat: &StoreStat) -> Value {
    let device = |device: &DeviceStat| {
        json!({
            "path": device.path,
            "voided": device.voided,
            "segments": device.disk.segment_count,
            "segment_bytes": device.disk.segment_bytes,
            "front_bytes": device.disk.front_bytes,
            "file_bytes": device.disk.file_bytes,
            "segments_used": device.segments_used,
            "segments_unreadable": device.segments_unreadable,
            "objects": device.objects,
            "live_bytes": device.live_bytes,
            "dead_bytes": device.dead_bytes,
            "snapshots": device.snapshots,
        })
    };
    let size = |(class, below): (usize, &u64)| {
        json!({
            "below_bytes": below,
            "objects": stat.sizes.objects[class],
            "bytes": stat.sizes.bytes[class],
        })
    };
    let age = |(below_s, bytes): (&u64, u64)| {
        let below_s = (*below_s < u64::MAX).then_some(below_s);
        json!({ "below_s": below_s, "bytes": bytes })
    };
    json!({
        "devices": stat.devices.iter().map(device).collect::<Vec<_>>(),
        "devices_missing": stat.devices_missing,
        "opens": stat.epoch,
        "objects": stat.objects,
        "live_bytes": stat.live_bytes,
        "dead_bytes": stat.dead_bytes,
        "purges": {
            "keys": stat.purges.keys,
            "prefixes": stat.purges.prefixes,
            "tags": stat.purges.tags,
            "all": stat.purges.all,
            "bytes": stat.purges.bytes,
            "capacity_bytes": stat.purges.capacity_bytes,
        },
        "sizes": Sizes::BELOW.iter().enumerate().map(size).collect::<Vec<_>>(),
        "ages": Ages::BELOW_S.iter().zip(stat.ages.bytes).map(age).collect::<Vec<_>>(),
        "segments_by_live_tenths": stat.fill,
    })
}

pub(super) fn compact_text(done: &Compacted, (before, after): (&Stats, &Stats)) -> String {
    format!(
        "{} segments emptied, {} objects moved, {}; {} purges dropped from the record\n\
         before: {} objects, {} of log, {} segments free\n\
         after:  {} objects, {} of log, {} segments free\n",
        done.segments,
        done.objects,
        rounded(done.bytes),
        done.purges,
        before.objects,
        rounded(before.bytes),
        free(before),
        after.objects,
        rounded(after.bytes),
        free(after),
    )
}

pub(super) fn compact_json(done: &Compacted, (before, after): (&Stats, &Stats)) -> Value {
    let figures = |stats: &Stats| {
        json!({
            "objects": stats.objects,
            "log_bytes": stats.bytes,
            "segments_free": free(stats),
        })
    };
    json!({
        "segments": done.segments,
        "objects": done.objects,
        "bytes": done.bytes,
        "purges": done.purges,
        "before": figures(before),
        "after": figures(after),
    })
}

/// Segments without records, with a header for the next ones or without.
fn free(stats: &Stats) -> u32 {
    stats.segments_clean + stats.segments_retiring
}

fn voided(voided: bool) -> &'static str {
    if voided { "  it has missed an open of the store: what it holds will not count\n" } else { "" }
}

fn missing(devices: usize) -> String {
    match devices {
        0 => String::new(),
        1 => "1 device of the last open is not here\n".to_owned(),
        _ => format!("{devices} devices of the last open are not here\n"),
    }
}

/// As [`Ages::BELOW_S`].
const AGE_NAMES: [&str; Ages::BELOW_S.len()] =
    ["below a minute", "below an hour", "below a day", "below a week", "below a month", "older"];
