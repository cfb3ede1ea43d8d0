//! What the gate needs of every client secret.

use serde::Deserialize;

use super::ClientSecretRow;
use crate::failure::Fault;
use crate::store::Store;
use crate::store::packet::{self, Packet, Portion};

/// A secret as the gate knows it. Times are seconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedClientSecret {
    pub id: String,
    pub client_id: String,
    pub hmac: Vec<u8>,
    pub networks: Option<Vec<String>>,
    pub expires_at: Option<i64>,
    pub revoked: bool,
}

/// One row as the database writes it: an array, in this order.
#[derive(Deserialize)]
struct Written(String, String, String, Option<String>, Option<i64>, i64);

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT MAX(place), json_group_array(json_array(id, client_id, hmac, networks, expires_at, revoked))
             FROM (SELECT rowid AS place, id, client_id, hex(hmac) AS hmac, networks, expires_at,
                          revoked_at IS NOT NULL AS revoked
                   FROM client_secrets WHERE rowid > $1 ",
            $rest,
            " ORDER BY rowid LIMIT $2)"
        )
    };
}

/// The secrets behind `place`; `None` after the last.
pub async fn packet(store: &Store, portion: Portion, place: i64) -> Result<Option<Packet>, Fault> {
    Packet::of_portion(store, [select!(""), select!("AND import_id = $3")], portion, place).await
}

/// The secrets of a packet.
///
/// # Errors
/// A fault when the packet as a whole is not what was asked for; a secret that cannot be read is an error in its place.
pub fn read(packet: &Packet) -> Result<Vec<Result<ListedClientSecret, Fault>>, Fault> {
    Ok(packet.rows::<Written>()?.into_iter().map(|row| row?.read()).collect())
}

impl Written {
    fn read(self) -> Result<ListedClientSecret, Fault> {
        Ok(ListedClientSecret {
            id: self.0,
            client_id: self.1,
            hmac: packet::octets(&self.2)?,
            networks: self.3.as_deref().map(packet::list).transpose()?,
            expires_at: self.4,
            revoked: self.5 != 0,
        })
    }
}

impl From<ClientSecretRow> for ListedClientSecret {
    fn from(row: ClientSecretRow) -> Self {
        Self {
            id: row.id,
            client_id: row.client_id,
            hmac: row.hmac,
            networks: row.networks,
            expires_at: row.expires_at,
            revoked: row.revoked_at.is_some(),
        }
    }
}

impl std::fmt::Debug for ListedClientSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("ListedClientSecret");
        debug.field("id", &self.id).field("client_id", &self.client_id).finish_non_exhaustive()
    }
}
