//! Socket addresses as the kernel lays them out, read and written byte by byte.
//!
//! ```text
//! sockaddr_in:   family 2 | port 2 | address 4 | zero 8
//! sockaddr_in6:  family 2 | port 2 | flow 4    | address 16 | scope 4
//! ```
//! Family and scope are in the host's byte order, port and flow in the network's.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for the address of one TCP peer.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub(super) struct RawAddress {
    bytes: [u8; RawAddress::BYTES],
}

impl RawAddress {
    /// `size_of::<sockaddr_in6>()`.
    pub(super) const BYTES: usize = 28;

    /// The kernel's form of `address`, and how many of its bytes count.
    pub(super) fn encode(address: SocketAddr) -> (Self, u32) {
        let mut bytes = [0; Self::BYTES];
        let mut put = |at: usize, field: &[u8]| {
            for (place, byte) in bytes.iter_mut().skip(at).zip(field) {
                *place = *byte;
            }
        };
        put(2, &address.port().to_be_bytes());
        let length = match address {
            SocketAddr::V4(v4) => {
                put(0, &(libc::AF_INET as u16).to_ne_bytes());
                put(4, &v4.ip().octets());
                IPV4_BYTES
            }
            SocketAddr::V6(v6) => {
                put(0, &(libc::AF_INET6 as u16).to_ne_bytes());
                put(4, &v6.flowinfo().to_be_bytes());
                put(8, &v6.ip().octets());
                put(24, &v6.scope_id().to_ne_bytes());
                Self::BYTES as u32
            }
        };
        (Self { bytes }, length)
    }

    /// The address that the kernel wrote; `None` for another family than IPv4 and IPv6.
    pub(super) fn decode(&self) -> Option<SocketAddr> {
        let family = i32::from(u16::from_ne_bytes(self.field(0)?));
        let port = u16::from_be_bytes(self.field(2)?);
        match family {
            libc::AF_INET => {
                let ip = Ipv4Addr::from(self.field::<4>(4)?);
                Some(SocketAddrV4::new(ip, port).into())
            }
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(self.field::<16>(8)?);
                let flow = u32::from_be_bytes(self.field(4)?);
                let scope = u32::from_ne_bytes(self.field(24)?);
                Some(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            _ => None,
        }
    }

    fn field<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at + N)?.try_into().ok()
    }
}

const IPV4_BYTES: u32 = 16;
const _: () = assert!(RawAddress::BYTES == size_of::<libc::sockaddr_in6>());
const _: () = assert!(IPV4_BYTES as usize == size_of::<libc::sockaddr_in>());
const _: () = assert!(align_of::<RawAddress>() >= align_of::<libc::sockaddr_in6>());
