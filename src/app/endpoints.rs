use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::admin::{EnrollmentPlace, ListedListener};
use crate::config::{ClientCertificates, Config, Serves};
use crate::failure::Fault;
use crate::listen::Listener;

/// Where a running server is. Written to `endpoints.json` in the data folder, for the command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoints {
    pub gateway: String,
    /// The first listener that requires a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtls: Option<String>,
    pub admin: String,
    pub pki: String,
    pub listeners: Vec<ListedListener>,
}

impl Endpoints {
    /// As the configuration has them, before a socket is bound.
    pub fn configured(config: &Config) -> Self {
        let listeners: Vec<Listener> = config
            .listeners
            .iter()
            .map(|listener| Listener { address: listener.address, config: listener.clone() })
            .collect();
        Self::of(listeners.iter())
    }

    pub(super) fn of<'a>(listeners: impl Iterator<Item = &'a Listener>) -> Self {
        let mut endpoints = Self {
            gateway: String::new(),
            mtls: None,
            admin: String::new(),
            pki: String::new(),
            listeners: Vec::new(),
        };
        for listener in listeners {
            let url = listener.url();
            let mode = listener.config.client_certificates;
            let place = match listener.config.serves {
                Serves::Gateway if mode == ClientCertificates::Required => {
                    endpoints.mtls.get_or_insert_with(|| url.clone());
                    None
                }
                Serves::Gateway => Some(&mut endpoints.gateway),
                Serves::Admin => Some(&mut endpoints.admin),
                Serves::Pki => Some(&mut endpoints.pki),
            };
            if let Some(place) = place
                && place.is_empty()
            {
                place.clone_from(&url);
            }
            endpoints.listeners.push(ListedListener {
                name: listener.config.name.clone(),
                url,
                client_certificates: mode,
            });
        }
        if endpoints.gateway.is_empty() {
            endpoints.gateway = endpoints.mtls.clone().unwrap_or_default();
        }
        endpoints
    }

    /// Name, URL and mode of each listener, for `/v1/status`.
    pub fn listed(&self) -> Vec<ListedListener> {
        self.listeners.clone()
    }

    /// Where partners enrol: on the first gateway listener that lets them in without a certificate.
    pub(super) fn enrollment(&self, config: &Config) -> EnrollmentPlace {
        let open = config.listeners.iter().find(|listener| {
            listener.serves == Serves::Gateway && listener.client_certificates != ClientCertificates::Required
        });
        EnrollmentPlace {
            url: format!("{}{}", self.gateway, crate::gateway::ENROLLMENT_PATH),
            own_server_certificate: open.is_none_or(|listener| listener.certificate.is_none()),
        }
    }

    pub(super) fn write(&self, data: &Path) -> Result<(), Fault> {
        let path = data.join("endpoints.json");
        let temporary = data.join("endpoints.json.new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
        Ok(std::fs::rename(temporary, path)?)
    }
}
