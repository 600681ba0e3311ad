//! `edge explain URL` and `edge cache get URL`: what a running edge knows of a URL, in words.

use std::fmt::Write as _;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::admin::{ExplainAsk, client};
use crate::cli::{RunningEdge, print};
use crate::config::checked::Admin;

/// Options of `edge explain` and `edge cache get`.
#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// The URL as clients ask for it
    url: String,
    /// A field that the request has; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The request's method
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    edge: RunningEdge,
}

/// What can be asked of a running edge's store.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Shows the stored response of a URL: its fields, age and tags. Exit code 1 without one
    Get(ExplainOptions),
}

/// `edge explain`
///
/// # Errors
/// The config's faults, or why the running edge explains nothing.
pub fn explain(options: &ExplainOptions) -> anyhow::Result<()> {
    let said = options.ask()?;
    if options.json {
        return print(&format!("{said:#}\n"));
    }
    print(&explanation(&options.url, &said))
}

/// `edge cache …`
///
/// # Errors
/// The config's faults, why the running edge says nothing, or that nothing is stored.
pub fn cache(command: &CacheCommand) -> anyhow::Result<()> {
    let CacheCommand::Get(options) = command;
    let said = options.ask()?;
    let stored = &said["stored"];
    if options.json {
        print(&format!("{stored:#}\n"))?;
    }
    if stored.is_null() {
        bail!("{} is not stored; edge explain says more", options.url);
    }
    if options.json { Ok(()) } else { print(&stored_response(stored)) }
}

impl ExplainOptions {
    fn ask(&self) -> anyhow::Result<Value> {
        let Admin { address, token } = self.edge.admin()?;
        let (url, fields, method) = (self.url.clone(), self.header.clone(), self.method.clone());
        let ask = ExplainAsk { url, fields, method };
        Ok(client::explain(&address, token.as_deref(), &ask)?)
    }
}

/// The stored response as a head, with what the edge knows beside it.
fn stored_response(stored: &Value) -> String {
    let mut text = format!("HTTP/1.1 {}\n", plain(&stored["status"]));
    for field in stored["fields"].as_array().into_iter().flatten() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}", plain(&field[0]), plain(&field[1]));
    }
    text.push('\n');
    line(&mut text, "body", &body_of(stored));
    line(&mut text, "fresh", &freshness(&stored["freshness"]));
    text
}

/// A column of names, and what is to say of each.
fn explanation(url: &str, said: &Value) -> String {
    let mut text = format!("{} {url}\n", plain(&said["method"]));
    line(&mut text, "key", &plain(&said["key"]));
    if let Some(vary) = said["vary"].as_object() {
        let names = vary.iter().map(|(name, value)| {
            if value.is_null() {
                format!("{name} (not sent)")
            } else {
                format!("{name} = {}", plain(value))
            }
        });
        line(&mut text, "varies by", &names.collect::<Vec<_>>().join(", "));
    }
    let stored = &said["stored"];
    if stored.is_null() {
        line(&mut text, "stored", "no");
    } else {
        let status = plain(&stored["status"]);
        line(&mut text, "stored", &format!("{status}, {}", body_of(stored)));
        line(&mut text, "because", &because(&stored["storing"], "because"));
        line(&mut text, "fresh", &freshness(&stored["freshness"]));
        for (name, key) in [("ETag", "etag"), ("modified", "last_modified")] {
            if !stored[key].is_null() {
                line(&mut text, name, &plain(&stored[key]));
            }
        }
        let tags: Vec<String> =
            stored["tags"].as_array().into_iter().flatten().map(plain).collect();
        if !tags.is_empty() {
            line(&mut text, "tags", &tags.join(", "));
        }
        if stored["soft_purged"] == true {
            line(&mut text, "purged", "softly: it counts as stale");
        }
    }
    let why_not = &said["not_stored"];
    if stored.is_null() && !why_not.is_null() {
        let told = format!("the last response was not: {}", because(why_not, "reason"));
        line(&mut text, "not stored", &told);
    }
    if said["being_fetched"] == true {
        line(&mut text, "fetching", "now");
    }
    next(&mut text, &said["next"]);
    text
}

fn next(text: &mut String, next: &Value) {
    let act = match plain(&next["act"]).as_str() {
        "serve" => "is served from the store".to_owned(),
        "serve-and-refresh" => "is served from the store, which is refreshed meanwhile".to_owned(),
        "validate" => "asks the origin whether the stored response still holds".to_owned(),
        "fetch" if next["joins"] == true => "joins the fetch that is under way".to_owned(),
        "fetch" => "asks the origin, and stores what it may".to_owned(),
        "pass" => "is passed to the origin, and nothing is stored".to_owned(),
        _ => format!("is answered by the edge with {}", plain(&next["status"])),
    };
    line(text, "next", &format!("{act}: {}", because(next, "because")));
    if !next["form"].is_null() {
        let told = format!("{}, {}", plain(&next["status"]), because(&next["form"], "because"));
        line(text, "answer", &told);
    }
    if !next["on_error"].is_null() {
        line(text, "on error", &because(&next["on_error"], "because"));
    }
}

fn body_of(stored: &Value) -> String {
    let mut text = format!("{} bytes", plain(&stored["body_bytes"]));
    if let Some([start, end]) = stored["missing"].as_array().map(Vec::as_slice) {
        // Writing to a String cannot fail.
        let _ = write!(text, ", of which {start} to {end} are gone");
    }
    text
}

fn freshness(freshness: &Value) -> String {
    let ttl_s = freshness["ttl_s"].as_i64().unwrap_or_default();
    let state = if ttl_s > 0 { format!("for {ttl_s} s more") } else { "no".to_owned() };
    let (age, lifetime) = (plain(&freshness["age_s"]), plain(&freshness["lifetime_s"]));
    let mut text =
        format!("{state}: age {age} s of {lifetime} s, by {}", because(freshness, "because"));
    for (key, word) in [
        ("stale_while_revalidate_s", "stale-while-revalidate"),
        ("stale_if_error_s", "stale-if-error"),
    ] {
        if freshness[key] != 0 {
            let _ = write!(text, "; {word} {} s", plain(&freshness[key]));
        }
    }
    for (key, word) in [("must_revalidate", "never stale"), ("no_cache", "validated each time")] {
        if freshness[key] == true {
            let _ = write!(text, "; {word}");
        }
    }
    text
}

/// A reason with its clause behind it.
fn because(value: &Value, key: &str) -> String {
    let what = plain(&value[key]);
    match value["clause"].as_str() {
        Some(clause) => format!("{what} ({clause})"),
        None => what,
    }
}

/// Text without its quotes; control characters, which an origin may have sent, as escapes.
fn plain(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.chars().flat_map(shown).collect(),
        None => value.to_string(),
    }
}

fn shown(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

fn line(text: &mut String, name: &str, told: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {name:<10}  {told}");
}
