//! What `edge check` prints: the values that hold, and the memory and disk that they imply.
//!
//! The text form is itself a config (CF-3): what the file did not say is marked as default, the
//! memory and the disk are comments at the end, and secrets are left as comments.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::SECRET;
use super::checked::{Checked, Effective};
use super::memory::{DiskPlan, MemoryPlan};

/// The text form.
#[must_use]
pub fn text(config: &Checked) -> String {
    let mut text = format!(
        "# {} is valid. These values hold; \"default\" marks what it does not say.\n",
        config.file
    );
    let mut table = None;
    for value in &config.effective {
        let here = (value.header, value.index);
        if table.replace(here) != Some(here) {
            let _ = writeln!(text, "\n{}", value.header);
        }
        let _ = writeln!(text, "{}", line(value));
    }
    text.push_str("\n# Memory that these values imply:\n");
    text.push_str(&MemoryPlan::of(config).text("# "));
    text.push_str("\n# Disk:\n");
    text.push_str(&DiskPlan::of(config).text("# "));
    text
}

/// The object for `--json`.
#[must_use]
pub fn json(config: &Checked) -> Value {
    let value = |value: &Effective| {
        json!({
            "key": value.knob.key,
            "table": value.index,
            "value": value.value,
            "default": !value.set,
        })
    };
    let mut object = Map::new();
    object.insert("valid".into(), json!(true));
    object.insert("file".into(), json!(config.file));
    object.insert("values".into(), config.effective.iter().map(value).collect());
    object.insert("memory".into(), MemoryPlan::of(config).json());
    object.insert("disk".into(), DiskPlan::of(config).json());
    Value::Object(object)
}

/// One value as a line of TOML; JSON's numbers, strings and lists of strings are TOML's as well.
fn line(effective: &Effective) -> String {
    let name = effective.knob.name();
    let Effective { value, set, .. } = effective;
    match value {
        Value::Null => format!("# {name} is not set"),
        Value::String(text) if text == SECRET => format!("# {name} is set, and secret"),
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            let assignment = format!("{name} = {value}");
            if *set { assignment } else { format!("{assignment:<40} # default") }
        }
    }
}
