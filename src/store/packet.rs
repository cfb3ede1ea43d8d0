//! Tables that may hold a million rows, read in packets of JSON: a row of the database each would take half a minute.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Select, Store};
use crate::failure::Fault;

/// Rows in one packet: about half a megabyte of text.
pub(super) const ROWS: i64 = 2_000;

/// Some rows, each an array of columns, and where the next ones begin.
#[derive(Debug)]
pub struct Packet {
    json: String,
    last: i64,
}

/// Which rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    All,
    /// Those that this import brought.
    Import(i64),
}

/// Takes a table in packet by packet: the database looks for the next one while this one is taken in. `behind` gives the packet
/// behind a place.
///
/// # Errors
/// Those of reading and of taking in.
pub async fn each<F>(
    mut behind: impl FnMut(i64) -> F,
    mut take: impl FnMut(&Packet) -> Result<(), Fault>,
) -> Result<(), Fault>
where
    F: Future<Output = Result<Option<Packet>, Fault>>,
{
    let mut coming = behind(0).await?;
    while let Some(packet) = coming {
        let (following, taken) = tokio::join!(behind(packet.last), async { take(&packet) });
        taken?;
        coming = following?;
    }
    Ok(())
}

impl Packet {
    /// The rows of a portion behind `place`, 0 for the first and the place of the last row for every other; `None` after the last.
    ///
    /// `select` gives, for the place `$1` and at most `$2` rows, the last place and a JSON array of arrays: of all rows, and of
    /// those of the import `$3`.
    pub(super) async fn of_portion(
        store: &Store,
        [all, imported]: [&'static str; 2],
        portion: Portion,
        place: i64,
    ) -> Result<Option<Self>, Fault> {
        match portion {
            Portion::All => Self::behind(store, all, place, ROWS).await,
            Portion::Import(id) => Self::found(store, sqlx::query_as(imported).bind(place).bind(ROWS).bind(id)).await,
        }
    }

    /// The same for a statement that knows no imports, with at most `rows` rows.
    pub(super) async fn behind(
        store: &Store,
        select: &'static str,
        place: i64,
        rows: i64,
    ) -> Result<Option<Self>, Fault> {
        Self::found(store, sqlx::query_as(select).bind(place).bind(rows)).await
    }

    async fn found(store: &Store, select: Select<'_, (Option<i64>, String)>) -> Result<Option<Self>, Fault> {
        let (last, json) = select.fetch_one(store.readers()).await?;
        Ok(last.map(|last| Self { json, last }))
    }

    /// Its rows. One that cannot be read is an error in its place and hides none of the others.
    ///
    /// # Errors
    /// A fault when the packet as a whole is not what was asked for.
    pub(super) fn rows<T: DeserializeOwned>(&self) -> Result<Vec<Result<T, Fault>>, Fault> {
        if let Ok(rows) = serde_json::from_str::<Vec<T>>(&self.json) {
            return Ok(rows.into_iter().map(Ok).collect());
        }
        let rows: Vec<Value> = serde_json::from_str(&self.json).map_err(unreadable)?;
        Ok(rows.into_iter().map(|row| serde_json::from_value(row).map_err(unreadable)).collect())
    }
}

/// A list in a TEXT column.
pub(super) fn list(text: &str) -> Result<Vec<String>, Fault> {
    serde_json::from_str(text).map_err(unreadable)
}

/// The octets of a BLOB column, of which JSON has the hex digits.
pub(super) fn octets(hex: &str) -> Result<Vec<u8>, Fault> {
    pki::read_hex(hex).ok_or_else(|| Fault::new("octets as the database lists them"))
}

fn unreadable(error: serde_json::Error) -> Fault {
    Fault::new(format!("a row as the database lists it: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_cannot_be_read_hides_none_of_the_others() {
        let packet = Packet { json: r#"[["a",1],["b","c"],["d",2]]"#.to_owned(), last: 3 };
        let read: Vec<Option<(String, i64)>> = packet.rows().unwrap().into_iter().map(Result::ok).collect();
        assert_eq!(read, [Some(("a".to_owned(), 1)), None, Some(("d".to_owned(), 2))]);
        assert_eq!(octets("00fFA0").unwrap(), [0, 255, 160]);
        assert!(octets("0").is_err() && octets("0g").is_err());
        assert!(Packet { json: "{}".to_owned(), last: 0 }.rows::<String>().is_err());
    }
}
