//! Addresses need no resolver, `localhost` is everywhere, and a label of 64 bytes nowhere.

use std::net::SocketAddr;

use super::Resolver;
use crate::error::FetchError;

fn resolve(host: &str) -> Result<Vec<SocketAddr>, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let resolver = Resolver::new(host, 80);
        let first = resolver.addresses().await;
        assert_eq!(resolver.addresses().await, first);
        first
    })
}

#[test]
fn addresses_stand_for_themselves() {
    assert_eq!(resolve("127.0.0.9"), Ok(vec!["127.0.0.9:80".parse().unwrap()]));
    assert_eq!(resolve("::1"), Ok(vec!["[::1]:80".parse().unwrap()]));
}

#[test]
fn names_are_looked_up() {
    assert!(resolve("localhost").unwrap().iter().all(|address| address.ip().is_loopback()));
}

#[test]
fn a_name_that_cannot_exist_is_a_dns_error() {
    assert_eq!(resolve(&"a".repeat(64)), Err(FetchError::Dns));
}
