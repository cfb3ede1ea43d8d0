use super::*;

async fn ids(house: &House, query: CertificateQuery) -> Vec<String> {
    house.authority.list(&query).await.unwrap().certificates.into_iter().map(|certificate| certificate.id).collect()
}

#[tokio::test]
async fn filters_by_client_partner_state_and_expiry() {
    let house = House::new().await;
    let short = NewCertificate { lifetime_seconds: Some(DAY as u32), ..certificate_for("acme-orders") };
    let short = house.authority.issue(short, &admin()).await.unwrap().certificate.id;
    let stock = house.authority.issue(certificate_for("acme-stock"), &admin()).await.unwrap();
    let globex = house.authority.issue(certificate_for("globex-orders"), &admin()).await.unwrap().certificate.id;
    house.revoke(&stock, "superseded").await;
    let stock = stock.certificate.id;
    let query = CertificateQuery::default;
    let state = |state| CertificateQuery { state: Some(state), ..query() };

    assert_eq!(ids(&house, query()).await.len(), 3);
    assert_eq!(
        ids(&house, CertificateQuery { client: Some("acme-orders".into()), ..query() }).await,
        std::slice::from_ref(&short)
    );
    assert_eq!(
        ids(&house, CertificateQuery { partner: Some("globex".into()), ..query() }).await,
        std::slice::from_ref(&globex)
    );
    assert_eq!(ids(&house, state(CertificateStatus::Revoked)).await, [stock]);
    assert_eq!(ids(&house, state(CertificateStatus::Issued)).await.len(), 2);
    let soon = CertificateQuery { expiring_within_seconds: Some(2 * DAY as u32), ..query() };
    assert_eq!(ids(&house, soon.clone()).await, std::slice::from_ref(&short));
    let contradiction = CertificateQuery { state: Some(CertificateStatus::Revoked), ..soon };
    assert_eq!(code(house.authority.list(&contradiction).await), "contradiction");

    house.clock.advance(std::time::Duration::from_secs(DAY as u64 + 1));
    assert_eq!(ids(&house, state(CertificateStatus::Expired)).await, [short]);
    assert_eq!(ids(&house, state(CertificateStatus::Issued)).await, [globex]);
    assert_eq!("expired".parse::<CertificateStatus>().unwrap(), CertificateStatus::Expired);
    assert!("good".parse::<CertificateStatus>().is_err());
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_others_are_issued() {
    let house = House::new().await;
    let mut all = Vec::new();
    for seconds in 0..7 {
        all.push(house.issue().await.certificate.id);
        house.clock.advance(std::time::Duration::from_secs(seconds % 2));
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let query = CertificateQuery { limit: Some(2), after, ..Default::default() };
        let page = house.authority.list(&query).await.unwrap();
        assert!(page.certificates.len() <= 2);
        seen.extend(page.certificates.into_iter().map(|certificate| certificate.id));
        house.clock.advance(std::time::Duration::from_secs(1));
        house.issue().await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    all.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, all);
    for (limit, after, expected) in
        [(0, None, "invalid_limit"), (1001, None, "invalid_limit"), (1, Some("x"), "invalid_cursor")]
    {
        let query = CertificateQuery { limit: Some(limit), after: after.map(Into::into), ..Default::default() };
        assert_eq!(code(house.authority.list(&query).await), expected);
    }
}

#[tokio::test]
async fn shows_one_with_its_pem() {
    let house = House::new().await;
    let issued = house.issue().await;
    let shown = house.authority.show(&issued.certificate.id.to_uppercase().parse().unwrap()).await.unwrap();
    assert_eq!(shown.pem.as_ref(), Some(&issued.certificate_pem));
    assert_eq!(shown, issued.certificate);
    assert_eq!(code(house.authority.show(&"4a".parse().unwrap()).await), "certificate_not_found");
}
