//! What a request target asks the origin to do: size by path, everything else by query.

use std::time::Duration;

use longhold_loadgen::content::Content;

/// How to answer one request for `/bytes/N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The body.
    pub(super) content: Content,
    /// Status code, 200 to 599.
    pub(super) status: u16,
    /// Value of `Cache-Control`.
    pub(super) cache_control: Option<String>,
    /// Value of `Vary`.
    pub(super) vary: Option<String>,
    /// Wait before the head.
    pub(super) delay: Duration,
    /// Chunked framing instead of a length.
    pub(super) chunked: bool,
    /// Break off after so many bytes of the body.
    pub(super) cut_bytes: Option<u64>,
    /// Break off after so many bytes of the head.
    pub(super) cut_head_bytes: Option<usize>,
    /// End the connection by a reset: at the cut, or else after the answer.
    pub(super) reset: bool,
    /// Answer to a range with it.
    pub(super) ranges: bool,
    /// Send so many bytes more than announced, behind the body.
    pub(super) extra_bytes: u64,
    /// Send an entity tag, and answer 304 to one that matches.
    pub(super) etag: bool,
    /// Close after the answer, and say so.
    pub(super) close: bool,
}

impl Script {
    /// Parses a target; `Ok(None)` when it is not of the form `/bytes/N`.
    ///
    /// # Errors
    /// The first parameter that is unknown or out of bounds, in words.
    pub(super) fn parse(target: &str) -> Result<Option<Self>, String> {
        let Some(content) = Content::of_target(target) else { return Ok(None) };
        let mut script = Self {
            content,
            status: 200,
            cache_control: None,
            vary: None,
            delay: Duration::ZERO,
            chunked: false,
            cut_bytes: None,
            cut_head_bytes: None,
            reset: false,
            ranges: false,
            extra_bytes: 0,
            etag: true,
            close: false,
        };
        let query = target.split_once('?').map_or("", |(_, query)| query);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            script.set(name, value).ok_or_else(|| format!("bad parameter {parameter:?}"))?;
        }
        Ok(Some(script))
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "status" => self.status = value.parse().ok().filter(|s| (200..=599).contains(s))?,
            "max_age" => {
                let seconds: u32 = value.parse().ok()?;
                self.cache_control = Some(format!("max-age={seconds}"));
            }
            "cache_control" => self.cache_control = Some(field_value(value)?),
            "vary" => self.vary = Some(field_value(value)?),
            "delay_ms" => {
                let ms = value.parse().ok().filter(|ms| *ms <= DELAY_MS_MAX)?;
                self.delay = Duration::from_millis(ms);
            }
            "chunked" => self.chunked = switch(value)?,
            "cut" => self.cut_bytes = Some(value.parse().ok()?),
            "cut_head" => self.cut_head_bytes = Some(value.parse().ok()?),
            "reset" => self.reset = switch(value)?,
            "ranges" => self.ranges = switch(value)?,
            "extra" => self.extra_bytes = value.parse().ok().filter(|n| *n <= EXTRA_BYTES_MAX)?,
            "etag" => self.etag = switch(value)?,
            "close" => self.close = switch(value)?,
            // Makes further keys of the same object.
            "key" => {}
            _ => return None,
        }
        Some(())
    }

    /// Whether the connection ends with the answer, whoever asks.
    pub(super) fn ends_connection(&self) -> bool {
        self.close || self.reset
    }

    /// The entity tag, quoted.
    pub(super) fn entity_tag(&self) -> String {
        format!("\"{:016x}\"", self.content.name())
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

/// A field value as it may stand in a query: `+` is a space, the rest is taken literally.
fn field_value(value: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=,.;*+".contains(&byte);
    let valid = !value.is_empty() && value.bytes().all(plain);
    valid.then(|| value.replace('+', " "))
}

/// What `/` answers, and `--help` adds.
pub(super) const HELP: &str = "\
GET /bytes/N[/name]    N bytes that follow from the path; nothing is stored, so a million names
                       cost what one does. Parameters stand behind '?', joined by '&':
  status=200..599      status code
  max_age=S            Cache-Control: max-age=S
  cache_control=V      Cache-Control: V, '+' for a space
  vary=V               Vary: V
  delay_ms=MS          wait before the head, at most 60000
  chunked=1            chunked framing instead of a length
  ranges=1             answer to Range: bytes=… with 206 or 416; several ranges get the whole
  cut=BYTES            break off after so many bytes of the body
  cut_head=BYTES       break off after so many bytes of the head; 0 answers nothing
  reset=1              break off by a reset: at the cut, or after the answer
  extra=BYTES          so many bytes more than announced, at most 65536
  etag=0               no entity tag
  close=1              close after the answer
  key=ANY              makes further keys of the same object
GET /events?interval=T numbered events without end, one each 250ms, 10s, …; for more than 1,000
                       streams there is conn-bomb echo
POST or PUT /upload    counts and hashes the body
GET /stats             counts so far
";

const EXTRA_BYTES_MAX: u64 = 64 << 10;
const DELAY_MS_MAX: u64 = 60_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Script;

    fn check(target: &str, expected: impl Fn(&Script) -> bool) {
        let script = Script::parse(target).expect("valid").expect("a script");
        assert!(expected(&script), "{target}: {script:?}");
    }

    #[test]
    fn parameters_set_what_they_name() {
        check("/bytes/5", |s| s.status == 200 && s.etag && !s.chunked && s.cache_control.is_none());
        check("/bytes/5?status=503", |s| s.status == 503);
        check("/bytes/5?max_age=60", |s| s.cache_control.as_deref() == Some("max-age=60"));
        check("/bytes/5?cache_control=no-store,+private", |s| {
            s.cache_control.as_deref() == Some("no-store, private")
        });
        check("/bytes/5?vary=Accept-Encoding&delay_ms=7&cut=3", |s| {
            s.vary.as_deref() == Some("Accept-Encoding")
                && s.delay == Duration::from_millis(7)
                && s.cut_bytes == Some(3)
        });
        check("/bytes/5?extra=9", |s| s.extra_bytes == 9);
        check("/bytes/5?cut_head=7&reset=1", |s| s.cut_head_bytes == Some(7) && s.reset);
        check("/bytes/5?ranges=1", |s| s.ranges && !s.ends_connection());
        check("/bytes/5?reset=1&ranges=0", |s| !s.ranges && s.ends_connection());
        check("/bytes/5/x?chunked=1&etag=0&close=1&key=9", |s| s.chunked && !s.etag && s.close);
    }

    #[test]
    fn bad_parameters_are_named_and_other_paths_are_no_scripts() {
        for query in [
            "status=99",
            "max_age=x",
            "delay_ms=60001",
            "extra=65537",
            "cut_head=-1",
            "reset=yes",
            "ranges=",
            "chunked=2",
            "nonsense=1",
            "vary=",
        ] {
            let error = Script::parse(&format!("/bytes/5?{query}")).expect_err(query);
            assert!(error.contains(query), "{error}");
        }
        assert_eq!(Script::parse("/stats"), Ok(None));
        assert_eq!(Script::parse("/bytes/x"), Ok(None));
    }
}
