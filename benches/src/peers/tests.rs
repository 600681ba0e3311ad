//! What can be shown of peers without having any: their files, and who counts as theirs.

use std::path::Path;
use std::process::Command;

use super::{
    Identity, Kind, free_address, haproxy_config, nginx_config, varnish_config, with_descendants,
};

#[test]
fn configurations_name_both_addresses_and_balance_their_braces() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let address = "127.0.0.1:8001".parse().expect("an address");
    let origin = "127.0.0.1:9000".parse().expect("an address");
    let nginx = nginx_config((address, origin), None, scratch.path());
    let haproxy = haproxy_config(address, origin, None);
    assert!(!nginx.contains("ssl") && !haproxy.contains("ssl"));
    let identity = Identity { certificate: "/c.pem".into(), key: "/k.pem".into() };
    let secure = nginx_config((address, origin), Some(&identity), scratch.path());
    assert!(secure.contains("listen 127.0.0.1:8001 ssl ") && secure.contains("_key /k.pem;"));
    let secure = haproxy_config(address, origin, Some(Path::new("/both.pem")));
    assert!(secure.contains(" ssl crt /both.pem "));
    assert!(nginx.contains("listen 127.0.0.1:8001 ") && nginx.contains("server 127.0.0.1:9000;"));
    assert!(haproxy.contains("bind 127.0.0.1:8001 ") && haproxy.contains("one 127.0.0.1:9000"));
    let varnish = varnish_config(origin);
    assert!(varnish.contains(".port = \"9000\""));
    for text in [nginx, haproxy, varnish] {
        let count = |brace| text.matches(brace).count();
        assert_eq!(count('{'), count('}'), "{text}");
    }
}

#[test]
fn a_command_points_into_its_own_folder() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    for kind in Kind::ALL {
        let (address, origin) = (free_address().expect("a port"), free_address().expect("a port"));
        let command = kind.command((address, origin), None, scratch.path()).expect("a command");
        let inside = |arg: &std::ffi::OsStr| scratch.path().join(arg).starts_with(scratch.path());
        assert!(command.get_args().filter(|arg| arg.len() > 40).all(inside), "{command:?}");
    }
}

#[test]
fn children_belong_to_their_parents() {
    let mut child = Command::new("sleep").arg("60").spawn().expect("sleep runs");
    let family = with_descendants(std::process::id());
    assert!(family.contains(&child.id()), "{family:?}");
    assert_eq!(with_descendants(child.id()), [child.id()]);
    child.kill().expect("killed");
    child.wait().expect("ended");
}
