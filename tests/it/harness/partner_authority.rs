use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;

use super::gateway::{Gateway, START};
use super::session::Identity;

/// Somebody else's certificate authority, which signs whatever a test tells it to: a partner's, honest or not.
pub(crate) struct PartnerAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    key_id: Option<Vec<u8>>,
}

/// What a leaf is to say.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub serial: u64,
    pub uris: Vec<String>,
    pub dns: Vec<String>,
    pub common_name: String,
    pub days: i64,
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
    /// Any octets as authorityKeyIdentifier, in place of the truth.
    pub claimed_issuer: Option<Vec<u8>>,
    pub claimed_serial: Option<Vec<u8>>,
}

impl Leaf {
    pub(crate) fn uri(uri: &str) -> Self {
        Self { uris: vec![uri.to_owned()], ..Self::default() }
    }
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            serial: 0x1001,
            uris: Vec::new(),
            dns: Vec::new(),
            common_name: "leaf".to_owned(),
            days: 30,
            purposes: vec![ExtendedKeyUsagePurpose::ClientAuth],
            claimed_issuer: None,
            claimed_serial: None,
        }
    }
}

fn start() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(START.0).unwrap()
}

fn authority_params(name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = start() - Duration::days(1);
    params.not_after = start() + Duration::days(days);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

impl PartnerAuthority {
    /// A root of this name.
    pub(crate) fn root(name: &str) -> Self {
        Self::root_for(name, 3_650)
    }

    pub(crate) fn root_for(name: &str, days: i64) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority_params(name, days), KeyPair::generate().unwrap()).unwrap();
        Self { issuer, key_id: None }
    }

    /// An authority below this one. It may lie about its name and its key identifier.
    pub(crate) fn below(&self, name: &str, key_id: Option<&[u8]>) -> Self {
        let mut params = authority_params(name, 365);
        if let Some(id) = key_id {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id.to_vec());
        }
        let issuer = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.issuer).unwrap();
        Self { issuer, key_id: key_id.map(<[u8]>::to_vec) }
    }

    /// As [`Self::below`], with the very name octets of a certificate.
    pub(crate) fn disguised(&self, of: &[u8], key_id: &[u8]) -> Self {
        use x509_parser::prelude::FromDer;
        let (_, model) = x509_parser::certificate::X509Certificate::from_der(of).unwrap();
        let mut params = authority_params("", 365);
        params.distinguished_name = rcgen::DistinguishedName::new();
        for attribute in model.subject().iter_attributes() {
            let kind: Vec<u64> = attribute.attr_type().iter().unwrap().collect();
            params.distinguished_name.push(DnType::from_oid(&kind), attribute.as_str().unwrap());
        }
        params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.to_vec());
        let issuer = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.issuer).unwrap();
        Self { issuer, key_id: Some(key_id.to_vec()) }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    pub(crate) fn pem(&self) -> String {
        pki::pem_certificate(&self.der())
    }

    /// A leaf with a new key; `above` is sent along.
    pub(crate) fn issue(&self, leaf: &Leaf, above: &[&Self]) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, leaf.common_name.as_str());
        params.not_before = start() - Duration::hours(1);
        params.not_after = start() + Duration::days(leaf.days);
        params.serial_number = Some(match &leaf.claimed_serial {
            Some(octets) => SerialNumber::from_slice(octets),
            None => SerialNumber::from(leaf.serial),
        });
        let text = |text: &String| text.as_str().try_into().unwrap();
        params.subject_alt_names = leaf.uris.iter().map(|uri| SanType::URI(text(uri))).collect();
        params.subject_alt_names.extend(leaf.dns.iter().map(|name| SanType::DnsName(text(name))));
        params.extended_key_usages = leaf.purposes.clone();
        params.use_authority_key_identifier_extension = leaf.claimed_issuer.is_none();
        if let Some(id) = &leaf.claimed_issuer {
            // AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] … }
            let inner = [&[0x80, u8::try_from(id.len()).unwrap()][..], id].concat();
            let value = [&[0x30, u8::try_from(inner.len()).unwrap()][..], &inner].concat();
            params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 35], value));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = std::iter::once(certificate.der().to_vec()).chain(above.iter().map(|above| above.der()));
        Identity { chain: chain.collect(), key_pkcs8: key.serialize_der() }
    }

    /// Its list of `number`, made `made_after` hours after the start, good for a day.
    pub(crate) fn list(&self, number: u64, made_after: i64, revoked: &[u64]) -> Vec<u8> {
        let octets: Vec<_> = revoked.iter().map(|serial| serial.to_be_bytes()).collect();
        self.list_of(number, made_after, &octets.iter().map(<[u8; 8]>::as_slice).collect::<Vec<_>>())
    }

    /// The same by the serials' octets.
    pub(crate) fn list_of(&self, number: u64, made_after: i64, revoked: &[&[u8]]) -> Vec<u8> {
        let this_update = start() + Duration::hours(made_after);
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(trimmed(serial)),
            revocation_time: this_update,
            reason_code: None,
            invalidity_date: None,
        });
        let key_id = self.key_id.clone();
        let params = CertificateRevocationListParams {
            this_update,
            next_update: this_update + Duration::days(1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: key_id.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified),
        };
        let list = params.signed_by(&self.issuer).unwrap();
        list.der().to_vec()
    }

    pub(crate) fn list_pem(&self, number: u64, made_after: i64, revoked: &[u64]) -> String {
        pki::pem_crl(&self.list(number, made_after, revoked))
    }
}

fn trimmed(serial: &[u8]) -> &[u8] {
    &serial[serial.iter().take_while(|octet| **octet == 0).count()..]
}

/// A web server of a partner, as far as we ever see it: what it answers with is the test's to say.
pub(crate) struct ListServer {
    address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, Answered>>>,
    asked: Arc<AtomicUsize>,
}

/// Status, Location and body.
type Answered = (u16, Option<String>, Bytes);

impl ListServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), answers: Arc::default(), asked: Arc::default() };
        let (answers, asked) = (Arc::clone(&server.answers), Arc::clone(&server.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<hyper::body::Incoming>| {
                        asked.fetch_add(1, Ordering::SeqCst);
                        let found = answers.lock().unwrap().get(request.uri().path()).cloned();
                        let (status, location, body) = found.unwrap_or((404, None, Bytes::new()));
                        let mut response = Response::builder().status(status);
                        if let Some(location) = location {
                            response = response.header("location", location);
                        }
                        async move { Ok::<_, Infallible>(response.body(Full::new(body)).unwrap()) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        server
    }

    pub(crate) fn put(&self, path: &str, body: impl Into<Bytes>) -> String {
        self.answers.lock().unwrap().insert(path.to_owned(), (200, None, body.into()));
        self.url(path)
    }

    pub(crate) fn redirect(&self, path: &str, location: &str) -> String {
        self.answers.lock().unwrap().insert(path.to_owned(), (302, Some(location.to_owned()), Bytes::new()));
        self.url(path)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Gateway {
    /// DER and key id of our authority for clients.
    pub(crate) fn issuing(&self) -> (Vec<u8>, Vec<u8>) {
        let view = self.authority().issuers().into_iter().find(|issuer| issuer.kind == "issuing").unwrap();
        let id: pki::KeyId = view.id.parse().unwrap();
        let der = pki::pem_certificates(view.certificate_pem.as_bytes()).unwrap().remove(0);
        (der, id.as_bytes().to_vec())
    }
}
