//! The search against a plain filter over all rows: every question by every way, page by page.

use proptest::prelude::*;

use super::way::{Filter, Way};
use super::*;
use crate::store::certificate::change_key;
use crate::store::sighting::{self, SightingKind, SightingRow};

const START: i64 = 1_800_000_000;
const ISSUERS: [&str; 2] = ["aa", "bb"];
const ALGORITHMS: [&str; 2] = ["ecdsa-p256", "rsa-2048"];
const CLIENTS: [(&str, &str); 3] = [("orders", "acme"), ("stock", "acme"), ("other", "globex")];
const SOURCES: [&str; 3] = ["192.0.2.1", "192.0.2.200", "2001:db8::7"];

/// A certificate as the test knows it.
#[derive(Clone, Debug)]
struct Certificate {
    issuer: &'static str,
    serial: String,
    state: CertificateState,
    kind: CertificateKind,
    client: Option<usize>,
    algorithm: &'static str,
    created_at: i64,
    not_after: i64,
    revoked: bool,
    seen: Option<(i64, &'static str)>,
}

impl Certificate {
    fn matches(&self, search: &CertificateSearch) -> bool {
        let client = self.client.map(|client| CLIENTS[client]);
        let fits = |asked: &Option<String>, value: Option<&str>| asked.is_none() || asked.as_deref() == value;
        fits(&search.client, client.map(|(client, _)| client))
            && fits(&search.partner, client.map(|(_, partner)| partner))
            && fits(&search.issuer_key_id, Some(self.issuer))
            && fits(&search.key_algorithm, Some(self.algorithm))
            && search.kind.is_none_or(|kind| kind == self.kind)
            && search.state.is_none_or(|state| state == self.state)
            && search.revoked.is_none_or(|revoked| revoked == self.revoked)
            && search.ends_from.is_none_or(|from| self.not_after >= from.0)
            && search.ends_before.is_none_or(|before| self.not_after < before.0)
            && match &search.seen {
                None => true,
                Some(SeenFilter::Never) => self.seen.is_none(),
                Some(SeenFilter::Within { from, before, sources }) => self.seen.is_some_and(|(at, source)| {
                    from.is_none_or(|from| at >= from.0)
                        && before.is_none_or(|before| at < before.0)
                        && (sources.is_none() || source.starts_with("192.0.2."))
                }),
            }
    }

    fn instant(&self, order: Order) -> i64 {
        match order {
            Order::Newest => -self.created_at,
            Order::NextToEnd => self.not_after,
            Order::LastSeen => -self.seen.unwrap().0,
            Order::LongestUnseen => self.seen.unwrap().0,
        }
    }

    async fn insert(&self, connection: &mut sqlx::SqliteConnection) {
        sqlx::query(
            "INSERT INTO certificates (issuer_key_id, serial, state, client_id, kind, subject, key_algorithm, spki_fingerprint,
                                       not_before, not_after, created_at)
             VALUES ($1, $2, $3, $4, $5, 'CN=x', $6, 'ff', 0, $7, $8)",
        )
        .bind(self.issuer)
        .bind(&self.serial)
        .bind(self.state.as_str())
        .bind(self.client.map(|client| CLIENTS[client].0))
        .bind(self.kind.as_str())
        .bind(self.algorithm)
        .bind(self.not_after)
        .bind(self.created_at)
        .execute(&mut *connection)
        .await
        .unwrap();
        if self.revoked {
            sqlx::query(
                "INSERT INTO revocations (issuer_key_id, serial, revoked_at, reason) VALUES ($1, $2, 1, 'superseded')",
            )
            .bind(self.issuer)
            .bind(&self.serial)
            .execute(connection)
            .await
            .unwrap();
        }
    }

    fn sighting(&self) -> Option<SightingRow> {
        self.seen.map(|(at, source)| SightingRow {
            kind: SightingKind::Certificate,
            id: change_key(self.issuer, &self.serial),
            last_seen_at: at,
            source: source.to_owned(),
            route: None,
            chain: None,
        })
    }
}

fn certificate() -> impl Strategy<Value = Certificate> {
    let seen = proptest::option::of((0..20i64, 0..SOURCES.len()));
    // Few serials and seconds: what ties must come in one order too.
    let of = (0..2usize, 0..60u32, proptest::option::weighted(0.9, 0..CLIENTS.len()), 0..2usize, 0..4usize, seen);
    (of, 0..12i64, 0..12i64, 0..4u8).prop_map(
        |((issuer, serial, client, algorithm, state, seen), created, ends, revoked)| Certificate {
            issuer: ISSUERS[issuer],
            serial: format!("{serial:02x}"),
            state: [
                CertificateState::Issued,
                CertificateState::Issued,
                CertificateState::Reserved,
                CertificateState::Orphaned,
            ][state],
            kind: if client.is_some() { CertificateKind::Client } else { CertificateKind::Server },
            client,
            algorithm: ALGORITHMS[algorithm],
            created_at: START + created,
            not_after: START + 100 + ends,
            revoked: revoked == 0,
            seen: seen.map(|(at, source)| (START + at, SOURCES[source])),
        },
    )
}

fn question() -> impl Strategy<Value = CertificateSearch> {
    let some = |one: &'static str| proptest::option::weighted(0.25, Just(one.to_owned()));
    let instant = |from: i64| proptest::option::weighted(0.3, (0..20i64).prop_map(move |at| UnixSeconds(from + at)));
    let network = "192.0.2.0/24".parse::<ipnet::IpNet>().unwrap();
    let within =
        (instant(START), instant(START), proptest::bool::weighted(0.3)).prop_map(move |(from, before, here)| {
            SeenFilter::Within { from, before, sources: here.then(|| network.into()) }
        });
    let seen = proptest::option::weighted(0.5, prop_oneof![Just(SeenFilter::Never), within]);
    let equal = (some("orders"), some("acme"), some("aa"), some("rsa-2048"));
    let states = proptest::option::weighted(
        0.4,
        prop_oneof![Just(CertificateState::Issued), Just(CertificateState::Reserved), Just(CertificateState::Orphaned)],
    );
    let more = (states, proptest::option::weighted(0.4, any::<bool>()), instant(START + 100), instant(START + 100));
    (equal, more, seen, any::<bool>(), 1..7u32).prop_map(|(equal, more, seen, second, limit)| {
        let order = match (&seen, second) {
            (Some(SeenFilter::Within { .. }), false) => Order::LastSeen,
            (Some(SeenFilter::Within { .. }), true) => Order::LongestUnseen,
            (_, false) => Order::Newest,
            (_, true) => Order::NextToEnd,
        };
        let ((client, partner, issuer_key_id, key_algorithm), (state, revoked, ends_from, ends_before)) = (equal, more);
        CertificateSearch {
            client,
            partner,
            issuer_key_id,
            key_algorithm,
            state,
            revoked,
            ends_from,
            ends_before,
            seen,
            order,
            limit,
            ..Default::default()
        }
    })
}

async fn filled(certificates: &[Certificate]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let connection = tx.connection();
    sqlx::query("INSERT INTO partners (id, name, created_at) VALUES ('acme', 'A', 0), ('globex', 'G', 0)")
        .execute(&mut *connection)
        .await
        .unwrap();
    for (client, partner) in CLIENTS {
        sqlx::query(
            "INSERT INTO clients (id, partner_id, scopes, networks, created_at) VALUES ($1, $2, '[]', '[]', 0)",
        )
        .bind(client)
        .bind(partner)
        .execute(&mut *connection)
        .await
        .unwrap();
    }
    for issuer in ISSUERS {
        sqlx::query(
            "INSERT INTO issuers (key_id, kind, state, state_since, subject, certificate, not_after, created_at)
             VALUES ($1, 'issuing', 'active', 0, 'CN=I', x'00', 0, 0)",
        )
        .bind(issuer)
        .execute(&mut *connection)
        .await
        .unwrap();
    }
    for certificate in certificates {
        certificate.insert(&mut *connection).await;
    }
    let sightings: Vec<_> = certificates.iter().filter_map(Certificate::sighting).collect();
    sighting::put_all(&mut tx, &sightings).await.unwrap();
    tx.commit().await.unwrap();
    (folder, store)
}

async fn check(certificates: Vec<Certificate>, questions: Vec<CertificateSearch>) {
    let (_folder, store) = filled(&certificates).await;
    for question in questions {
        let mut expected: Vec<_> = certificates.iter().filter(|one| one.matches(&question)).collect();
        expected.sort_by_key(|one| one.instant(question.order));
        let mut wanted: Vec<_> = expected.iter().map(|one| (one.issuer.to_owned(), one.serial.clone())).collect();
        let instants: Vec<i64> = expected.iter().map(|one| one.instant(question.order)).collect();
        for limits in [Limits { window: 3, few: 0 }, Limits { window: 1000, few: 0 }, Limits { window: 3, few: 1000 }] {
            let (mut found, mut search) = (Vec::new(), question.clone());
            loop {
                let page = search_within(&store, &search, limits).await.unwrap();
                assert!(page.rows.len() <= search.limit as usize);
                found.extend(page.rows.into_iter().map(|row| (row.issuer_key_id, row.serial)));
                assert!(page.next.is_none() || page.next != search.after, "no way on: {search:?}");
                search.after = page.next;
                if search.after.is_none() {
                    break;
                }
            }
            let known = |found: &(String, String)| {
                let mut all = certificates.iter();
                all.find(|one| one.issuer == found.0 && one.serial == found.1).unwrap().instant(question.order)
            };
            assert_eq!(
                found.iter().map(known).collect::<Vec<_>>(),
                instants,
                "the order of {question:?} within {limits:?}"
            );
            found.sort();
            wanted.sort();
            assert_eq!(found, wanted, "{question:?} within {limits:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_question_finds_what_a_plain_filter_finds(
        mut certificates in proptest::collection::vec(certificate(), 0..60),
        questions in proptest::collection::vec(question(), 12),
    ) {
        certificates.sort_by(|one, other| (one.issuer, &one.serial).cmp(&(other.issuer, &other.serial)));
        certificates.dedup_by(|one, other| one.issuer == other.issuer && one.serial == other.serial);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(certificates, questions));
    }
}

/// A plan that scans the table, or sorts what it walks through, would be slow with a million certificates and right with ten.
#[tokio::test]
async fn every_walk_goes_along_an_index() {
    let (_folder, store) = filled(&[]).await;
    let question = |order, seen| CertificateSearch { order, seen, limit: 5, ..Default::default() };
    let seen = Some(SeenFilter::Within { from: Some(UnixSeconds(1)), before: Some(UnixSeconds(9)), sources: None });
    let of = |mut search: CertificateSearch, which: Filter| {
        match which {
            Filter::Client => search.client = Some("orders".into()),
            Filter::KeyAlgorithm => search.key_algorithm = Some("rsa-2048".into()),
            Filter::Issuer => search.issuer_key_id = Some("aa".into()),
            Filter::Partner => search.partner = Some("acme".into()),
            Filter::Revoked => search.revoked = Some(true),
            Filter::Unissued => search.state = Some(CertificateState::Orphaned),
        }
        search
    };
    let mut walks = vec![
        (question(Order::Newest, None), Way::Order, "certificates_by_creation"),
        (question(Order::Newest, Some(SeenFilter::Never)), Way::Order, "certificates_by_creation"),
        (question(Order::NextToEnd, None), Way::Order, "certificates_by_expiry"),
        (question(Order::LastSeen, seen.clone()), Way::Order, "credential_sightings_by_time"),
        (question(Order::LongestUnseen, seen), Way::Order, "credential_sightings_by_time"),
        (of(question(Order::Newest, None), Filter::Partner), Way::Order, "certificates_by_creation"),
        (of(question(Order::NextToEnd, None), Filter::Client), Way::Order, "certificates_by_expiry"),
    ];
    for (filter, index) in [
        (Filter::Client, "certificates_by_client"),
        (Filter::KeyAlgorithm, "certificates_by_key_algorithm"),
        (Filter::Issuer, "certificates_by_issuer"),
    ] {
        walks.push((of(question(Order::Newest, None), filter), Way::Along(filter), index));
    }
    let place = SearchPlace { at: START, serial: "40".into(), issuer_key_id: "aa".into() };
    for (mut search, way, index) in walks {
        search.ends_from.get_or_insert(UnixSeconds(START));
        for after in [None, Some(place.clone())] {
            search.after = after;
            let statement = Statement { search: &search, way, window: 10 };
            for query in [statement.page(Some(&place)), statement.window()] {
                let plan = plan(&store, query.sql().as_str().to_owned()).await;
                assert!(plan.contains(index), "{search:?} {way:?}:\n{plan}");
                assert!(!plan.contains("USE TEMP B-TREE FOR ORDER BY"), "{search:?} {way:?}:\n{plan}");
                assert!(!plan.lines().any(|line| line.starts_with("SCAN") && !line.contains(index)), "{plan}");
            }
        }
    }
    for (filter, index) in [
        (Filter::Client, "certificates_by_client"),
        (Filter::Partner, "certificates_by_client"),
        (Filter::Revoked, "sqlite_autoindex_certificates_1"),
        (Filter::Unissued, "certificates_unissued"),
    ] {
        let search = of(question(Order::Newest, None), filter);
        let query = Statement { search: &search, way: Way::Few(filter), window: 10 }.page(None);
        let plan = plan(&store, query.sql().as_str().to_owned()).await;
        assert!(plan.contains(index), "{filter:?}:\n{plan}");
    }
}

async fn plan(store: &Store, statement: String) -> String {
    let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(explained).fetch_all(store.readers()).await.unwrap();
    rows.into_iter().map(|(_, _, _, detail)| detail + "\n").collect()
}

/// Every certificate of this test is for one key.
#[tokio::test]
async fn a_key_that_two_clients_share_is_found_while_both_are_good() {
    let certificate = |serial: &str, client: usize, revoked: bool| Certificate {
        issuer: ISSUERS[0],
        serial: serial.to_owned(),
        state: CertificateState::Issued,
        kind: CertificateKind::Client,
        client: Some(client),
        algorithm: ALGORITHMS[0],
        created_at: START,
        not_after: START + 10,
        revoked,
        seen: None,
    };
    let shared = async |certificates: &[Certificate], now| {
        let (_folder, store) = filled(certificates).await;
        crate::store::certificate::shared_key::list(&store, UnixSeconds(now)).await.unwrap()
    };
    let (orders, stock) = (certificate("40", 0, false), certificate("41", 1, false));
    let both = [orders.clone(), certificate("42", 0, false), stock];
    let found = vec![("ff".to_owned(), vec!["orders".to_owned(), "stock".to_owned()])];
    assert_eq!(shared(&both, START + 10).await, found);
    assert!(shared(&both, START + 11).await.is_empty());
    assert!(shared(&both[..2], START).await.is_empty(), "a renewal is the same client's");
    assert!(shared(&[orders, certificate("43", 1, true)], START).await.is_empty());
}
