//! Sessions of both record layers against each other.

use longhold_tls::RecordLayer;

use crate::pair::{Ends, open_all, seal_all};

const LAYERS: [RecordLayer; 2] = [RecordLayer::Own, RecordLayer::Rustls];

#[test]
fn what_one_seals_the_other_opens() {
    for client in LAYERS {
        for server in LAYERS {
            let mut ends = Ends::new(client, server);
            let request = vec![7; 100_000];
            ends.to_server.extend(seal_all(&mut ends.client, &request));
            assert_eq!(open_all(&mut ends.server, &mut ends.to_server).unwrap(), request);
            let answer = vec![9; 200_000];
            ends.to_client.extend(seal_all(&mut ends.server, &answer));
            assert_eq!(open_all(&mut ends.client, &mut ends.to_client).unwrap(), answer);
        }
    }
}
