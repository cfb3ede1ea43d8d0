//! The yearly ceremony: the root's key is brought, signs its list, and goes away again. It works on files, like `init`.

use serde_json::json;

use crate::app::folder_lock::FolderLock;
use crate::app::{Endpoints, Foundation, find_passphrase};
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::moment;
use crate::cli::start;
use crate::registry::Actor;

pub(super) async fn run(context: &Context) -> Result<Outcome, CliError> {
    let data = context.global.data();
    let data = data.ok_or_else(|| CliError::new("say which data folder: --data DIR or PORTCULLIS_DATA"))?;
    let config = start::load(&data)?;
    // A running server would go on serving the list that it has in memory.
    let _lock = FolderLock::take(&data)?;
    let (passphrase, endpoints) = (find_passphrase(&config)?, Endpoints::configured(&config));
    let foundation = Foundation::open(config, context.clock.clone(), passphrase, &endpoints).await?;
    let signed = foundation.authority.publish_root(&Actor::local()).await;
    foundation.store.close().await;
    signed?;
    let root = foundation.authority.issuers().into_iter().find(|issuer| issuer.kind == "root");
    let list = root.and_then(|root| root.crl).ok_or_else(|| CliError::new("the root has no list"))?;
    let answer = json!({ "number": list.number, "this_update": list.this_update, "next_update": list.next_update });
    let next = moment::with_distance(list.next_update, context.now());
    context.output.either(&answer, || {
        format!(
            "Signed the root's list {}. The next one is due {next}.\nTake the root's key offline again.\n",
            list.number
        )
    })?;
    Ok(Outcome::Done)
}
