//! How long a revoked credential still opens the door: on a connection that is open and busy, on new connections, and on
//! resumed sessions, all at once, from the moment the revocation is sent.

use std::cell::Cell;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use super::call::{Door, Line, Question};
use super::control_plane::ControlPlane;
use super::identity::Trust;
use super::method::{Method, Revoked};
use super::row::Row;
use super::target::Target;
use super::temporary_client::TemporaryClient;

/// How long the open connection is busy before the revocation.
const BUSY: Duration = Duration::from_millis(20);
/// A credential that is served for so long after its revocation is not revoked.
const DEADLINE: Duration = Duration::from_secs(10);
/// After a connection that could not be made.
const PAUSE: Duration = Duration::from_millis(2);

/// One revocation and what came of it.
pub(super) struct Round {
    /// How long the revocation itself took to be answered.
    pub(super) answered: Duration,
    pub(super) open: Shut,
    pub(super) new: Shut,
    pub(super) resumed: Shut,
}

/// How the door shut on one way in.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shut {
    Denied {
        /// From sending the revocation to the arrival of the first denial.
        from_sending: Duration,
        /// The same from the revocation's answer, in seconds; below zero when the denial came first.
        from_answer_seconds: f64,
        /// `401`, or `closed`.
        by: &'static str,
        /// Requests that were sent after the revocation had been answered, and served.
        served_after_answer: u32,
    },
    /// Served until we lost patience.
    NotDenied,
    /// Something else came in between; the sample does not count.
    Disturbed(String),
}

/// Sent and answered, as far as it has come.
#[derive(Default)]
struct Moments {
    sent: Cell<Option<Instant>>,
    answered: Cell<Option<Instant>>,
    failed: Cell<bool>,
}

/// What one way in saw.
struct Seen {
    denied_at: Instant,
    by: &'static str,
    served_after_answer: u32,
}

enum Ended {
    Seen(Seen),
    NotDenied,
    Disturbed(String),
}

/// Revokes a fresh credential of the temporary client under a row's method.
pub(super) async fn round(
    method: Method,
    target: &Target,
    trust: &Trust,
    temporary: &TemporaryClient,
    control: &mut ControlPlane,
) -> Result<Round, String> {
    let (row, revoke) = fresh(method, target, trust, temporary, control).await?;
    let failed = |error: super::call::CallError| error.to_string();
    let (mut open, _) = row.full.open().await.map_err(failed)?;
    // The second session is there for the resumed attempts; each of them leaves a ticket for the next.
    let (mut first, _) = row.resuming.open().await.map_err(failed)?;
    for line in [&mut open, &mut first] {
        let answer = line.ask(&row.question).await.map_err(failed)?;
        if !answer.is_served() {
            return Err(format!("refused before the revocation: {}", answer.described()));
        }
    }
    drop(first);
    let moments = Moments::default();
    let (began, begun) = watch::channel(false);
    let revocation = async {
        sleep(BUSY).await;
        moments.sent.set(Some(Instant::now()));
        let _ = began.send(true);
        let answer = control.send(&revoke).await;
        moments.answered.set(Some(Instant::now()));
        let outcome = match answer {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("the revocation was refused: {}", answer.described())),
            Err(error) => Err(format!("the revocation got no answer: {error}")),
        };
        moments.failed.set(outcome.is_err());
        outcome
    };
    let (revoked, open, new, resumed) = tokio::join!(
        revocation,
        on_open(open, &row.question, &moments),
        on_new(&row.full, &row.question, false, &moments, begun.clone()),
        on_new(&row.resuming, &row.question, true, &moments, begun),
    );
    revoked?;
    let (Some(sent), Some(answered)) = (moments.sent.get(), moments.answered.get()) else {
        return Err("the revocation was never sent".to_owned());
    };
    let told = |ended| shut(ended, sent, answered);
    Ok(Round { answered: answered - sent, open: told(open), new: told(new), resumed: told(resumed) })
}

/// A row with a credential that nobody else uses, and the request that revokes it.
async fn fresh(
    method: Method,
    target: &Target,
    trust: &Trust,
    temporary: &TemporaryClient,
    control: &mut ControlPlane,
) -> Result<(Row, Question), String> {
    let mut credentials = temporary.credentials.clone();
    let (path, body) = match method.revoked() {
        Revoked::Certificate => {
            let issued = temporary.certificate(control).await.map_err(|failure| failure.to_string())?;
            credentials.identity = Some(issued.identity);
            (
                "/v1/certificates/revoke".to_owned(),
                json!({ "serial": issued.serial, "reason": "cessation-of-operation" }),
            )
        }
        Revoked::ApiKey => {
            let issued = temporary.api_key(control).await.map_err(|failure| failure.to_string())?;
            credentials.api_key = Some(issued.key);
            (format!("/v1/api-keys/{}/revoke", issued.id), json!({}))
        }
        Revoked::Token => ("/v1/tokens/revoke".to_owned(), json!({})),
    };
    let row = Row::prepare(method, target, trust, &credentials).await?;
    let body = match (&row.token, method.revoked()) {
        (Some(fetched), Revoked::Token) => json!({ "token": fetched.token.text.expose_secret() }),
        _ => body,
    };
    let revoke = control.prepare(&path, &body);
    // Its connection is open when the revocation is sent.
    control.get("/v1/status").await.map_err(|failure| failure.to_string())?;
    Ok((row, revoke))
}

fn shut(ended: Ended, sent: Instant, answered: Instant) -> Shut {
    match ended {
        Ended::Seen(seen) => Shut::Denied {
            from_sending: seen.denied_at.saturating_duration_since(sent),
            from_answer_seconds: seen.denied_at.saturating_duration_since(answered).as_secs_f64()
                - answered.saturating_duration_since(seen.denied_at).as_secs_f64(),
            by: seen.by,
            served_after_answer: seen.served_after_answer,
        },
        Ended::NotDenied => Shut::NotDenied,
        Ended::Disturbed(why) => Shut::Disturbed(why),
    }
}

impl Moments {
    /// Why nothing more is to be waited for.
    fn over(&self) -> Option<Ended> {
        if self.failed.get() {
            return Some(Ended::Disturbed("nothing was revoked".to_owned()));
        }
        self.sent.get().filter(|sent| sent.elapsed() > DEADLINE).map(|_| Ended::NotDenied)
    }

    /// Whether something that began then was begun when the revocation had been answered already.
    fn was_answered_before(&self, began: Instant) -> bool {
        self.answered.get().is_some_and(|answered| began > answered)
    }
}

/// Request after request on a connection that was open before.
async fn on_open(mut line: Line, question: &Question, moments: &Moments) -> Ended {
    let mut served_after_answer = 0;
    loop {
        let began = Instant::now();
        let outcome = line.ask(question).await;
        let denied_at = Instant::now();
        let was_sent = moments.sent.get().is_some();
        match outcome {
            Ok(answer) if answer.is_served() => served_after_answer += u32::from(moments.was_answered_before(began)),
            Ok(answer) if answer.is_denied() && was_sent => {
                return Ended::Seen(Seen { denied_at, by: "401", served_after_answer });
            }
            Ok(answer) => return Ended::Disturbed(answer.described()),
            // The gate ends connections whose certificate it revokes.
            Err(_) if was_sent => return Ended::Seen(Seen { denied_at, by: "closed", served_after_answer }),
            Err(error) => return Ended::Disturbed(error.to_string()),
        }
        if let Some(ended) = moments.over() {
            return ended;
        }
    }
}

/// Connection after connection from the revocation on, each with one request.
async fn on_new(
    door: &Door,
    question: &Question,
    must_resume: bool,
    moments: &Moments,
    mut begun: watch::Receiver<bool>,
) -> Ended {
    let mut served_after_answer = 0;
    let _ = begun.wait_for(|begun| *begun).await;
    loop {
        let began = Instant::now();
        let called = async {
            let (mut line, _) = door.open().await?;
            Ok::<_, super::call::CallError>((line.ask(question).await?, line.resumed))
        };
        match called.await {
            Ok((_, false)) if must_resume => {
                return Ended::Disturbed("the server did not resume the session".to_owned());
            }
            Ok((answer, _)) if answer.is_served() => {
                served_after_answer += u32::from(moments.was_answered_before(began));
            }
            Ok((answer, _)) if answer.is_denied() => {
                return Ended::Seen(Seen { denied_at: Instant::now(), by: "401", served_after_answer });
            }
            Ok((answer, _)) => return Ended::Disturbed(answer.described()),
            // A limit on handshakes, or a connection that was cut under its first request: only an answer denies.
            Err(_) => sleep(PAUSE).await,
        }
        if let Some(ended) = moments.over() {
            return ended;
        }
    }
}
