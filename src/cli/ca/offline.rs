//! What works on the data folder while no server does.

use crate::app::folder_lock::FolderLock;
use crate::app::{Endpoints, Foundation, find_passphrase};
use crate::authority::Authority;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::start;

/// Opens the data folder, does this with its authority, and closes it. A running server would go on with what it has in memory,
/// so it must be stopped.
pub(super) async fn with_authority<T>(
    context: &Context,
    operation: impl AsyncFnOnce(&Authority) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let data = context.global.data();
    let data = data.ok_or_else(|| CliError::new("say which data folder: --data DIR or PORTCULLIS_DATA"))?;
    let config = start::load(&data)?;
    let _lock = FolderLock::take(&data)?;
    let (passphrase, endpoints) = (find_passphrase(&config)?, Endpoints::configured(&config));
    let foundation = Foundation::open(config, context.clock.clone(), passphrase, &endpoints).await?;
    let done = operation(&foundation.authority).await;
    foundation.store.close().await;
    done
}
