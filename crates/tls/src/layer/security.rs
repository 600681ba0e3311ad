//! What logs say of a secured connection.

use longhold_transport::{Payload, Security, Token, Transport};

use super::cells::Cell;
use super::live::Stage;
use super::secured::Secured;
use super::wire::Wire;
use crate::Version;
use crate::suite::name_of;

impl<T, P> Secured<T, P>
where
    T: Transport<Payload = Wire<P>>,
    P: Payload,
{
    /// Of a session that is established, at rest or not.
    pub(super) fn security_of(&self, token: Token) -> Security {
        let said =
            |version: Version, suite| Security { version: version.name(), suite: name_of(suite) };
        match self.cells.get(token.slot) {
            Cell::Plain | Cell::Greeting { .. } => Security::default(),
            Cell::Parked { .. } => {
                let suite = self.parked.suite(token.slot as usize);
                suite.map_or_else(Security::default, |suite| said(Version::Tls13, suite.number()))
            }
            Cell::Live(index) => match self.lives.get(index).map(|live| &live.stage) {
                Some(Stage::Open(session)) => said(session.version(), session.suite()),
                Some(Stage::Shaking(_) | Stage::Over) | None => Security::default(),
            },
        }
    }
}
