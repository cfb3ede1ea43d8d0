use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::presented::MintedApiKey;
use super::*;
use crate::registry::Pepper;
use crate::registry::tests::{Fixture, NOW, READ, WRITE, refusal};

fn new_key() -> NewApiKey {
    NewApiKey { client: "acme-orders".into(), name: Some("nightly".into()), ..NewApiKey::default() }
}

/// Whether the gate would take the text now: the stages that it goes through, in short.
fn opens(fixture: &Fixture, text: &SecretString) -> bool {
    let now = fixture.registry.clock.now();
    let Some(presented) = PresentedApiKey::parse(text.expose_secret()) else { return false };
    let mac = presented.mac(&fixture.registry.pepper);
    fixture
        .registry
        .snapshot
        .api_key(presented.id())
        .is_some_and(|entry| entry.hmac == mac && !entry.revoked && entry.expires_at().is_none_or(|end| now < end))
}

#[tokio::test]
async fn a_key_opens_from_its_creation_to_its_revocation() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let created = registry.create_api_key(actor, new_key()).await.unwrap();
    assert!(opens(&fixture, &created.key));
    let text = created.key.expose_secret();
    assert!(text.starts_with(&format!("pc_test_{}_", created.view.id)) && text.ends_with(&created.view.last4));
    assert_eq!((created.view.status, created.view.expires_at), ("active", None));

    let revoked = registry.revoke_api_key(actor, &created.view.id, "key-compromise").await.unwrap();
    assert_eq!((revoked.status, revoked.revoked_at), ("revoked", Some(NOW.0)));
    assert!(!opens(&fixture, &created.key));
    fixture.wait(10);
    let again = registry.revoke_api_key(actor, &created.view.id, "superseded").await.unwrap();
    assert_eq!((again.revoked_at, again.revocation_reason.as_deref()), (Some(NOW.0), Some("key-compromise")));
    assert_eq!(refusal(registry.rotate_api_key(actor, &created.view.id, 0).await).code, "key_not_live");
    assert_eq!(refusal(registry.revoke_api_key(actor, "none", "x").await).code, "api_key_not_found");
    let actions = fixture.actions().await;
    assert_eq!(actions.iter().filter(|action| *action == "api-key.revoke").count(), 1);
}

#[tokio::test]
async fn a_key_ends_at_its_expiry() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let expiring = |expiry| NewApiKey { expiry: Some(expiry), ..new_key() };
    let created = registry.create_api_key(actor, expiring(Expiry::After(60))).await.unwrap();
    assert_eq!(created.view.expires_at, Some(NOW.0 + 60));
    fixture.wait(59);
    assert!(opens(&fixture, &created.key));
    fixture.wait(1);
    assert!(!opens(&fixture, &created.key));
    assert_eq!(registry.api_key(&created.view.id).await.unwrap().status, "expired");
    registry.create_api_key(actor, new_key()).await.unwrap();
    let ending =
        ApiKeyFilter { ends_before: Some(NOW.plus(61)), client: Some("acme-orders".into()), ..Default::default() };
    let ending: Vec<String> = registry.api_keys(&ending).await.unwrap().into_iter().map(|view| view.id).collect();
    assert_eq!(ending, [created.view.id]);
    for bad in [Expiry::After(0), Expiry::After(-5), Expiry::At(NOW), Expiry::After(i64::MAX), Expiry::After(i64::MIN)]
    {
        assert_eq!(
            refusal(registry.create_api_key(actor, expiring(bad)).await).kind,
            crate::failure::RefusalKind::Invalid
        );
    }
}

#[tokio::test]
async fn a_rotation_gives_grace_but_no_longer_life() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let old = registry
        .create_api_key(
            actor,
            NewApiKey { expiry: Some(Expiry::After(1000)), scopes: Some(vec![READ.into()]), ..new_key() },
        )
        .await
        .unwrap();
    fixture.wait(100);
    let new = registry.rotate_api_key(actor, &old.view.id, 300).await.unwrap();
    assert_ne!(new.view.id, old.view.id);
    assert_eq!((new.view.name.as_deref(), new.view.scopes.as_deref()), (Some("nightly"), Some(&[READ.to_owned()][..])));
    assert_eq!(new.view.expires_at, Some(NOW.0 + 1100));
    let replaced = registry.api_key(&old.view.id).await.unwrap();
    assert_eq!((replaced.status, replaced.expires_at), ("rotating", Some(NOW.0 + 400)));
    assert_eq!(replaced.replaced_by.as_deref(), Some(new.view.id.as_str()));
    assert!(opens(&fixture, &old.key) && opens(&fixture, &new.key));
    assert_eq!(refusal(registry.rotate_api_key(actor, &old.view.id, 5).await).code, "key_already_rotated");
    fixture.wait(300);
    assert!(!opens(&fixture, &old.key) && opens(&fixture, &new.key));

    // 700 seconds are left; a grace of 10 000 does not lengthen them.
    let third = registry.rotate_api_key(actor, &new.view.id, 10_000).await.unwrap();
    assert_eq!(registry.api_key(&new.view.id).await.unwrap().expires_at, Some(NOW.0 + 1100));
    // No grace: the old one is shut at once.
    registry.rotate_api_key(actor, &third.view.id, 0).await.unwrap();
    assert!(!opens(&fixture, &third.key));
    for bad in [-1, GRACE_SECONDS_MAX + 1, i64::MAX] {
        assert_eq!(refusal(registry.rotate_api_key(actor, &third.view.id, bad).await).code, "invalid_grace");
    }
}

#[tokio::test]
async fn a_narrowing_cannot_widen() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let scoped = |scopes: &[&str]| NewApiKey {
        scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        ..new_key()
    };
    let created = registry.create_api_key(actor, scoped(&[READ])).await.unwrap();
    let entry = registry.snapshot.api_key(&created.view.id).unwrap();
    assert_eq!(entry.narrowing().unwrap().scopes.as_ref().map(ToString::to_string).as_deref(), Some(READ));

    let refused = refusal(registry.create_api_key(actor, scoped(&[READ, WRITE])).await);
    assert_eq!((refused.code, refused.details), ("scope_not_granted", vec![WRITE.to_owned()]));
    assert_eq!(refusal(registry.create_api_key(actor, scoped(&[])).await).code, "list_empty");
    assert_eq!(refusal(registry.create_api_key(actor, scoped(&["x y"])).await).code, "invalid_scope");
    let placed = |networks: &[&str]| NewApiKey {
        networks: Some(networks.iter().map(|name| (*name).to_owned()).collect()),
        ..new_key()
    };
    registry.create_api_key(actor, placed(&["lab", "192.0.2.0/24"])).await.unwrap();
    let refused = refusal(registry.create_api_key(actor, placed(&["lab", "moon", "192.0.2.1/24"])).await);
    assert_eq!((refused.code, refused.details.len()), ("unknown_network", 2));
    assert_eq!(refusal(registry.create_api_key(actor, placed(&[])).await).code, "list_empty");
    let nobodys = NewApiKey { client: "nobody".into(), ..new_key() };
    assert_eq!(refusal(registry.create_api_key(actor, nobodys).await).code, "client_not_found");
    assert_eq!(registry.api_keys(&ApiKeyFilter::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_client_has_a_bounded_number_of_live_keys() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    for _ in 1..LIVE_KEYS_MAX {
        registry.create_api_key(actor, new_key()).await.unwrap();
    }
    let last = registry.create_api_key(actor, new_key()).await.unwrap().view.id;
    assert_eq!(refusal(registry.rotate_api_key(actor, &last, 60).await).code, "too_many_keys");
    registry.rotate_api_key(actor, &last, 0).await.unwrap();
    assert_eq!(refusal(registry.create_api_key(actor, new_key()).await).code, "too_many_keys");
}

#[test]
fn what_is_not_a_key_is_not_parsed() {
    let pepper = Pepper::from_bytes(&[1; 32]);
    let minted = MintedApiKey::random("demo", &pepper).unwrap();
    let text = minted.text.expose_secret();
    assert!(PresentedApiKey::parse(text).is_some());
    let long_environment = "x".repeat(17);
    let others = [
        String::new(),
        "pc_".into(),
        "pc___".into(),
        text.to_uppercase(),
        text[1..].to_owned(),
        text[..text.len() - 1].to_owned(),
        format!("{text} "),
        format!(" {text}"),
        format!("{text}{}", "0".repeat(100)),
        text.replacen("demo", "", 1),
        text.replacen("demo", "demö", 1),
        text.replacen("demo", &long_environment, 1),
        text.replacen("demo", "prod", 1),
    ];
    for other in others {
        assert!(PresentedApiKey::parse(&other).is_none(), "{other:?}");
    }
    assert!(MintedApiKey::random("Prod", &pepper).is_err());
    assert!(MintedApiKey::random(&long_environment, &pepper).is_err());
    let example = PresentedApiKey::example("test");
    assert_eq!(PresentedApiKey::parse(&example).unwrap().id(), "0000000000");
    assert!(check_environment("prod1").is_ok() && check_environment("").is_err());
}

/// A key that was written down once, so that no change of the format locks out the keys in the field.
#[test]
fn the_format_stays() {
    let text = "pc_demo_0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef4cWOHS";
    let presented = PresentedApiKey::parse(text).unwrap();
    assert_eq!(presented.id(), "0123456789");
    let pepper = Pepper::from_bytes(&[1; 32]);
    assert_eq!(presented.mac(&pepper), pepper.hmac("api-key", b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"));
}

proptest! {
    #[test]
    fn a_key_round_trips_and_no_single_change_goes_unnoticed(
        environment in "[a-z0-9]{1,16}",
        place in any::<prop::sample::Index>(),
        other in any::<char>(),
        near in "[0-9A-Za-z_]",
    ) {
        let pepper = Pepper::from_bytes(&[1; 32]);
        let minted = MintedApiKey::random(&environment, &pepper).unwrap();
        let text = minted.text.expose_secret();
        let presented = PresentedApiKey::parse(text).unwrap();
        prop_assert_eq!(presented.id(), minted.id.as_str());
        prop_assert_eq!(presented.mac(&pepper), minted.hmac);
        let prefix = format!("pc_{environment}_{}", minted.id);
        prop_assert_eq!(&minted.prefix, &prefix);
        prop_assert!(text.starts_with(&prefix) && text.ends_with(&minted.last4));

        let place = place.index(text.len());
        for replacement in [other, near.chars().next().unwrap()] {
            let mut changed = text.to_owned();
            changed.replace_range(place..=place, &replacement.to_string());
            if changed != text {
                prop_assert!(PresentedApiKey::parse(&changed).is_none(), "{} passes as {}", changed, text);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_fall_over(text in "\\PC{0,140}") {
        _ = PresentedApiKey::parse(&text);
        _ = PresentedApiKey::parse(&format!("pc_{text}"));
    }
}
