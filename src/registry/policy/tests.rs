use super::*;
use crate::failure::RefusalKind;
use crate::registry::api_key::NewApiKey;
use crate::registry::tests::{Fixture, NOW, POLICY, READ, documents, machine, refusal};

/// [`POLICY`] with partner `beta` and its clients.
fn with_clients(ids: &[&str]) -> String {
    let mut text = format!("{POLICY}\n[[partner]]\nid = \"beta\"\nname = \"Beta Ltd\"\n");
    for id in ids {
        text.push_str(&format!(
            "[[client]]\nid = \"{id}\"\npartner = \"beta\"\nscopes = [\"{READ}\"]\nnetworks = [\"lab\"]\n"
        ));
    }
    text
}

fn effects(applied: &[Effect]) -> Vec<String> {
    applied.iter().map(|effect| format!("{} {} {}", effect.action, effect.what, effect.id)).collect()
}

#[tokio::test]
async fn a_policy_brings_its_clients_and_takes_them_back() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let both = documents(&with_clients(&["beta-in", "beta-out"]));
    let plan = registry.plan_policy(&both).await.unwrap();
    assert_eq!((plan.current_version, plan.conflicts.len()), (1, 0));
    assert_eq!(effects(&plan.effects), ["create partner beta", "create client beta-in", "create client beta-out"]);
    assert_eq!(plan.changes.len(), 3);
    assert!(registry.snapshot.policy().client("beta-in").is_none(), "a plan changes nothing");

    let applied = registry.apply_policy(actor, both.clone(), Some("first"), Some(1)).await.unwrap();
    assert_eq!((applied.version, applied.unchanged, &applied.effects), (2, false, &plan.effects));
    assert!(fixture.enabled("beta-in") && fixture.enabled("beta-out") && fixture.enabled("acme-orders"));
    let view = registry.client("beta-in").await.unwrap();
    assert_eq!((view.managed_by.as_deref(), view.networks.as_slice()), (Some("policy"), &["lab".to_owned()][..]));
    assert_eq!(registry.partner("beta").await.unwrap().name, "Beta Ltd");

    let one = documents(&with_clients(&["beta-in"]));
    let applied = registry.apply_policy(actor, one, None, None).await.unwrap();
    assert_eq!(effects(&applied.effects), ["withdraw client beta-out"]);
    assert!(fixture.enabled("beta-in") && !fixture.enabled("beta-out"));
    let view = registry.client("beta-out").await.unwrap();
    assert_eq!((view.enabled, view.disabled_by_operator, view.withdrawn_by), (false, false, Some(3)));
    assert_eq!(view.tokens_not_before, Some(NOW.0 + 1));
    assert_eq!(refusal(registry.set_client_enabled(actor, "beta-out", true).await).code, "withdrawn_by_policy");

    let applied = registry.apply_policy(actor, documents(POLICY), None, None).await.unwrap();
    assert_eq!(effects(&applied.effects), ["withdraw partner beta", "withdraw client beta-in"]);
    assert!(!registry.partner("beta").await.unwrap().enabled);

    let applied = registry.apply_policy(actor, both, None, None).await.unwrap();
    assert_eq!(
        effects(&applied.effects),
        ["restore partner beta", "restore client beta-in", "restore client beta-out"]
    );
    assert!(fixture.enabled("beta-in") && fixture.enabled("beta-out"));
}

#[tokio::test]
async fn an_operators_brake_holds_through_every_policy() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let declared = documents(&with_clients(&["beta-in"]));
    registry.apply_policy(actor, declared.clone(), None, None).await.unwrap();
    // The brake may be pulled on what a document declares.
    registry.set_client_enabled(actor, "beta-in", false).await.unwrap();
    assert!(!fixture.enabled("beta-in"));
    registry.apply_policy(actor, documents(POLICY), None, None).await.unwrap();
    let applied = registry.apply_policy(actor, declared, None, None).await.unwrap();
    let client = applied.effects.iter().find(|effect| effect.what == "client").unwrap();
    assert_eq!(client.note.as_deref(), Some("stays off: an operator disabled it"));
    assert!(!fixture.enabled("beta-in"));
    registry.set_client_enabled(actor, "beta-in", true).await.unwrap();
    assert!(fixture.enabled("beta-in"));
}

#[tokio::test]
async fn a_document_with_faults_changes_nothing_and_names_them_all() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let before = registry.store.newest_change().await.unwrap();
    let text = format!(
        "{POLICY}\n\
         [[client]]\nid = \"one\"\npartner = \"beta\"\nscopes = [\"https://api.example.com/test/raed\"]\n\
         [[client]]\nid = \"two\"\npartner = \"beta\"\nscopes = [\"{READ}\"]\nnetworks = [\"ofices\"]\n\
         [[client]]\nid = \"three\"\npartner = \"beta\"\nscopes = [\"{READ}\"]\nusage_plan = \"gold\"\n\
         [[client]]\nid = \"two\"\npartner = \"beta\"\nscopes = [\"{READ}\"]\n\
         [[network]]\nname = \"bad\"\ncidrs = [\"203.0.113.7/24\"]\n"
    );
    for outcome in [
        registry.apply_policy(actor, documents(&text), None, None).await.map(drop),
        registry.plan_policy(&documents(&text)).await.map(drop),
        check_policy(&documents(&text)).map(drop).map_err(Into::into),
    ] {
        let refused = refusal(outcome);
        assert_eq!((refused.kind, refused.code), (RefusalKind::Invalid, "policy_invalid"));
        assert_eq!(refused.details.len(), 5, "{:#?}", refused.details);
    }
    assert_eq!(registry.store.newest_change().await.unwrap(), before);
    assert_eq!(registry.snapshot.policy().version, 1);
    assert_eq!(refusal(registry.client("one").await).code, "client_not_found");
}

#[tokio::test]
async fn what_the_registry_needs_cannot_be_dropped() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let before = registry.store.newest_change().await.unwrap();
    let without = documents(&POLICY.replace("name = \"offices\"", "name = \"houses\""));
    let plan = registry.plan_policy(&without).await.unwrap();
    assert_eq!(plan.conflicts.len(), 1);
    let refused = refusal(registry.apply_policy(actor, without, None, None).await);
    assert_eq!((refused.kind, refused.code), (RefusalKind::Conflict, "policy_conflicts"));
    assert_eq!(refused.details, plan.conflicts);
    assert!(refused.details[0].contains("acme-orders") && refused.details[0].contains("offices"));
    // A client that is off counts too: on again, it must find its networks.
    registry.set_client_enabled(actor, "acme-orders", false).await.unwrap();
    let without = documents(&POLICY.replace("name = \"offices\"", "name = \"houses\""));
    assert_eq!(refusal(registry.apply_policy(actor, without, None, None).await).code, "policy_conflicts");
    registry.set_client_enabled(actor, "acme-orders", true).await.unwrap();
    assert!(fixture.enabled("acme-orders"));
    assert!(before < registry.store.newest_change().await.unwrap());
    assert_eq!(registry.snapshot.policy().version, 1);
}

#[tokio::test]
async fn a_network_that_a_live_key_is_narrowed_to_cannot_be_dropped() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let narrowed = NewApiKey { client: "acme-orders".into(), networks: Some(vec!["lab".into()]), ..Default::default() };
    let key = registry.create_api_key(actor, narrowed).await.unwrap();
    let without = documents(&POLICY.replace("name = \"lab\"", "name = \"attic\""));
    let refused = refusal(registry.apply_policy(actor, without.clone(), None, None).await);
    assert!(refused.details[0].contains(&key.view.id), "{:?}", refused.details);
    registry.revoke_api_key(actor, &key.view.id, "superseded").await.unwrap();
    registry.apply_policy(actor, without, None, None).await.unwrap();
}

#[tokio::test]
async fn what_the_registry_made_a_document_cannot_take_over() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    registry.create_client(actor, machine("acme-stock")).await.unwrap();
    let taken = format!(
        "{POLICY}\n[[partner]]\nid = \"acme\"\nname = \"Not Acme\"\n\
         [[client]]\nid = \"acme-orders\"\npartner = \"acme\"\nscopes = [\"{READ}\"]\n\
         [[client]]\nid = \"acme-stock\"\npartner = \"acme\"\nscopes = [\"{READ}\"]\n"
    );
    let refused = refusal(registry.apply_policy(actor, documents(&taken), None, None).await);
    assert_eq!((refused.code, refused.details.len()), ("policy_conflicts", 3), "{:?}", refused.details);
    assert_eq!(registry.client("acme-orders").await.unwrap().managed_by, None);

    // A document may give a partner of the registry a client, and leave again without taking the partner along.
    let guest = format!("{POLICY}\n[[client]]\nid = \"acme-new\"\npartner = \"acme\"\nscopes = [\"{READ}\"]\n");
    let applied = registry.apply_policy(actor, documents(&guest), None, None).await.unwrap();
    assert_eq!(effects(&applied.effects), ["create client acme-new"]);
    let applied = registry.apply_policy(actor, documents(POLICY), None, None).await.unwrap();
    assert_eq!(effects(&applied.effects), ["withdraw client acme-new"]);
    assert!(registry.partner("acme").await.unwrap().enabled);
    // And the id stays the document's.
    assert_eq!(refusal(registry.create_client(actor, machine("acme-new")).await).code, "client_exists");
}

#[tokio::test]
async fn a_plan_says_whom_a_partner_takes_along() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    registry.apply_policy(actor, documents(&with_clients(&[])), None, None).await.unwrap();
    let mut guest = machine("beta-guest");
    guest.partner = "beta".into();
    registry.create_client(actor, guest).await.unwrap();
    let plan = registry.plan_policy(&documents(POLICY)).await.unwrap();
    assert_eq!(plan.effects[0].note.as_deref(), Some("also turns off beta-guest"));
    registry.apply_policy(actor, documents(POLICY), None, None).await.unwrap();
    assert!(!fixture.enabled("beta-guest"));
    assert_eq!(refusal(registry.set_partner_enabled(actor, "beta", true).await).code, "withdrawn_by_policy");
}

#[tokio::test]
async fn a_version_is_only_applied_on_the_one_that_was_planned_on() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let declared = documents(&with_clients(&["beta-in"]));
    let refused = refusal(registry.apply_policy(actor, declared.clone(), None, Some(0)).await);
    assert_eq!((refused.kind, refused.code), (RefusalKind::Conflict, "policy_changed"));
    registry.apply_policy(actor, declared.clone(), None, Some(1)).await.unwrap();
    assert_eq!(refusal(registry.apply_policy(actor, documents(POLICY), None, Some(1)).await).code, "policy_changed");
    let again = registry.apply_policy(actor, declared, None, Some(2)).await.unwrap();
    assert_eq!((again.version, again.unchanged), (2, true));
    assert_eq!(registry.policy_history(Page::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_rollback_is_a_new_version() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    registry.apply_policy(actor, documents(&with_clients(&["beta-in"])), None, None).await.unwrap();
    let applied = registry.rollback_policy(actor, 1).await.unwrap();
    assert_eq!(applied.version, 3);
    assert!(!fixture.enabled("beta-in"));
    let history = registry.policy_history(Page::default()).await.unwrap();
    let seen: Vec<_> = history.iter().map(|view| (view.id, view.restored, view.applied_by.as_str())).collect();
    assert_eq!(seen, [(3, Some(1), "ops"), (2, None, "ops"), (1, None, "ops")]);
    let stored = registry.policy_version(3).await.unwrap().documents.unwrap();
    assert_eq!((stored[0].name.as_str(), stored[0].text.as_str()), ("policy.toml", POLICY));
    assert_eq!(refusal(registry.rollback_policy(actor, 9).await).code, "policy_not_found");
    assert!(fixture.actions().await.contains(&"policy.rollback".to_owned()));
}

/// The way out when a newer binary left a policy that this one cannot read.
#[tokio::test]
async fn a_policy_that_cannot_be_read_is_repaired_by_another() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let mut tx = registry.store.begin().await.unwrap();
    let row = PolicyRow {
        version: 2,
        documents: vec![StoredDocument { name: "policy.toml".into(), text: "[[portal]]\n".into() }],
        comment: None,
        applied_by: "newer".into(),
        applied_at: NOW.0,
        restored: None,
    };
    policy::insert(&mut tx, &row, NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(registry.create_client(actor, machine("acme-stock")).await, Err(Failure::Fault(_))));
    let applied = registry.rollback_policy(actor, 1).await.unwrap();
    assert_eq!(applied.version, 3);
    registry.create_client(actor, machine("acme-stock")).await.unwrap();
}
