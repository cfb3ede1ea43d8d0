//! The last administrator cannot be switched off: nobody would be left to switch anybody on again.

use policies::ADMIN_WRITE;

use crate::failure::{Failure, Refusal};
use crate::store::Tx;
use crate::store::client::{self, ClientRow};
use crate::store::partner;

/// Refuses when the clients that `leaves` picks are all that may change anything here.
///
/// # Errors
/// `last_administrator`.
pub(super) async fn keep_one(tx: &mut Tx, leaves: impl Fn(&ClientRow) -> bool) -> Result<(), Failure> {
    let mut leaving = false;
    for row in client::with_scope(&mut *tx, ADMIN_WRITE).await? {
        if !row.in_force() {
            continue;
        }
        let partner = partner::get(&mut *tx, &row.partner_id).await?;
        if !partner.is_some_and(|partner| partner.in_force()) {
            continue;
        }
        if !leaves(&row) {
            return Ok(());
        }
        leaving = true;
    }
    match leaving {
        false => Ok(()),
        true => Err(Refusal::conflict(
            "last_administrator",
            format!(
                "Nobody else holds {ADMIN_WRITE}: give it to another client first. To stop a stolen credential, revoke that one."
            ),
        )
        .into()),
    }
}
