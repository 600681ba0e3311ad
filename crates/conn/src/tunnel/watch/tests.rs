//! The end is found wherever the bytes are cut, and not one byte behind it is passed on.

use longhold_http1::{Chunked, Limits};

use super::{Passed, Watch};

/// What is passed on of `bytes` that come in pieces of `size`, and whether the end was found.
fn passed(mut watch: Watch, bytes: &[u8], size: usize) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        match watch.pass(piece, &Limits::default()).expect("whole framing") {
            Passed::All => out.extend_from_slice(piece),
            Passed::Last(len) => {
                out.extend_from_slice(&piece[..len]);
                return (out, true);
            }
        }
    }
    (out, false)
}

#[test]
fn the_end_is_where_the_framing_says_for_every_cut() {
    let chunked = b"5\r\ndata:\r\n7;x=y\r\n hello\n\r\n0\r\nT: 1\r\n\r\n";
    let behind = b"HTTP/1.1 200 OK\r\n\r\n";
    let cases: [(Watch, &[u8]); 2] =
        [(Watch::Chunked(Chunked::new()), chunked), (Watch::Length(12), b"data: hello\n")];
    for (watch, body) in cases {
        for size in 1..=body.len() + behind.len() {
            let all = [body, behind].concat();
            assert_eq!(passed(watch.clone(), &all, size), (body.to_vec(), true), "{size}");
            let part = &body[..body.len() - 1];
            assert_eq!(passed(watch.clone(), part, size), (part.to_vec(), false), "{size}");
        }
        assert!(!watch.ends_with_connection(), "its end is a cut");
    }
    assert_eq!(passed(Watch::UntilClose, behind, 3), (behind.to_vec(), false));
    assert!(Watch::UntilClose.ends_with_connection());
}

#[test]
fn broken_framing_is_told() {
    let mut watch = Watch::Chunked(Chunked::new());
    assert!(watch.pass(b"5\r\ndata:x", &Limits::default()).is_err());
}
