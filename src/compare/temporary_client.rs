//! A client of our own, like the one that is compared, whose credentials may be revoked: nothing of the user's is touched.
//! It is switched off at the end; what a crash leaves behind ends by itself within the hour.

use secrecy::SecretString;
use serde_json::json;

use super::control_plane::{ControlPlane, text};
use super::identity::Identity;
use super::target::{ClientSecret, Credentials};
use crate::failure::{Failure, Fault, Refusal};

/// How long its credentials live at most.
const LIFETIME_SECONDS: u32 = 3600;
const DESCRIPTION: &str = "Made by `portcullis compare`, which switches it off again";

/// An enabled client with no usage plan: it spends nobody's quota.
pub(super) struct TemporaryClient {
    pub(super) id: String,
    pub(super) credentials: Credentials,
}

/// A certificate, and the serial by which it is revoked.
pub(super) struct IssuedCertificate {
    pub(super) serial: String,
    pub(super) identity: Identity,
}

/// A key, and the id by which it is revoked.
pub(super) struct IssuedKey {
    pub(super) id: String,
    pub(super) key: SecretString,
}

impl TemporaryClient {
    /// Makes the client: partner, scopes and networks are those of `like`. It has no credentials yet.
    pub(super) async fn create(control: &mut ControlPlane, like: &str) -> Result<Self, Failure> {
        if !like.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            return Err(Refusal::invalid("invalid_client", format!("{like:?} is not the id of a client")).into());
        }
        let like = control.get(&format!("/v1/clients/{like}")).await?;
        let mut random = [0_u8; 4];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| Fault::new("no randomness"))?;
        let id = format!("compare-{:08x}", u32::from_be_bytes(random));
        let body = json!({
            "id": id, "partner": text(&like, "partner")?, "description": DESCRIPTION,
            "scopes": like["scopes"], "networks": like["networks"],
        });
        control.post("/v1/clients", &body).await?;
        Ok(Self { id, credentials: Credentials::default() })
    }

    /// One credential of each kind.
    pub(super) async fn equip(&mut self, control: &mut ControlPlane) -> Result<(), Failure> {
        self.credentials.identity = Some(self.certificate(control).await?.identity);
        self.credentials.api_key = Some(self.api_key(control).await?.key);
        let body = json!({ "client": self.id, "name": "compare", "ttl_seconds": LIFETIME_SECONDS });
        let made = control.post("/v1/client-secrets", &body).await?;
        let secret = SecretString::from(text(&made, "client_secret")?);
        self.credentials.secret = Some(ClientSecret { client: self.id.clone(), secret });
        Ok(())
    }

    pub(super) async fn certificate(&self, control: &mut ControlPlane) -> Result<IssuedCertificate, Failure> {
        let body = json!({ "client": self.id, "lifetime_seconds": LIFETIME_SECONDS, "pkcs12": false });
        let made = control.post("/v1/certificates", &body).await?;
        let chain = format!("{}\n{}", text(&made, "certificate_pem")?, text(&made, "chain_pem")?);
        let identity =
            Identity::from_pem(chain.as_bytes(), text(&made, "private_key_pem")?.as_bytes(), "the issued certificate")?;
        Ok(IssuedCertificate { serial: text(&made, "id")?, identity })
    }

    pub(super) async fn api_key(&self, control: &mut ControlPlane) -> Result<IssuedKey, Failure> {
        let body = json!({ "client": self.id, "name": "compare", "ttl_seconds": LIFETIME_SECONDS });
        let made = control.post("/v1/api-keys", &body).await?;
        Ok(IssuedKey { id: text(&made, "id")?, key: SecretString::from(text(&made, "api_key")?) })
    }

    /// Switches the client off, and every credential with it.
    pub(super) async fn disable(&self, control: &mut ControlPlane) -> Result<(), Failure> {
        let path = format!("/v1/clients/{}/disable", self.id);
        match control.post(&path, &json!({})).await {
            // The connection may have broken under us; doing it twice does no harm.
            Err(Failure::Fault(_)) => control.post(&path, &json!({})).await.map(drop),
            done => done.map(drop),
        }
    }
}
