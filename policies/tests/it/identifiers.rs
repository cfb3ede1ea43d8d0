//! Client and partner ids, methods, status, time.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use policies::*;
use serde::{Deserialize, Serialize};

#[test]
fn client_ids() {
    let long = "a".repeat(128);
    for good in ["a", "A9", "acme-orders", "3b7f.x_y+z-1", "4f7k2example9client1id", &long] {
        assert_eq!(good.parse::<ClientId>().unwrap().as_str(), good);
    }
    let too_long = "a".repeat(129);
    for bad in ["", "-a", ".a", "_a", "+a", "a b", "a/b", "a:b", "é", "a\n", "a\0", &too_long] {
        assert!(ClientId::try_from(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn partner_ids() {
    let long = "a".repeat(63);
    for good in ["a", "9", "acme", "acme-eu-1", &long] {
        assert_eq!(good.parse::<PartnerId>().unwrap().to_string(), good);
    }
    let too_long = "a".repeat(64);
    for bad in ["", "-a", "Acme", "a.b", "a_b", "a/b", "..", "a b", "é", &too_long] {
        assert!(PartnerId::try_from(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn ids_are_looked_up_as_text() {
    let id: ClientId = "acme".parse().unwrap();
    let map = HashMap::from([(id.clone(), 1)]);
    assert_eq!(map.get("acme"), Some(&1));
    assert_eq!((id.as_ref(), format!("{id:?}").as_str()), ("acme", "\"acme\""));
}

#[test]
fn json_shapes_are_checked_on_the_way_in() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        client: ClientId,
        partner: PartnerId,
        scope: Scope,
        scopes: ScopeSet,
        method: AuthMethod,
        methods: AuthMethodSet,
        kind: CredentialKind,
        status: CredentialStatus,
        at: UnixSeconds,
        stage: Stage,
    }
    let text = "client = \"acme-orders\"\npartner = \"acme\"\nscope = \"api/a\"\nscopes = [\"api/a\", \"api/b\"]\n\
                method = \"mutual_tls\"\nmethods = [\"mutual_tls\", \"bearer\"]\nkind = \"client-certificate\"\n\
                status = \"not_yet_valid\"\nat = -5\nstage = \"client_network\"\n";
    let row: Row = toml::from_str(text).unwrap();
    assert_eq!(toml::to_string(&row).unwrap(), text);
    assert_eq!(row.kind.as_str(), "client-certificate");
    assert_eq!(row.status.as_str(), "not_yet_valid");
    assert_eq!(row.stage.as_str(), "client_network");
    for (good, bad) in
        [("acme-orders", "-x"), ("\"acme\"", "\"Acme\""), ("\"api/b\"", "\"b\""), ("\"mutual_tls\"\n", "\"mtls\"\n")]
    {
        assert!(toml::from_str::<Row>(&text.replace(good, bad)).is_err(), "{bad}");
    }
}

#[test]
fn method_sets() {
    let both = AuthMethodSet::EMPTY.with(AuthMethod::ApiKey).with(AuthMethod::MutualTls);
    assert_eq!(both.to_string(), "mutual_tls+api_key");
    assert_eq!(AuthMethodSet::EMPTY.to_string(), "none");
    assert!(both.contains(AuthMethod::ApiKey) && !both.contains(AuthMethod::Bearer));
    assert!(both.is_superset(AuthMethodSet::only(AuthMethod::ApiKey)) && both.is_superset(AuthMethodSet::EMPTY));
    assert!(!AuthMethodSet::only(AuthMethod::ApiKey).is_superset(both));
    assert_eq!((both.len(), AuthMethodSet::EMPTY.is_empty()), (2, true));
    assert_eq!(both.iter().collect::<BTreeSet<_>>(), BTreeSet::from([AuthMethod::MutualTls, AuthMethod::ApiKey]));
    assert!("mtls".parse::<AuthMethod>().is_err());
    for method in AuthMethod::ALL {
        assert_eq!(method.as_str().parse::<AuthMethod>().unwrap(), method);
    }
}

#[test]
fn status_at_a_moment() {
    let at = |now| status_at(Some(UnixSeconds(100)), Some(UnixSeconds(200)), false, UnixSeconds(now));
    assert_eq!(at(99), CredentialStatus::NotYetValid);
    assert_eq!(at(100), CredentialStatus::Active);
    assert_eq!(at(199), CredentialStatus::Active);
    assert_eq!(at(200), CredentialStatus::Expired);
    assert_eq!(status_at(None, None, false, UnixSeconds(i64::MIN)), CredentialStatus::Active);
    assert_eq!(status_at(None, Some(UnixSeconds(0)), true, UnixSeconds(5)), CredentialStatus::Revoked);
    let reversed = status_at(Some(UnixSeconds(10)), Some(UnixSeconds(5)), false, UnixSeconds(7));
    assert_eq!(reversed, CredentialStatus::Expired, "an empty validity is never active");
}

#[test]
fn time_does_not_wrap() {
    assert_eq!(UnixSeconds(i64::MAX).plus(1), UnixSeconds(i64::MAX));
    assert_eq!(UnixSeconds(5).until(UnixSeconds(8)), Duration::from_secs(3));
    assert_eq!(UnixSeconds(8).until(UnixSeconds(5)), Duration::ZERO);
    assert_eq!(UnixSeconds(i64::MIN).until(UnixSeconds(i64::MAX)), Duration::from_secs(u64::MAX));
}
