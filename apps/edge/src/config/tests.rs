//! The config: every rule with its exact message, the table of knobs walked, what check prints.

mod knobs;
mod names;
mod rules;
mod table;
mod units;

use std::path::PathBuf;

use super::{Checked, Faults, Source, check};

/// The least that a config must say.
const BASE: &str = "\
[[listener]]
address = \"127.0.0.1:8080\"
[[site]]
hosts = [\"*\"]
origin = { urls = [\"http://127.0.0.1:9000\"] }
";

/// Checks a text as if it were a file on a host with two cores.
fn check_text(text: &str) -> Result<Checked, Faults> {
    check(&Source {
        name: "edge.toml".to_owned(),
        text: text.to_owned(),
        folder: PathBuf::from("/etc/longhold"),
        cores: 2,
    })
}

/// The faults of a text, as they are printed; empty when it has none.
fn faults(text: &str) -> String {
    check_text(text).err().map_or_else(String::new, |faults| faults.to_string())
}
