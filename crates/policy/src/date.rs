//! HTTP dates (RFC 9110 section 5.6.7): reads all three forms, writes the one that is not obsolete.
//!
//! | form | example |
//! |---|---|
//! | IMF-fixdate | `Sun, 06 Nov 1994 08:49:37 GMT` |
//! | RFC 850 | `Sunday, 06-Nov-94 08:49:37 GMT` |
//! | asctime | `Sun Nov  6 08:49:37 1994` |
//!
//! The grammar is followed to the byte, only letters may be of either case (RFC 9111 section 4.2).
//! The day of the week must be that of the date, as RFC 5322 section 3.3 bids. No zone but GMT.
//! Dates before 1970 are not represented: they read as no date.

/// The length of a formatted date in bytes.
pub const BYTES: usize = 29;

/// Unix time of the last second that the format can write, in the year 9999.
pub const MAX_S: u64 = 253_402_300_799;

const DAY_S: u64 = 86_400;
const DAYS: [&[u8]; 7] =
    [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
/// The clock that [`parse`] assumes where a year has only two digits: the start of 2026.
const ASSUMED_NOW_S: u64 = 1_767_225_600;

/// Reads a date in any of the three forms as Unix seconds. Where a year has only two digits, it is
/// read as [`parse_at`] would early in 2026; use that where a clock is at hand.
///
/// ```
/// use longhold_policy::date;
/// assert_eq!(date::parse(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
/// assert_eq!(date::parse(b"0"), None);
/// ```
pub fn parse(value: &[u8]) -> Option<u64> {
    parse_at(value, ASSUMED_NOW_S)
}

/// Reads a date in any of the three forms as Unix seconds. A two-digit year that would lie more
/// than 50 years after `now_s` is the most recent past one with these digits (RFC 9110
/// section 5.6.7).
pub fn parse_at(value: &[u8], now_s: u64) -> Option<u64> {
    let mut text = Text { rest: value };
    let day = text.day_name()?;
    let parts = match day.form {
        DayForm::Short => {
            if text.skip(b", ").is_some() {
                text.fixdate()?
            } else {
                text.asctime()?
            }
        }
        DayForm::Long => text.rfc850(now_s)?,
    };
    if !text.rest.is_empty() {
        return None;
    }
    let unix_s = parts.unix_s()?;
    // RFC 5322 section 3.3: the day of the week, if there is one, is that of the date.
    (weekday(unix_s / DAY_S) == day.index).then_some(unix_s)
}

/// Writes an IMF-fixdate. Times after [`MAX_S`] are written as [`MAX_S`].
pub fn format(unix_s: u64) -> [u8; BYTES] {
    let unix_s = unix_s.min(MAX_S);
    let (year, month, day) = civil(unix_s / DAY_S);
    let second = unix_s % DAY_S;
    let day_name = DAYS.get(weekday(unix_s / DAY_S)).copied().unwrap_or_default();
    let month_name = MONTHS.get(month as usize - 1).copied().unwrap_or(b"Jan");
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let pieces: [(usize, &[u8]); 8] = [
        (0, day_name.first_chunk::<3>().map_or(b"Thu", |name| name)),
        (5, &digits::<2>(day)),
        (8, month_name),
        (12, &digits::<4>(year)),
        (17, &digits::<2>(second / 3600)),
        (20, &digits::<2>(second / 60 % 60)),
        (23, &digits::<2>(second % 60)),
        (25, b" GMT"),
    ];
    for (at, piece) in pieces {
        if let Some(place) = out.get_mut(at..at + piece.len()) {
            place.copy_from_slice(piece);
        }
    }
    if let Some(first) = out.first_mut() {
        *first = first.to_ascii_uppercase();
    }
    out
}

fn digits<const N: usize>(number: u64) -> [u8; N] {
    let mut out = [b'0'; N];
    let mut rest = number;
    for place in out.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out
}

struct Day {
    /// 0 is Monday.
    index: usize,
    form: DayForm,
}

enum DayForm {
    Short,
    Long,
}

struct Parts {
    year: u64,
    /// 1 to 12.
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Parts {
    fn unix_s(&self) -> Option<u64> {
        if self.year < 1970 || self.day == 0 || self.day > month_len(self.year, self.month) {
            return None;
        }
        Some(days_since_epoch(self.year, self.month, self.day) * DAY_S + self.second_of_day)
    }
}

struct Text<'a> {
    rest: &'a [u8],
}

impl Text<'_> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        let (head, rest) = self.rest.split_at_checked(expected.len())?;
        self.rest = if head.eq_ignore_ascii_case(expected) {
            rest
        } else {
            return None;
        };
        Some(())
    }

    fn number(&mut self, len: usize) -> Option<u64> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        head.iter().try_fold(0, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
        })
    }

    /// A short or a long name; the long one takes its ", " along.
    fn day_name(&mut self) -> Option<Day> {
        let short = self.rest.first_chunk::<3>()?;
        let found = DAYS.iter().enumerate().find(|(_, name)| {
            name.first_chunk::<3>().is_some_and(|start| start.eq_ignore_ascii_case(short))
        });
        let (index, name) = found?;
        if self.skip(name).is_some() {
            self.skip(b", ")?;
            return Some(Day { index, form: DayForm::Long });
        }
        self.number_of_bytes(3)?;
        Some(Day { index, form: DayForm::Short })
    }

    fn number_of_bytes(&mut self, len: usize) -> Option<()> {
        self.rest = self.rest.get(len..)?;
        Some(())
    }

    fn month(&mut self) -> Option<u64> {
        let name = self.rest.first_chunk::<3>()?;
        let index = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
        self.number_of_bytes(3)?;
        Some(index as u64 + 1)
    }

    fn second_of_day(&mut self) -> Option<u64> {
        let hour = self.number(2)?;
        self.skip(b":")?;
        let minute = self.number(2)?;
        self.skip(b":")?;
        let second = self.number(2)?;
        // A leap second is the last of its day. It is read as the second before it, because a
        // cache rounds down what its clock cannot say (RFC 9111 section 4.2).
        let second = match (hour, minute, second) {
            (23, 59, 60) => 59,
            (_, _, second) => second,
        };
        (hour < 24 && minute < 60 && second < 60).then_some((hour * 60 + minute) * 60 + second)
    }

    /// `06 Nov 1994 08:49:37 GMT`
    fn fixdate(&mut self) -> Option<Parts> {
        let day = self.number(2)?;
        self.skip(b" ")?;
        let month = self.month()?;
        self.skip(b" ")?;
        let year = self.number(4)?;
        self.skip(b" ")?;
        let second_of_day = self.second_of_day()?;
        self.skip(b" GMT")?;
        Some(Parts { year, month, day, second_of_day })
    }

    /// `06-Nov-94 08:49:37 GMT`
    fn rfc850(&mut self, now_s: u64) -> Option<Parts> {
        let day = self.number(2)?;
        self.skip(b"-")?;
        let month = self.month()?;
        self.skip(b"-")?;
        let year = self.number(2)?;
        self.skip(b" ")?;
        let second_of_day = self.second_of_day()?;
        self.skip(b" GMT")?;
        let (this_year, _, _) = civil(now_s.min(MAX_S) / DAY_S);
        let candidate = this_year - this_year % 100 + year;
        // The century is chosen so that the date is at most 50 years ahead and, within that, the
        // latest (RFC 9110 section 5.6.7).
        let mut parts = Parts { year: candidate + 100, month, day, second_of_day };
        while parts.year > 1970 && parts.is_past(now_s, 50) {
            parts.year -= 100;
        }
        Some(parts)
    }

    /// ` Nov  6 08:49:37 1994`
    fn asctime(&mut self) -> Option<Parts> {
        self.skip(b" ")?;
        let month = self.month()?;
        self.skip(b" ")?;
        let day = if self.skip(b" ").is_some() { self.number(1)? } else { self.number(2)? };
        self.skip(b" ")?;
        let second_of_day = self.second_of_day()?;
        self.skip(b" ")?;
        let year = self.number(4)?;
        Some(Parts { year, month, day, second_of_day })
    }
}

impl Parts {
    /// Whether this lies more than `years` years after `now_s`.
    fn is_past(&self, now_s: u64, years: u64) -> bool {
        let now_s = now_s.min(MAX_S);
        let (year, month, day) = civil(now_s / DAY_S);
        let limit = (year + years, month, day, now_s % DAY_S);
        (self.year, self.month, self.day, self.second_of_day) > limit
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_len(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// 0 is Monday; the first day of 1970 was a Thursday.
fn weekday(day: u64) -> usize {
    ((day + 3) % 7) as usize
}

/// Days from the start of 1970 to a date, which must not lie before it. Years are counted from
/// March, so that the leap day ends one.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - DAYS_BEFORE_EPOCH
}

/// The inverse of [`days_since_epoch`]: year, month, day.
fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + DAYS_BEFORE_EPOCH;
    let era = day / DAYS_PER_ERA;
    let day = day % DAYS_PER_ERA;
    let year = (day - day / 1_460 + day / 36_524 - day / (DAYS_PER_ERA - 1)) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day_of_month)
}

/// Days from the first of March of year 0 to the first of January of 1970.
const DAYS_BEFORE_EPOCH: u64 = 719_468;
/// Days of 400 years.
const DAYS_PER_ERA: u64 = 146_097;
