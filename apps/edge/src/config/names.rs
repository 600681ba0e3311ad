//! Host patterns, origin URLs and addresses: text in, checked values out. Pure.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::checked::{AdminAddress, HostPattern, OriginUrl};

/// Reads a host pattern; `None` when it is none.
pub(super) fn host_pattern(text: &str) -> Option<HostPattern> {
    if text == "*" {
        return Some(HostPattern::Any);
    }
    if let Some(suffix) = text.strip_prefix("*.") {
        return is_name(suffix).then(|| HostPattern::Below(format!(".{}", lower(suffix))));
    }
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().ok()?;
        return Some(HostPattern::Exact(format!("[{address}]")));
    }
    is_name(text).then(|| HostPattern::Exact(lower(text)))
}

/// Reads the URL of an origin; `None` when it is none. A path other than `/` is refused, because
/// it would be ignored.
pub(super) fn origin_url(text: &str) -> Option<OriginUrl> {
    let url: OriginUrl = text.parse().ok()?;
    match url.host.parse::<Ipv6Addr>() {
        Ok(address) => Some(OriginUrl { host: address.to_string(), ..url }),
        Err(_) => is_name(&url.host).then_some(url),
    }
}

/// Reads an admin address; unix paths are relative to `folder`.
pub(super) fn admin_address(text: &str, folder: &Path) -> Option<AdminAddress> {
    match text.strip_prefix("unix:") {
        Some("") => None,
        Some(path) => Some(AdminAddress::Unix(folder.join(path))),
        None => text.parse::<SocketAddr>().ok().map(AdminAddress::Tcp),
    }
}

/// The reading for the command line, where unix paths are relative to the working folder.
///
/// # Errors
/// A sentence that says what form is needed.
pub fn parse_admin_address(text: &str) -> Result<AdminAddress, String> {
    admin_address(text, &PathBuf::new())
        .ok_or_else(|| "needs IP:port such as 127.0.0.1:9900, or unix:PATH".to_owned())
}

/// A DNS name or an IPv4 address: labels of letters, digits, `-` and `_`, as hosts use them.
fn is_name(text: &str) -> bool {
    let label_ok = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.len() <= NAME_BYTES_MAX
        && text.split('.').all(label_ok)
        && (!numeric || text.parse::<Ipv4Addr>().is_ok())
}

fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// RFC 1035 section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;
/// RFC 1035 section 2.3.4, without the root.
const NAME_BYTES_MAX: usize = 253;
