//! The suite over loopback, on the epoll reactor: in the process's table of descriptors, and in one
//! of its thread's own.

use longhold_transport::Config;
use longhold_transport::epoll::{Reactor, Table};

use crate::kernel::kernel_rig;
use crate::payload::Pieces;

fn shared_table(config: &Config) -> Reactor<Pieces> {
    Reactor::new(config).expect("epoll")
}

fn private_table(config: &Config) -> Reactor<Pieces> {
    let reactor = Reactor::with_private_table(config, Vec::new()).expect("epoll");
    assert_eq!(reactor.table(), Table::Private);
    reactor
}

kernel_rig!(
    /// Descriptors beside everybody else's.
    SharedTable,
    Reactor<Pieces>,
    shared_table,
    shared_table
);
kernel_rig!(
    /// Descriptors of this thread only. Once a test has sockets of its own, the table is not made
    /// anew: that would close them.
    PrivateTable,
    Reactor<Pieces>,
    private_table,
    shared_table
);

crate::suite::conformance!(shared_table, super::SharedTable);
crate::suite::conformance!(private_table, super::PrivateTable);
