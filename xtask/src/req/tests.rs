//! Tables of requirements: their form, and how they stand.

use super::table::{Evidence, Kind, parse};
use super::{Files, Standing};

const TABLE: &str = "\
# Of one RFC.
RFC 9111 section 3
MUST NOT store this
  code Cargo.toml: [workspace]
  test README.md: Longhold

SHOULD do that
  code Cargo.toml: [workspace]
RFC 9111 section 4.2.1
MAY leave this
  except Cargo.toml: members
MUST do what nobody does
";

#[test]
fn a_requirement_stands_as_its_places_say() {
    let requirements = parse(TABLE).unwrap();
    let standings: Vec<Standing> = requirements.iter().map(Standing::of).collect();
    assert_eq!(standings, Standing::ALL);
    assert_eq!(requirements[2].to_string(), "RFC 9111 section 4.2.1: MAY leave this");
    assert_eq!(requirements[0].evidence[1].to_string(), "test README.md: Longhold");
}

#[test]
fn places_that_are_gone_are_found() {
    let mut files = Files::default();
    let place = |path: &str, words: &str| Evidence {
        kind: Kind::Code,
        path: path.to_owned(),
        words: words.to_owned(),
    };
    assert!(files.hold(&place("Cargo.toml", "[workspace]")));
    assert!(!files.hold(&place("Cargo.toml", "words that no manifest has")));
    assert!(!files.hold(&place("no/such/file", "")));
}

#[test]
fn what_has_no_meaning_is_refused_by_its_line() {
    for (text, line) in [
        ("MUST hang in the air", "line 1"),
        ("RFC 9111 section 3\n  code Cargo.toml: x", "line 2"),
        ("RFC 9111 section 3\nMUST do\n  proof Cargo.toml: x", "line 3"),
        ("RFC 9111 section 3\nMUST do\n  code Cargo.toml", "line 3"),
        ("RFC nine section 3", "line 1"),
        ("\nOUGHT to do", "line 2"),
    ] {
        let error = format!("{:#}", parse(text).unwrap_err());
        assert!(error.contains(line), "{text:?}: {error}");
    }
}
