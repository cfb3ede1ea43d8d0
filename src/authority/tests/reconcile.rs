use pki::RevocationList;

use super::*;
use crate::authority::{Evidence, Reconciled};

/// A backup is made, life goes on, the disk is lost, the backup comes back.
struct Loss {
    /// The house as it was at the end.
    lost: House,
    restored: House,
    /// Issued before the backup, revoked after it.
    revoked: Issued,
    /// Issued after the backup.
    forgotten: Issued,
    /// Issued and revoked after the backup.
    gone: Issued,
}

async fn loss() -> Loss {
    let house = House::new().await;
    let revoked = house.issue().await;
    let copy = copy_of_template().await;
    std::fs::remove_file(copy.path().join("portcullis.db")).unwrap();
    house.store.copy_to(&copy.path().join("portcullis.db")).await.unwrap();
    let forgotten = house.issue().await;
    let gone = house.issue().await;
    house.revoke(&revoked, "key-compromise").await;
    house.revoke(&gone, "superseded").await;
    house.authority.publish_now().await.unwrap();
    let store = Store::open(&copy.path().join("portcullis.db")).await.unwrap();
    Authority::mark_restored(&store, &admin(), &house.clock).await.unwrap();
    store.close().await;
    let restored = House::open(copy, house.clock.clone()).await;
    Loss { lost: house, restored, revoked, forgotten, gone }
}

impl Loss {
    async fn list(&self) -> RevocationList {
        list_of(&self.lost).await
    }

    async fn evidence(&self) -> Evidence {
        let certificates = pki::pem_certificates(self.forgotten.certificate_pem.as_bytes()).unwrap();
        Evidence { certificates, lists: vec![self.list().await] }
    }

    async fn reconcile(&self, evidence: &Evidence) -> Result<Reconciled, Failure> {
        self.restored.authority.reconcile(evidence, &admin()).await
    }

    fn is_good(&self, issued: &Issued) -> bool {
        self.restored.entry(issued).is_some_and(|entry| entry.revoked.is_none())
    }
}

/// The list for clients, as it is published.
async fn list_of(house: &House) -> RevocationList {
    let issuing = house.issuing().id.parse().unwrap();
    RevocationList::parse(&house.authority.crl(&issuing).await.unwrap().unwrap()).unwrap()
}

#[tokio::test]
async fn a_restored_authority_revokes_and_publishes_but_issues_to_nobody() {
    let loss = loss().await;
    let house = &loss.restored;
    assert_eq!(code(house.authority.issue(certificate_for("acme-orders"), &admin()).await), "not_reconciled");
    assert!(house.authority.unreconciled_since().await.unwrap().is_some());
    assert!(loss.is_good(&loss.revoked), "this is what was lost");
    assert!(house.entry(&loss.forgotten).is_none(), "an unknown certificate is refused");
    house.authority.publish_now().await.unwrap();
    let number = |house: &House| house.issuing().crl.unwrap().number;
    assert!(
        number(house) > 65_536 && number(house) > number(&loss.lost),
        "nobody takes an older list for the newer one"
    );
    house.revoke(&loss.revoked, "key-compromise").await;
    assert!(!loss.is_good(&loss.revoked));
}

#[tokio::test]
async fn what_others_kept_puts_the_register_right_again() {
    let loss = loss().await;
    let done = loss.reconcile(&loss.evidence().await).await.unwrap();
    let expected =
        Reconciled { certificates_added: 1, certificates_known: 0, revocations_added: 1, unknown_serials_revoked: 1 };
    assert_eq!(done, expected);
    assert!(!loss.is_good(&loss.revoked), "revoked after the backup, and revoked again");
    assert!(loss.is_good(&loss.forgotten), "issued after the backup, and known again");
    assert!(!loss.is_good(&loss.gone));
    let house = &loss.restored;
    assert!(house.authority.unreconciled_since().await.unwrap().is_none());
    house.issue().await;
    house.authority.publish_now().await.unwrap();
    let list = list_of(house).await;
    assert_eq!(list.len(), 2, "both stand on the lists to come");
    assert_eq!(code(loss.reconcile(&loss.evidence().await).await), "not_restored", "once is enough");
}

#[tokio::test]
async fn evidence_that_proves_nothing_changes_nothing() {
    let loss = loss().await;
    let without_list = Evidence { lists: vec![], ..loss.evidence().await };
    assert_eq!(code(loss.reconcile(&without_list).await), "list_missing");
    // A certificate that a list revokes does not come back as good.
    let gone = pki::pem_certificates(loss.gone.certificate_pem.as_bytes()).unwrap();
    let stranger = House::open(own_authorities().await, Clock::manual(NOW)).await;
    let foreign = stranger.issue().await;
    let foreign = pki::pem_certificates(foreign.certificate_pem.as_bytes()).unwrap();
    let evidence = Evidence { certificates: foreign, lists: vec![loss.list().await] };
    assert_eq!(code(loss.reconcile(&evidence).await), "evidence_not_ours");
    stranger.authority.publish_now().await.unwrap();
    let evidence = Evidence { lists: vec![list_of(&stranger).await], ..Default::default() };
    assert_eq!(code(loss.reconcile(&evidence).await), "evidence_not_ours");
    assert!(loss.restored.authority.unreconciled_since().await.unwrap().is_some(), "still nothing is issued");

    let evidence = Evidence { certificates: gone, lists: vec![loss.list().await] };
    loss.reconcile(&evidence).await.unwrap();
    assert!(!loss.is_good(&loss.gone));
}

/// Other authorities for the same clients.
async fn own_authorities() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
    add_client(&store, "acme", "acme-orders").await;
    let (keys, clock) = (keys_in(folder.path()), Clock::manual(NOW));
    Authority::initialise(&store, &keys, &names(), &settings(), &Actor::local(), &clock).await.unwrap();
    store.close().await;
    folder
}
