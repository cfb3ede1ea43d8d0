//! Does the responder that our certificates name answer, and would a partner believe it?

use pki::{OcspQuery, OcspReply, OcspStatus};
use time::OffsetDateTime;

use super::{Finding, plain_http};
use crate::cli::connection::Connection;
use crate::cli::files;
use crate::cli::moment;

const REQUEST_TYPE: &str = "application/ocsp-request";
/// An answer has about a thousand; one with a long chain some more.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks about each certificate of the administrator's own chain that names a responder.
pub(super) async fn look(connection: &Connection, now: i64) -> Vec<Finding> {
    let read = |path| files::read(path, files::BYTES_MAX).ok().and_then(|bytes| pki::pem_certificates(&bytes).ok());
    // That they cannot be read is the finding of the look at the lists.
    let (Some(chain), Some(anchors)) = (read(&connection.certificate), read(&connection.ca)) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for certificate in &chain {
        let Some(issuer) = chain.iter().chain(&anchors).find(|issuer| pki::is_issued_by(certificate, issuer)) else {
            continue;
        };
        for url in OcspQuery::addresses(certificate).unwrap_or_default() {
            let finding = match ask(&url, certificate, issuer, now).await {
                Ok(reply) => judge(&url, &reply, now),
                Err(why) => {
                    Finding::fail("ocsp", format!("{url}: {why}: partners that ask it refuse our certificates"))
                }
            };
            findings.push(finding);
        }
    }
    findings
}

async fn ask(url: &str, certificate: &[u8], issuer: &[u8], now: i64) -> Result<OcspReply, String> {
    let mut nonce = [0; 32];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| "no randomness for a nonce".to_owned())?;
    let query = OcspQuery::new(certificate, issuer, Some(&nonce)).map_err(|error| error.to_string())?;
    let answer = plain_http::post(url, REQUEST_TYPE, query.der(), ANSWER_BYTES_MAX).await?;
    let now = OffsetDateTime::from_unix_timestamp(now).map_err(|error| error.to_string())?;
    query.read(&answer, now).map_err(|error| error.to_string())
}

fn judge(url: &str, reply: &OcspReply, now: i64) -> Finding {
    let until = reply.next_update.map_or_else(
        || "with newer information at any time".to_owned(),
        |end| format!("the next answer is due {}", moment::with_distance(end.unix_timestamp(), now)),
    );
    match reply.status {
        _ if !reply.nonce_matches => {
            Finding::warn("ocsp", format!("{url}: it leaves the nonce out, so old answers can be passed off as new"))
        }
        OcspStatus::Good => Finding::ok("ocsp", format!("{url}: the administrator's certificate is good; {until}")),
        OcspStatus::Revoked { .. } => {
            Finding::fail("ocsp", format!("{url}: the administrator's certificate is revoked"))
        }
        OcspStatus::NotIssued | OcspStatus::Unknown => Finding::fail(
            "ocsp",
            format!("{url}: it does not know the administrator's certificate: an older database was restored, perhaps"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn answers_are_weighed() {
        let key = pki::PrivateKey::generate(pki::KeyAlgorithm::EcdsaP384).unwrap();
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let profile = pki::Profile::builtin(pki::ProfileKind::Root);
        let serial = || pki::Serial::from_random([7; 16]);
        let root = pki::Issuer::self_signed(&profile, "Root", key, serial(), now).unwrap();
        let (profile, key) = (
            pki::Profile::builtin(pki::ProfileKind::Ocsp),
            pki::PrivateKey::generate(pki::KeyAlgorithm::EcdsaP256).unwrap(),
        );
        let request = pki::LeafRequest {
            common_name: "OCSP".into(),
            organization: None,
            identity: pki::Identity::Ocsp,
            public_key: key.public_key().clone(),
            lifetime: None,
        };
        let nowhere = pki::DistributionPoints::default();
        let prepared = root.prepare(&profile, request, serial(), &nowhere, now).unwrap();
        let signer = pki::OcspSigner::new(&root, root.sign(prepared).unwrap().der, key).unwrap();
        let (der, nonce) = (root.certificate_der(), [1; 32]);
        let query = OcspQuery::new(der, der, Some(&nonce)).unwrap();
        let request = pki::OcspRequest::parse(&query.der()).unwrap();
        let revoked = OcspStatus::Revoked { at: now, reason: pki::RevocationReason::Superseded };
        for (status, nonce, level) in [
            (OcspStatus::Good, Some(&nonce[..]), Level::Ok),
            (OcspStatus::Good, None, Level::Warn),
            (revoked, Some(&nonce[..]), Level::Fail),
            (OcspStatus::NotIssued, Some(&nonce[..]), Level::Fail),
        ] {
            let answers = [(&request.certificates[0], status)];
            let answer = signer.sign(&answers, nonce, time::Duration::HOUR, now).unwrap();
            let reply = query.read(&answer.der, now).unwrap();
            assert_eq!(judge("http://pki.example.com/ocsp", &reply, now.unix_timestamp()).level, level, "{status:?}");
        }
    }
}
