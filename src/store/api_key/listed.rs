//! What the gate needs of every key.

use serde::Deserialize;

use super::ApiKeyRow;
use crate::failure::Fault;
use crate::store::Store;
use crate::store::packet::{self, Packet, Portion};

/// A key as the gate knows it. Times are seconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedApiKey {
    pub id: String,
    pub client_id: String,
    pub hmac: Vec<u8>,
    pub imported: bool,
    pub scopes: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    pub expires_at: Option<i64>,
    pub revoked: bool,
}

/// One row as the database writes it: an array, in this order.
#[derive(Deserialize)]
struct Written(String, String, String, i64, Option<String>, Option<String>, Option<i64>, i64);

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT MAX(place), json_group_array(json_array(id, client_id, hmac, imported, scopes, networks, expires_at, revoked))
             FROM (SELECT rowid AS place, id, client_id, hex(hmac) AS hmac, import_id IS NOT NULL AS imported, scopes, networks,
                          expires_at, revoked_at IS NOT NULL AS revoked
                   FROM api_keys WHERE rowid > $1 ",
            $rest,
            " ORDER BY rowid LIMIT $2)"
        )
    };
}

/// The keys behind `place`; `None` after the last.
pub async fn packet(store: &Store, portion: Portion, place: i64) -> Result<Option<Packet>, Fault> {
    Packet::of_portion(store, [select!(""), select!("AND import_id = $3")], portion, place).await
}

/// The keys of a packet.
///
/// # Errors
/// A fault when the packet as a whole is not what was asked for; a key that cannot be read is an error in its place.
pub fn read(packet: &Packet) -> Result<Vec<Result<ListedApiKey, Fault>>, Fault> {
    Ok(packet.rows::<Written>()?.into_iter().map(|row| row?.read()).collect())
}

impl Written {
    fn read(self) -> Result<ListedApiKey, Fault> {
        Ok(ListedApiKey {
            id: self.0,
            client_id: self.1,
            hmac: packet::octets(&self.2)?,
            imported: self.3 != 0,
            scopes: self.4.as_deref().map(packet::list).transpose()?,
            networks: self.5.as_deref().map(packet::list).transpose()?,
            expires_at: self.6,
            revoked: self.7 != 0,
        })
    }
}

impl From<ApiKeyRow> for ListedApiKey {
    fn from(row: ApiKeyRow) -> Self {
        Self {
            id: row.id,
            client_id: row.client_id,
            hmac: row.hmac,
            imported: row.import_id.is_some(),
            scopes: row.scopes,
            networks: row.networks,
            expires_at: row.expires_at,
            revoked: row.revoked_at.is_some(),
        }
    }
}

impl std::fmt::Debug for ListedApiKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("ListedApiKey");
        debug.field("id", &self.id).field("client_id", &self.client_id).finish_non_exhaustive()
    }
}
