//! What carries the edge's bytes: io_uring, or epoll where it is forbidden or not wanted, and why.
//!
//! With epoll no ring is made anywhere: workers wait by epoll, each in a table of descriptors of
//! its own; the fill plane runs on tokio alone and has the store written by helper threads; cold
//! bytes are paged in by threads.

use longhold_transport::epoll::Table;
use longhold_transport::probe::{Support, Unsupported};

use crate::config::checked::TransportChoice;

/// The choice, made once at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// io_uring.
    Uring(Support),
    /// epoll.
    Epoll(Why),
}

/// Why it is epoll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// `server.transport = "epoll"`.
    Asked,
    /// The host forbids io_uring or lacks it.
    Forbidden(Unsupported),
}

/// Where the workers' descriptors stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptors {
    /// In the direct tables of rings.
    Direct,
    /// In each worker's own table.
    Private,
    /// In the table of the process, because the host refused others: `RLIMIT_NOFILE` bounds all
    /// workers together.
    Shared,
}

impl Carrier {
    /// Chooses by the config and by what the host allows.
    ///
    /// # Errors
    /// What forbids io_uring, where the config insists on it.
    pub fn choose(
        choice: TransportChoice,
        uring: Result<Support, Unsupported>,
    ) -> Result<Self, Unsupported> {
        match (choice, uring) {
            (TransportChoice::Epoll, _) => Ok(Self::Epoll(Why::Asked)),
            (TransportChoice::Uring, uring) => uring.map(Self::Uring),
            (TransportChoice::Auto, Ok(support)) => Ok(Self::Uring(support)),
            (TransportChoice::Auto, Err(unsupported)) => {
                Ok(Self::Epoll(Why::Forbidden(unsupported)))
            }
        }
    }

    /// `uring` or `epoll`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uring(_) => "uring",
            Self::Epoll(_) => "epoll",
        }
    }

    /// Why it is this one, with the remedy where one is needed.
    #[must_use]
    pub fn reason(self) -> String {
        match self {
            Self::Uring(_) => "io_uring is allowed".to_owned(),
            Self::Epoll(Why::Asked) => "server.transport asks for it".to_owned(),
            Self::Epoll(Why::Forbidden(unsupported)) => unsupported.to_string(),
        }
    }
}

impl Descriptors {
    /// `direct`, `private` or `shared`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Private => "private",
            Self::Shared => "shared",
        }
    }

    /// Of all workers: what bounds them most.
    #[must_use]
    pub const fn or_worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Shared, _) | (_, Self::Shared) => Self::Shared,
            (Self::Private, _) | (_, Self::Private) => Self::Private,
            (Self::Direct, Self::Direct) => Self::Direct,
        }
    }
}

impl From<Table> for Descriptors {
    fn from(table: Table) -> Self {
        match table {
            Table::Private => Self::Private,
            Table::Shared | Table::Refused(_) => Self::Shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_follows_the_config_and_then_the_host() {
        use TransportChoice::{Auto, Epoll, Uring};
        let support = Support { min_wait: true, no_sq_array: true };
        let forbidden = Unsupported::Sysctl { level: 2 };
        let rows = [
            (Auto, Ok(support), Ok(Carrier::Uring(support))),
            (Auto, Err(forbidden), Ok(Carrier::Epoll(Why::Forbidden(forbidden)))),
            (Uring, Ok(support), Ok(Carrier::Uring(support))),
            (Uring, Err(forbidden), Err(forbidden)),
            (Epoll, Ok(support), Ok(Carrier::Epoll(Why::Asked))),
            (Epoll, Err(forbidden), Ok(Carrier::Epoll(Why::Asked))),
        ];
        for (choice, uring, expected) in rows {
            assert_eq!(Carrier::choose(choice, uring), expected, "{choice:?} {uring:?}");
        }
        let told = Carrier::Epoll(Why::Forbidden(forbidden)).reason();
        assert!(told.contains("kernel.io_uring_disabled is 2"), "{told}");
    }

    #[test]
    fn one_shared_table_bounds_them_all() {
        use Descriptors::{Direct, Private, Shared};
        assert_eq!(Private.or_worse(Private), Private);
        assert_eq!(Private.or_worse(Shared), Shared);
        assert_eq!(Shared.or_worse(Private), Shared);
        assert_eq!(Direct.or_worse(Direct), Direct);
    }
}
