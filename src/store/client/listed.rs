//! Every client, as its row says.

use serde::Deserialize;

use super::ClientRow;
use crate::failure::Fault;
use crate::store::Store;
use crate::store::packet::{self, Packet, Portion};

/// One row as the database writes it: an array, in this order.
#[derive(Deserialize)]
struct Written(
    String,
    String,
    Option<String>,
    i64,
    Option<String>,
    Option<i64>,
    String,
    String,
    Option<String>,
    Option<i64>,
    i64,
);

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT MAX(place), json_group_array(json_array(id, partner_id, description, enabled, managed_by, withdrawn_by, scopes,
                                                            networks, usage_plan, tokens_not_before, created_at))
             FROM (SELECT rowid AS place, id, partner_id, description, enabled, managed_by, withdrawn_by, scopes, networks,
                          usage_plan, tokens_not_before, created_at
                   FROM clients WHERE rowid > $1 ",
            $rest,
            " ORDER BY rowid LIMIT $2)"
        )
    };
}

/// The clients behind `place`; `None` after the last.
pub async fn packet(store: &Store, portion: Portion, place: i64) -> Result<Option<Packet>, Fault> {
    Packet::of_portion(store, [select!(""), select!("AND import_id = $3")], portion, place).await
}

/// The clients of a packet.
///
/// # Errors
/// A fault when the packet as a whole is not what was asked for; a client that cannot be read is an error in its place.
pub fn read(packet: &Packet) -> Result<Vec<Result<ClientRow, Fault>>, Fault> {
    Ok(packet.rows::<Written>()?.into_iter().map(|row| row?.read()).collect())
}

impl Written {
    fn read(self) -> Result<ClientRow, Fault> {
        Ok(ClientRow {
            id: self.0,
            partner_id: self.1,
            description: self.2,
            enabled: self.3 != 0,
            managed_by: self.4,
            withdrawn_by: self.5,
            scopes: packet::list(&self.6)?,
            networks: packet::list(&self.7)?,
            usage_plan: self.8,
            tokens_not_before: self.9,
            created_at: self.10,
        })
    }
}
