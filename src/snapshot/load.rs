//! What there may be a million of, taken in packet by packet: the database looks for the next one while this one is taken in.

use super::Snapshot;
use super::api_keys::Sharing;
use super::policy_view::PolicyView;
use crate::failure::Fault;
use crate::store::packet::{Packet, Portion};
use crate::store::{Store, api_key, client_secret};

impl Snapshot {
    pub(super) async fn load_api_keys(&self, store: &Store, portion: Portion) -> Result<(), Fault> {
        let (view, mut sharing) = (self.policy(), Sharing::default());
        let mut coming = api_key::listed::packet(store, portion, 0).await?;
        while let Some(packet) = coming {
            let following = api_key::listed::packet(store, portion, packet.last());
            let taking = async { self.take_api_keys(&packet, &view, &mut sharing) };
            let (following, taken) = tokio::join!(following, taking);
            taken?;
            coming = following?;
        }
        Ok(())
    }

    pub(super) async fn load_client_secrets(&self, store: &Store, portion: Portion) -> Result<(), Fault> {
        let mut coming = client_secret::listed::packet(store, portion, 0).await?;
        while let Some(packet) = coming {
            let following = client_secret::listed::packet(store, portion, packet.last());
            let (following, taken) = tokio::join!(following, async { self.take_client_secrets(&packet) });
            taken?;
            coming = following?;
        }
        Ok(())
    }

    fn take_api_keys(&self, packet: &Packet, view: &PolicyView, sharing: &mut Sharing) -> Result<(), Fault> {
        for key in api_key::listed::read(packet)? {
            match key {
                Ok(key) => self.api_keys.put(&key, view, sharing),
                // What is not known is not let in.
                Err(fault) => tracing::error!(error = fault.inside(), "an API key cannot be read and is refused"),
            }
        }
        Ok(())
    }

    fn take_client_secrets(&self, packet: &Packet) -> Result<(), Fault> {
        for secret in client_secret::listed::read(packet)? {
            match secret {
                Ok(secret) => self.client_secrets.add(secret),
                Err(fault) => tracing::error!(error = fault.inside(), "a client secret cannot be read and is refused"),
            }
        }
        Ok(())
    }
}
