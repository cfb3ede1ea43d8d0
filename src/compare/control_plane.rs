//! The admin API, as far as a comparison needs it.

use http::StatusCode;
use serde_json::Value;

use super::call::{Answer, CallError, Door, Line, Question};
use super::identity::Trust;
use super::target::AdminAccess;
use crate::failure::{Failure, Fault, Refusal};

/// Keeps its connection: a revocation is timed without a handshake before it.
pub(super) struct ControlPlane {
    door: Door,
    line: Option<Line>,
}

impl ControlPlane {
    pub(super) fn new(access: &AdminAccess, trust: &Trust) -> Result<Self, Refusal> {
        let tls = trust.connector(Some(&access.identity), false)?;
        Ok(Self { door: Door { endpoint: access.endpoint.clone(), tls }, line: None })
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Value, Failure> {
        let question = Question::get(&self.door.endpoint.at(path));
        let answer = match self.send(&question).await {
            // The server may have ended an idle connection; a question can be asked again.
            Err(_) => self.send(&question).await,
            answered => answered,
        };
        self.json(path, answer)
    }

    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        let question = self.prepare(path, body);
        let answer = self.send(&question).await;
        self.json(path, answer)
    }

    /// A request to send later with [`Self::send`], when every microsecond counts.
    pub(super) fn prepare(&self, path: &str, body: &Value) -> Question {
        Question::post(&self.door.endpoint.at(path), "application/json", body.to_string())
    }

    pub(super) async fn send(&mut self, question: &Question) -> Result<Answer, CallError> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.door.open().await?.0,
        };
        let answer = line.ask(question).await?;
        self.line = Some(line);
        Ok(answer)
    }

    fn json(&self, path: &str, answer: Result<Answer, CallError>) -> Result<Value, Failure> {
        let url = &self.door.endpoint.url;
        let answer = answer.map_err(|error| Fault::new(format!("{url}: {error}")))?;
        if answer.status.is_success() {
            return Ok(answer.json().unwrap_or_default());
        }
        let said = answer.json().unwrap_or_default();
        let sentence = said.get("message").and_then(Value::as_str).unwrap_or_default();
        let mut details: Vec<String> =
            said.get("details").and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect();
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            details
                .push("the administrator's client needs portcullis/admin.read and portcullis/admin.write".to_owned());
        }
        let described = answer.described();
        Err(Refusal::invalid("admin_refused", format!("the admin API refused {path}: {described} {sentence}"))
            .with_details(details)
            .into())
    }
}

/// A member that the admin API always gives.
pub(super) fn text(answer: &Value, member: &str) -> Result<String, Fault> {
    answer.get(member).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
        Fault::new(format!("the server's answer has no {member}: it is of another version than this program"))
    })
}
