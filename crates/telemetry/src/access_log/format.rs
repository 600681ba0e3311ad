//! A record as a line: JSON, or the combined format with the cache word and the duration behind it.
//!
//! Whatever bytes the peer sent, a line stays one line (TM-6). JSON: valid UTF-8 as it is, with
//! JSON's escapes and all control characters escaped; each malformed sequence becomes U+FFFD. Text:
//! quotes, backslashes and all bytes outside printable ASCII become `\xHH`, as nginx and Apache
//! write them.

use std::io::Write as _;

use super::record::Record;

/// How access log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// `peer - - [time] "request" status sent "referer" "user-agent" "host" cache duration_us`.
    Text,
}

impl Format {
    /// Appends the line of a record, its line feed included.
    pub(crate) fn write_line(self, record: &Record<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => write_json(record, out),
            Self::Text => write_text(record, out),
        }
        out.push(b'\n');
    }
}

fn write_json(record: &Record<'_>, out: &mut Vec<u8>) {
    let time = Civil::from_unix_ms(record.unix_ms);
    out.extend_from_slice(b"{\"time\":\"");
    time.write_rfc3339(out);
    put(out, format_args!("\",\"peer\":\"{}\"", record.peer));
    for (name, part) in [
        ("method", record.method),
        ("host", record.host),
        ("target", record.target),
        ("protocol", record.protocol.as_bytes()),
    ] {
        write_json_part(name, part, out);
    }
    for (name, number) in [
        ("status", u64::from(record.status)),
        ("received_bytes", record.received_bytes),
        ("sent_bytes", record.sent_bytes),
        ("duration_us", record.duration_us),
    ] {
        write_json_name(name, out);
        write_number(number, 1, out);
    }
    for (name, part) in [
        ("tls", record.tls.as_bytes()),
        ("suite", record.suite.as_bytes()),
        ("cache", record.cache.as_bytes()),
        ("close", record.close.as_bytes()),
        ("referer", record.referer),
        ("user_agent", record.user_agent),
    ] {
        if !part.is_empty() {
            write_json_part(name, part, out);
        }
    }
    out.push(b'}');
}

fn write_json_part(name: &str, part: &[u8], out: &mut Vec<u8>) {
    write_json_name(name, out);
    out.push(b'"');
    // Nearly every part is like this, and the writer shares its core with a worker.
    if part.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(part);
    } else {
        write_json_escaped(part, out);
    }
    out.push(b'"');
}

fn write_json_name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_json_escaped(part: &[u8], out: &mut Vec<u8>) {
    for chunk in part.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                // JSON asks for C0 only; DEL, C1 and separators would move terminals and viewers.
                '\u{2028}' | '\u{2029}' => put(out, format_args!("\\u{:04x}", character as u32)),
                _ if character.is_control() => {
                    put(out, format_args!("\\u{:04x}", character as u32));
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn write_text(record: &Record<'_>, out: &mut Vec<u8>) {
    let time = Civil::from_unix_ms(record.unix_ms);
    put(out, format_args!("{} - - [{}] \"", record.peer.ip(), time.common_log()));
    write_text_part(record.method, out);
    out.push(b' ');
    write_text_part(record.target, out);
    put(out, format_args!(" {}\" {} {}", record.protocol, record.status, record.sent_bytes));
    for part in [record.referer, record.user_agent, record.host] {
        out.extend_from_slice(b" \"");
        write_text_part(if part.is_empty() { b"-" } else { part }, out);
        out.push(b'"');
    }
    let cache = if record.cache.is_empty() { "-" } else { record.cache };
    put(out, format_args!(" {cache} {}", record.duration_us));
}

fn write_text_part(part: &[u8], out: &mut Vec<u8>) {
    for &byte in part {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => put(out, format_args!("\\x{byte:02X}")),
            _ => out.push(byte),
        }
    }
}

/// Appends a number in decimal, with zeros before it up to `digits_min` digits.
fn write_number(mut number: u64, digits_min: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - digits_min)..]);
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec does not fail.
    let _ = out.write_fmt(text);
}

/// A point in time of the proleptic Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    ms_of_day: u64,
}

impl Civil {
    /// Days to a date by 400-year eras that begin on 1 March, so that leap days come last in a
    /// year.
    fn from_unix_ms(unix_ms: u64) -> Self {
        let days = unix_ms / MS_PER_DAY + DAYS_TO_1970;
        let (era, of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        Self { year, month, day, ms_of_day: unix_ms % MS_PER_DAY }
    }

    fn write_rfc3339(self, out: &mut Vec<u8>) {
        let Self { year, month, day, ms_of_day } = self;
        let (hour, minute, second) = self.time_of_day();
        for (number, digits, behind) in [
            (year, 4, b'-'),
            (month, 2, b'-'),
            (day, 2, b'T'),
            (hour, 2, b':'),
            (minute, 2, b':'),
            (second, 2, b'.'),
            (ms_of_day % 1_000, 3, b'Z'),
        ] {
            write_number(number, digits, out);
            out.push(behind);
        }
    }

    fn common_log(self) -> String {
        let Self { year, month, day, .. } = self;
        let name = MONTHS[month as usize - 1];
        let (hour, minute, second) = self.time_of_day();
        format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
    }

    fn time_of_day(self) -> (u64, u64, u64) {
        let seconds = self.ms_of_day / 1_000;
        (seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }
}

const MS_PER_DAY: u64 = 86_400_000;
const DAYS_PER_ERA: u64 = 146_097;
/// Days from 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: u64 = 719_468;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests;
