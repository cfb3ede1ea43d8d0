//! What there may be a million of, taken in packet by packet.

use std::collections::HashMap;

use policies::ClientId;

use super::Snapshot;
use super::api_keys::Sharing;
use super::policy_view::PolicyView;
use crate::failure::Fault;
use crate::store::packet::{self, Packet, Portion};
use crate::store::{Store, api_key, certificate, client_secret};

impl Snapshot {
    pub(super) async fn load_certificates(&self, store: &Store) -> Result<(), Fault> {
        // One id a client in memory, not one a certificate.
        let mut ids = HashMap::new();
        let behind = |place| certificate::listed::packet(store, place);
        packet::each(behind, |packet| self.take_certificates(packet, &mut ids)).await
    }

    pub(super) async fn load_api_keys(&self, store: &Store, portion: Portion) -> Result<(), Fault> {
        let (view, mut sharing) = (self.policy(), Sharing::default());
        let behind = |place| api_key::listed::packet(store, portion, place);
        packet::each(behind, |packet| self.take_api_keys(packet, &view, &mut sharing)).await
    }

    pub(super) async fn load_client_secrets(&self, store: &Store, portion: Portion) -> Result<(), Fault> {
        let behind = |place| client_secret::listed::packet(store, portion, place);
        packet::each(behind, |packet| self.take_client_secrets(packet)).await
    }

    fn take_certificates(&self, packet: &Packet, ids: &mut HashMap<String, ClientId>) -> Result<(), Fault> {
        for certificate in certificate::listed::read(packet)? {
            match certificate {
                Ok(certificate) => _ = self.certificates.put(&certificate, ids),
                // What is not on the list is not let in.
                Err(fault) => tracing::error!(error = fault.inside(), "a certificate's row cannot be read"),
            }
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
