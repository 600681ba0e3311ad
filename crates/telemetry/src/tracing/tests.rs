//! Both formats of the start-up log, through a shared buffer.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ::tracing::{Level, debug, info};

use super::{Format, SetupError, init, subscriber};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while held").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: Format) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = subscriber(format, Level::INFO, false, move || writer.clone());
    ::tracing::subscriber::with_default(subscriber, || {
        info!(workers = 2, transport = "uring", "ready");
        debug!("not shown");
    });
    let bytes = buffer.0.lock().expect("no panic while held").clone();
    String::from_utf8(bytes).expect("log lines are text")
}

#[test]
fn json_lines_are_objects_with_fields_at_the_top() {
    let text = logged(Format::Json);
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).expect("a JSON object");
    assert_eq!(line["message"], "ready");
    assert_eq!(line["workers"], 2);
    assert_eq!(line["transport"], "uring");
    assert_eq!(line["level"], "INFO");
}

#[test]
fn text_lines_are_plain_off_a_terminal() {
    let text = logged(Format::Text);
    assert!(text.contains("INFO ready workers=2 transport=\"uring\""), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_second_set_up_is_refused() {
    // Another test of this process may have been first; the second call is refused either way.
    let _ = init(Format::Text, Level::ERROR);
    assert_eq!(init(Format::Json, Level::INFO), Err(SetupError::AlreadySet));
}
