//! Where a client session's tickets go: back into the library that will resume from them.

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;

use crate::fault::Fault;
use crate::limits::TICKETS_KEPT_MAX;

/// What rustls keeps of a client connection to read its tickets. About half a kilobyte, so it is
/// kept only where a client wants to resume, and falls when the session parks.
pub(crate) struct TicketSink {
    connection: Box<KernelConnection<ClientConnectionData>>,
    kept: u8,
}

impl TicketSink {
    pub(crate) fn new(connection: KernelConnection<ClientConnectionData>) -> Self {
        Self { connection: Box::new(connection), kept: 0 }
    }

    /// Lays a NewSessionTicket's body into the client's store.
    pub(crate) fn keep(&mut self, body: &[u8]) -> Result<(), Fault> {
        let verdict = self.connection.handle_new_session_ticket(body);
        self.kept = self.kept.saturating_add(1);
        verdict.map_err(|error| Fault::from_rustls(&error))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.kept >= TICKETS_KEPT_MAX
    }
}
