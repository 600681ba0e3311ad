//! What becomes of unusable CA files and names.

use std::path::Path;

use super::{client_config, server_name};
use crate::error::ConfigError;

fn refused(content: Option<&str>) -> ConfigError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    if let Some(content) = content {
        std::fs::write(&path, content).unwrap();
    }
    let error = client_config(Some(&path)).err().unwrap();
    assert!(error.to_string().contains("ca.pem"), "{error}");
    error
}

#[test]
fn an_unusable_ca_file_says_what_is_wrong() {
    assert!(matches!(
        refused(None),
        ConfigError::CaFileUnreadable { kind: std::io::ErrorKind::NotFound, .. }
    ));
    assert!(matches!(refused(Some("")), ConfigError::CaFileEmpty(_)));
    assert!(matches!(refused(Some("not a certificate\n")), ConfigError::CaFileEmpty(_)));
    let open = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(matches!(refused(Some(open)), ConfigError::CaFileMalformed(_)));
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(refused(Some(hollow)), ConfigError::CaFileMalformed(_)));
    assert!(client_config(Some(Path::new("/"))).is_err());
}

#[test]
fn names_and_addresses_can_be_certified() {
    for host in ["example.com", "localhost", "127.0.0.1", "::1"] {
        assert!(server_name(host).is_ok(), "{host}");
    }
    assert_eq!(server_name("a_b..c").err(), Some(ConfigError::HostName("a_b..c".to_owned())));
}

#[test]
fn without_a_ca_file_the_platform_is_asked() {
    match client_config(None) {
        Ok(config) => assert_eq!(config.alpn_protocols, [b"http/1.1"]),
        Err(error) => assert_eq!(error, ConfigError::NoPlatformRoots),
    }
}
