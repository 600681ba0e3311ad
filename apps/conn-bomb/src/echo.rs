//! `conn-bomb echo`: a WebSocket origin that sends every message back, and an origin of event
//! streams.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, ensure};
use clap::Args;
use longhold_loadgen::echo::Echo;
use longhold_loadgen::target::Outgoing;
use longhold_transport::{BoundListener, Config, Transport, bind_listeners, epoll, uring};

use crate::load::Carrier;

/// Options of `conn-bomb echo`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Loopback address to listen on; port 0 picks a free one. The address is printed.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// Listen on so many addresses, this one and those behind it: one has ports for some 28,000
    /// connections of a client.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=250))]
    addresses: u8,
    /// Connections that it has room for; further ones wait.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// What carries it: io_uring, or epoll where the host forbids it. Over epoll the limit of open
    /// files (ulimit -n) bounds the connections.
    #[arg(long, value_enum, default_value_t = Carrier::Auto)]
    transport: Carrier,
}

/// Serves until the process ends.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    ensure!(arguments.listen.ip().is_loopback(), "the origin listens on loopback only");
    let config = Config { slots: arguments.connections, ..Config::default() };
    let mut address = arguments.listen;
    let mut listeners = Vec::new();
    for _ in 0..arguments.addresses {
        listeners.extend(bind_listeners(address, 1)?);
        address.set_port(listeners.last().map_or(0, |it| it.address().port()));
        if let IpAddr::V4(ip) = address.ip() {
            address.set_ip(IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() + 1)));
        } else {
            ensure!(arguments.addresses == 1, "several addresses are for 127.0.0.0/8");
        }
    }
    let failed = "cannot start the origin's transport";
    if arguments.transport.is_uring() {
        serve(uring::Reactor::new(&config).context(failed)?, listeners)
    } else {
        serve(epoll::Reactor::new(&config).context(failed)?, listeners)
    }
}

/// Prints where it listens first, and serves until the process ends.
fn serve<T: Transport<Payload = Outgoing>>(
    mut transport: T,
    listeners: Vec<BoundListener>,
) -> anyhow::Result<bool> {
    let first = listeners.first().map(BoundListener::address).context("no address")?;
    for listener in listeners {
        transport.listen(listener)?;
    }
    println!("{first}");
    let mut echo = Echo::new(transport);
    loop {
        echo.turn(None)?;
    }
}
