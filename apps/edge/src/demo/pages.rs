//! What the demo's origin has to say: a few pages, each for one thing that an edge does.
//!
//! Content is a pure function of the path (and of `Accept-Language` for `/vary`), so that bytes can
//! be compared with and without the edge, today and tomorrow.

use std::fmt::Write as _;

/// One page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// `Cache-Control`, in the origin's words.
    pub(super) caching: &'static str,
    /// What it shows, for the page at `/`.
    pub(super) about: &'static str,
}

/// How a page's body is made and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The page that explains and links the others.
    Index,
    /// Text of this many bytes.
    Text(usize),
    /// Text that comes a second late.
    Slow,
    /// Text in [`CHUNKS_COUNT`] chunks, its length unknown beforehand.
    Chunked,
    /// A greeting in the language asked for.
    Greeting,
    /// A 500.
    Error,
}

/// The page at a path.
pub(super) fn page(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path)
}

/// The body of a page; for [`Kind::Greeting`] in the language given.
pub(super) fn body(page: &Page, language: &str) -> String {
    match page.kind {
        Kind::Index => index(),
        Kind::Text(bytes) => text(page.path, bytes),
        Kind::Slow => text(page.path, SMALL_BYTES),
        Kind::Chunked => text(page.path, CHUNK_BYTES * CHUNKS_COUNT),
        Kind::Greeting => {
            let greeting = GREETINGS.iter().find(|(tag, _)| *tag == language);
            format!("{}\n", greeting.map_or(GREETINGS[0].1, |(_, greeting)| greeting))
        }
        Kind::Error => "The origin cannot answer this one: a 500, on purpose.\n".to_owned(),
    }
}

/// The first language of an `Accept-Language` that there is a greeting in, else English.
pub(super) fn language(accept: &str) -> &'static str {
    let wanted = accept.split(',').map(|range| range.split([';', '-']).next().unwrap_or("").trim());
    let known = |wanted: &str| GREETINGS.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(wanted));
    wanted.filter_map(known).map(|(tag, _)| *tag).next().unwrap_or(GREETINGS[0].0)
}

/// Numbered lines, exactly `bytes` long, the last one cut where it must end.
fn text(path: &str, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + LINE_BYTES_MAX);
    let mut number = 0u64;
    while text.len() < bytes {
        number += 1;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{path} line {number}: Longhold's demo says the same every time.");
    }
    text.truncate(bytes.saturating_sub(1));
    text.push('\n');
    text
}

fn index() -> String {
    let mut rows = String::new();
    for page in &PAGES {
        let Page { path, caching, about, .. } = page;
        // Writing to a String cannot fail.
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"{path}\">{path}</a></td><td><code>{caching}</code></td>\
             <td>{about}</td></tr>"
        );
    }
    INDEX.replace("ROWS", &rows)
}

/// Chunks of [`Kind::Chunked`].
pub(super) const CHUNKS_COUNT: usize = 16;
/// Size of one such chunk.
pub(super) const CHUNK_BYTES: usize = 1024;
const SMALL_BYTES: usize = 1024;
const LINE_BYTES_MAX: usize = 128;
const GREETINGS: [(&str, &str); 4] = [
    ("en", "Good day from the origin."),
    ("de", "Guten Tag vom Ursprung."),
    ("fr", "Bonjour de la part de l'origine."),
    ("es", "Buenos días desde el origen."),
];

pub(super) const PAGES: [Page; 12] = [
    Page { path: "/", kind: Kind::Index, caching: "public, max-age=60", about: "this page" },
    Page {
        path: "/1k",
        kind: Kind::Text(1 << 10),
        caching: "public, max-age=300",
        about: "1 KiB of text",
    },
    Page {
        path: "/16k",
        kind: Kind::Text(16 << 10),
        caching: "public, max-age=300",
        about: "16 KiB of text",
    },
    Page {
        path: "/100k",
        kind: Kind::Text(100 << 10),
        caching: "public, max-age=300",
        about: "100 KiB of text",
    },
    Page {
        path: "/1m",
        kind: Kind::Text(1 << 20),
        caching: "public, max-age=300",
        about: "1 MiB of text",
    },
    Page {
        path: "/private",
        kind: Kind::Text(SMALL_BYTES),
        caching: "no-store",
        about: "never stored: each request reaches the origin",
    },
    Page {
        path: "/slow",
        kind: Kind::Slow,
        caching: "public, max-age=60",
        about: "the origin takes a second; many who ask at once wait for one fetch",
    },
    Page {
        path: "/chunked",
        kind: Kind::Chunked,
        caching: "public, max-age=60",
        about: "16 KiB in chunks, its length unknown beforehand",
    },
    Page {
        path: "/vary",
        kind: Kind::Greeting,
        caching: "public, max-age=60",
        about: "a greeting that varies by Accept-Language: en, de, fr, es",
    },
    Page {
        path: "/stale",
        kind: Kind::Text(SMALL_BYTES),
        caching: "public, max-age=2, stale-while-revalidate=30, stale-if-error=60",
        about: "fresh for two seconds, then served stale while it is fetched anew",
    },
    Page {
        path: "/error",
        kind: Kind::Error,
        caching: "no-store",
        about: "the origin answers 500",
    },
    Page {
        path: "/range",
        kind: Kind::Text(8 << 20),
        caching: "public, max-age=300",
        about: "8 MiB of text, in parts: curl -r 0-99",
    },
];

const INDEX: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Longhold demo</title>
<style>
  body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
  body { font: 16px/1.5 system-ui, sans-serif; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; }
  td, th { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid #8886; }
</style>
<h1>Longhold demo</h1>
<p>An origin stands behind this edge and made this page. Ask twice, and the second answer comes
from the edge's store: its <code>Cache-Status</code> says <code>hit</code>, its <code>Age</code>
how old it is. <code>curl -i</code> shows both.</p>
<div class="wide"><table>
<tr><th>page</th><th>the origin's Cache-Control</th><th>what it shows</th></tr>
ROWS</table></div>
</html>
"#;
