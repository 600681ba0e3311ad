//! Why connections end: one table for logs, metrics and the admin plane.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// Why a connection was closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum CloseReason {
            $($(#[$doc])* $variant = $number,)*
        }

        impl CloseReason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word for logs, metrics and the admin plane; never changes.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// The peer closed between requests: the usual end.
    PeerClosed = 1, "peer-closed";
    /// The peer reset the connection.
    PeerReset = 2, "peer-reset";
    /// The peer closed inside a message.
    PeerAborted = 3, "peer-aborted";
    /// Nothing was asked for longer than the idle timeout.
    IdleTimeout = 4, "idle-timeout";
    /// A head began and was not complete in time.
    HeadTimeout = 5, "head-timeout";
    /// A request body came more slowly than the least rate.
    BodyTimeout = 6, "body-timeout";
    /// A response was taken more slowly than the least rate.
    SendTimeout = 7, "send-timeout";
    /// After the last response the peer neither read nor closed.
    LingerTimeout = 8, "linger-timeout";
    /// The request broke a rule.
    Rejected = 9, "rejected";
    /// More of a request body was left unread than is worth reading.
    BodyUnread = 10, "body-unread";
    /// The edge is shutting down.
    Drained = 11, "drained";
    /// The response was the last one, by the wish of either side.
    ResponseEnded = 12, "response-ended";
    /// The origin failed inside a response that had begun.
    OriginFailed = 13, "origin-failed";
    /// The kernel reported a fault that is not the peer's.
    IoFault = 14, "io-fault";
    /// A stored body could not be read.
    StoreFault = 15, "store-fault";
    /// A limit of the edge was reached.
    Overload = 16, "overload";
    /// The admin plane asked for it.
    Ordered = 17, "ordered";
    /// A TLS handshake was not done in time.
    HandshakeTimeout = 18, "handshake-timeout";
    /// A TLS handshake failed: the client broke a rule, or there was nothing in common.
    HandshakeFailed = 19, "handshake-failed";
    /// The origin ended a tunnel, and the client followed.
    OriginClosed = 20, "origin-closed";
    /// A tunnel has lasted as long as one may.
    TunnelLifetime = 21, "tunnel-lifetime";
    /// The peer broke the TLS protocol after the handshake.
    TlsBroken = 22, "tls-broken";
}

#[cfg(test)]
mod tests;
