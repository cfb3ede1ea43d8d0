use super::*;

fn row(number: u32, at: i64) -> DecisionRow {
    DecisionRow {
        id: format!("019ab2f4-0000-7000-8000-{number:012}"),
        at,
        listener: "gateway".into(),
        source: "192.0.2.7".into(),
        http_method: "GET".into(),
        path: "/".into(),
        route: None,
        client: None,
        partner: None,
        auth_methods: None,
        credentials: None,
        outcome: "throttled".into(),
        status: 429,
        detail: None,
        shadow: None,
        micros: 1,
    }
}

async fn log_of(folder: &Path, rows: u32) -> AuditLog {
    let log = AuditLog::open(&folder.join("audit.db")).await.unwrap();
    let rows: Vec<_> = (0..rows).map(|number| (row(number, i64::from(number)), Some(format!("[{number}]")))).collect();
    log.append(&rows).await.unwrap();
    log
}

#[tokio::test]
async fn accounts_go_with_their_rows_and_the_oldest_beyond_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(folder.path(), 10).await;
    assert_eq!(log.prune_to(3, 5).await.unwrap(), 3);
    let kept: Vec<bool> = {
        let mut kept = Vec::new();
        for number in 0..10 {
            kept.push(log.account(&row(number, 0).id).await.unwrap().is_some());
        }
        kept
    };
    assert_eq!(kept, [false, false, false, false, false, true, true, true, true, true]);
    let rows = log.list(&DecisionFilter { limit: 100, ..DecisionFilter::default() }).await.unwrap();
    assert_eq!(rows.len(), 7, "the rows are bound by their time alone");
    assert_eq!(log.account(&row(9, 0).id).await.unwrap().as_deref(), Some("[9]"));
    assert_eq!(log.account("unknown").await.unwrap(), None);
    log.close().await;
}

/// A log of the release before: without the columns that came later.
#[tokio::test]
async fn an_older_log_is_brought_up() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(folder.path(), 1).await;
    sqlx::raw_sql("ALTER TABLE decisions DROP COLUMN shadow; DROP TABLE accounts").execute(&log.writer).await.unwrap();
    log.close().await;
    let log = AuditLog::open(&folder.path().join("audit.db")).await.unwrap();
    let shadowed = DecisionRow { shadow: Some("scopes".into()), ..row(2, 2) };
    log.append(&[(shadowed, Some("[]".into()))]).await.unwrap();
    let rows = log.list(&DecisionFilter { limit: 10, ..DecisionFilter::default() }).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.shadow.as_deref()).collect::<Vec<_>>(), [Some("scopes"), None]);
    log.close().await;
}
