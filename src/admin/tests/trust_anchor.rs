use pki::{Issuer, KeyAlgorithm, PrivateKey, Profile, ProfileKind, Serial};

use super::*;

fn authority() -> String {
    let now = time::OffsetDateTime::from_unix_timestamp(NOW.0).unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP384).unwrap();
    let serial = Serial::from_random([7; 16]);
    let profile = Profile::builtin(ProfileKind::Root);
    Issuer::self_signed(&profile, "Acme Root", key, serial, now).unwrap().certificate_pem()
}

fn order(certificate: &str) -> Value {
    json!({
        "id": "acme-ca", "partner": "acme", "certificate": certificate, "names": ["uri:spiffe://acme.example/"],
        "mappings": ["uri:spiffe://acme.example/orders=acme-orders"],
    })
}

fn with(mut order: Value, member: &str, value: Value) -> Value {
    order[member] = value;
    order
}

#[tokio::test]
async fn an_authority_of_a_partner_comes_and_goes() {
    let server = Server::with_client().await;
    let order = order(&authority());
    let made = server.post("/v1/trust-anchors", order.clone()).await.ok(StatusCode::CREATED);
    assert_eq!((made["partner"].as_str(), made["revocation"].as_str()), (Some("acme"), Some("required")));
    assert_eq!(made["authorities"][0]["revocation_list"], "missing");
    server.post("/v1/trust-anchors", order.clone()).await.refused(StatusCode::CONFLICT, "anchor_exists");
    let replaced = with(with(order, "replace", true.into()), "revocation", "best-effort".into());
    let replaced = server.post("/v1/trust-anchors", replaced).await.ok(StatusCode::CREATED);
    assert_eq!(replaced["revocation"], "best-effort");
    let listed = server.get("/v1/trust-anchors").await.ok(StatusCode::OK);
    assert_eq!(listed["items"], json!([replaced]));
    assert_eq!(server.get("/v1/trust-anchors/acme-ca").await.ok(StatusCode::OK), replaced);
    server.post("/v1/trust-anchors/acme-ca/refresh", json!({})).await.refused(StatusCode::CONFLICT, "no_crl_source");
    let junk = json!({"crl": "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"});
    server
        .post("/v1/trust-anchors/acme-ca/refresh", junk)
        .await
        .refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_crl");
    let removed = server.post("/v1/trust-anchors/acme-ca/remove", json!({})).await.ok(StatusCode::OK);
    assert_eq!(removed, json!({"id": "acme-ca", "connections_closed": 0}));
    server.get("/v1/trust-anchors/acme-ca").await.refused(StatusCode::NOT_FOUND, "anchor_not_found");
    server.post("/v1/trust-anchors/acme-ca/remove", json!({})).await.refused(StatusCode::NOT_FOUND, "anchor_not_found");
    let audit = server.get("/v1/audit?kind=change&limit=10").await;
    assert!(audit.body.to_string().contains("anchor.remove") || audit.status != StatusCode::OK, "{:#}", audit.body);
}

#[tokio::test]
async fn what_is_not_sound_is_not_imported() {
    let server = Server::with_client().await;
    server.post("/v1/partners", json!({"id": "globex", "name": "Globex"})).await.ok(StatusCode::CREATED);
    let good = order(&authority());
    for (member, value, status, code) in [
        ("id", json!("Acme CA"), 422, "invalid_anchor_id"),
        ("partner", json!("nobody"), 404, "partner_not_found"),
        ("partner", json!("globex"), 422, "unknown_client"),
        ("certificate", json!("nothing"), 422, "malformed_pem"),
        ("certificate", json!(format!("{0}{0}", authority())), 422, "ambiguous_anchor"),
        ("intermediates", json!(authority()), 422, "not_below_anchor"),
        ("names", json!(["uri:spiffe://api.example.com/"]), 422, "invalid_anchor_rules"),
        ("names", json!([]), 422, "invalid_anchor_rules"),
        ("mappings", json!([]), 422, "invalid_anchor_rules"),
        ("mappings", json!(["uri:spiffe://acme.example/orders=acme-typo"]), 422, "unknown_client"),
        ("revocation", json!("never"), 422, "invalid_revocation"),
        ("grace_seconds", json!(31 * 86_400), 422, "invalid_revocation"),
        ("refresh_seconds", json!(1), 422, "invalid_revocation"),
        ("crl_urls", json!(["ldap://pki.acme.example/"]), 422, "invalid_crl_url"),
        ("crl_urls", json!(["http://169.254.169.254/latest"]), 422, "invalid_crl_url"),
        ("surprise", json!(1), 400, "malformed_body"),
    ] {
        let answer = server.post("/v1/trust-anchors", with(good.clone(), member, value.clone())).await;
        let found = (answer.status.as_u16(), answer.body["code"].as_str().unwrap_or_default());
        assert_eq!(found, (status, code), "{member} {value}: {:#}", answer.body);
    }
    assert_eq!(server.get("/v1/trust-anchors").await.ok(StatusCode::OK)["items"], json!([]));
}
