//! Starts that fail: each says why and what to do, and nothing is lost.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::stage::{Edge, FRESH, Origin, Setting, reply};

/// It does not come up, with this code, and says all of this.
fn check(setting: &Setting, code: i32, said: &[&str]) {
    let output = setting.fails_to_start();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    let last = text.lines().rev().find(|line| line.starts_with("edge: ")).unwrap_or(&text);
    for part in said {
        assert!(last.contains(part), "{part:?} is not in {last:?}");
    }
}

/// An edge with one object in its store.
fn filled(origin: &Origin) -> Edge {
    let edge = Setting::before(origin).on_disk().start();
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    origin.call().answer(reply("200 OK", &[FRESH], "page"));
    assert_eq!(client.response().body, b"page");
    edge.wait_for_stored(1);
    edge
}

/// The object is there, and the origin is not asked for it.
fn has_all(edge: &Edge) {
    let hit = edge.client().get("/page");
    assert!(hit.is_hit() && hit.body == b"page", "{hit:?}");
    assert_eq!(edge.fetches(), 0);
}

#[test]
fn port_in_use_is_named() {
    let origin = Origin::start();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("a bound socket");
    let setting = Setting::before(&origin).listener(address);
    let named = address.to_string();
    check(&setting, 1, &[&named, "in use", "stop"]);
    assert!(!setting.folder().join("store").exists(), "the store was made before the failure");
    drop(taken);
    drop(setting.start());
}

/// Listeners share their port among the workers of one process, and with nobody else.
#[test]
fn port_of_another_edge_is_in_use() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let setting = Setting::before(&origin).listener(edge.address());
    check(&setting, 1, &[&edge.address().to_string(), "in use"]);
}

#[test]
fn store_of_a_running_edge_is_locked() {
    let origin = Origin::start();
    let mut edge = filled(&origin);
    let path = edge.folder().join("store");
    let setting = Setting::before(&origin).store_at(&path);
    let named = path.display().to_string();
    check(&setting, 1, &[&named, "in use by another process", "choose another path"]);
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0));
    has_all(&edge.start_again());
}

/// The files that say what a store is, as they were.
struct SuperBlocks(Vec<(PathBuf, Vec<u8>)>);

impl SuperBlocks {
    fn of(store: &Path) -> Self {
        let paths = ["super.0", "super.1"].map(|name| store.join(name));
        let read = |path: PathBuf| (path.clone(), fs::read(path).expect("a super block"));
        Self(paths.into_iter().map(read).collect())
    }

    /// Writes both with a change.
    fn write(&self, change: impl Fn(&mut [u8])) {
        for (path, bytes) in &self.0 {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            fs::write(path, bytes).expect("a super block");
        }
    }
}

#[test]
fn store_of_another_version_or_shape_is_left_alone() {
    let origin = Origin::start();
    let mut edge = filled(&origin);
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0));
    let store = edge.folder().join("store");
    let named = store.display().to_string();
    let setting = Setting::before(&origin).store_at(&store);

    let super_blocks = SuperBlocks::of(&store);
    // Bytes 8 to 11 are the version.
    super_blocks.write(|bytes| bytes[8..12].copy_from_slice(&99_u32.to_le_bytes()));
    check(&setting, 1, &[&named, "format version 99", "this program reads version", "remove"]);
    super_blocks.write(|bytes| bytes.fill(0xA5));
    check(&setting, 1, &[&named, "damaged", "remove the directory"]);
    super_blocks.write(|_| {});
    let other = Setting::before(&origin).store("size = \"128MiB\"\nsegment = \"4MiB\"");
    let other = other.store_at(&store);
    check(&other, 1, &[&named, "16 segments of 4194304", "32 of 4194304", "restore the old size"]);
    has_all(&edge.start_again());
}

#[test]
fn disk_without_room_is_told_and_left_as_it_was() {
    let origin = Origin::start();
    let store = "size = \"60TiB\"\nsegment = \"64MiB\"\nobjects_max = 1024";
    let setting = Setting::before(&origin).store(store);
    check(&setting, 1, &["bytes on disk", "are available", "choose a smaller size"]);
    let store = setting.folder().join("store");
    let left = fs::read_dir(&store).map_or(0, |files| {
        let sizes = files.map(|file| file.expect("a file").metadata().expect("a file").len());
        sizes.sum::<u64>()
    });
    assert!(left < 1 << 20, "{left} bytes are left in {}", store.display());
    drop(setting.store("size = \"64MiB\"").start());
}

#[test]
fn authorities_that_cannot_be_read_are_named() {
    let setting = Setting::before_url("https://127.0.0.1:1", "ca = \"ca.pem\"");
    let text = String::from_utf8(setting.fails_to_start().stderr).expect("text");
    assert!(text.contains("site.origin.ca: cannot be read"), "{text}");
    assert!(text.contains("remedy: name a file that"), "{text}");
    let path = setting.folder().join("ca.pem");
    fs::write(&path, "not a certificate\n").expect("a writable folder");
    check(&setting, 1, &["CA file", &path.display().to_string()]);
}

#[test]
fn faulty_config_is_told_with_its_place_and_code_2() {
    let origin = Origin::start();
    let setting = Setting::before(&origin).server("wokers = 3");
    let output = setting.fails_to_start();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let place =
        format!("{}/edge.toml:3:1: server.wokers: unknown key\n", setting.folder().display());
    assert!(text.starts_with(&place) && text.contains("did you mean server.workers?"), "{text}");
}

/// The socket file that a killed edge left behind is no obstacle; one that answers is.
#[test]
fn admin_socket_of_a_dead_edge_is_taken_over_and_that_of_a_living_one_is_not() {
    let origin = Origin::start();
    let mut edge = filled(&origin);
    let socket = edge.folder().join("admin");
    let setting = Setting::before(&origin).admin_at(&socket);
    check(&setting, 1, &[&socket.display().to_string(), "in use"]);
    edge.kill();
    assert!(socket.exists());
    has_all(&edge.start_again());
}
