//! The calls themselves: new connections, resumed ones, kept ones. The methods take turns in small blocks, so that what
//! else the machine does meets all of them alike.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::call::{Agreed, Answer, CallError, Door, Line, Opening, Question};
use super::row::Row;
use super::server_process::ServerProcess;
use super::wire::Bytes;
use super::{Options, Progress};

/// Calls of one method before the next has its turn.
const NEW_BLOCK: usize = 5;
const KEPT_BLOCK: usize = 50;
/// A server that asks for more patience has closed for the day: the quota is spent.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What the server does after an answer (closing, writing) belongs to the block that caused it.
const SETTLE: Duration = Duration::from_millis(2);

/// One call on a connection of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewCall {
    pub(super) tcp: Duration,
    pub(super) tls: Duration,
    /// From the first byte to the whole answer.
    pub(super) total: Duration,
    pub(super) handshake_bytes: Bytes,
    pub(super) bytes: Bytes,
}

/// CPU time that the server spent on so many calls.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerCpu {
    time: Duration,
    calls: u32,
}

impl ServerCpu {
    pub(super) fn per_call(self) -> Option<Duration> {
        self.time.checked_div(self.calls).filter(|time| !time.is_zero())
    }
}

/// Waited because the server answered 429; in no latency.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Throttled {
    pub(super) total: Duration,
    /// Since the last answer that was none.
    in_a_row: Duration,
}

/// All that was measured of one row.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) full: Vec<NewCall>,
    pub(super) resumed: Vec<NewCall>,
    /// Connections that should have resumed and did not.
    pub(super) not_resumed: usize,
    pub(super) kept: Vec<(Duration, Bytes)>,
    pub(super) token_fetches: Vec<(Duration, Bytes)>,
    pub(super) full_cpu: ServerCpu,
    pub(super) resumed_cpu: ServerCpu,
    pub(super) kept_cpu: ServerCpu,
    pub(super) throttled: Throttled,
    pub(super) agreed: Option<Agreed>,
    /// The method does not work there, or stopped to.
    pub(super) failed: Option<String>,
}

/// What one block is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Resumed,
    Kept,
    Token,
}

/// Measures all rows.
pub(super) async fn measure(rows: &mut [Row], options: &Options, progress: &dyn Progress) -> Vec<Measured> {
    let mut all: Vec<Measured> = rows.iter().map(|_| Measured::default()).collect();
    let mut lines: Vec<Option<Line>> = rows.iter().map(|_| None).collect();
    let mut server = None;
    for (row, measured) in rows.iter_mut().zip(&mut all) {
        // Not counted: it says whether the method works there at all, and wakes what sleeps on both sides.
        match first_call(&row.resuming, &row.question, &mut measured.throttled).await {
            Ok((line, _)) => {
                measured.agreed = Some(line.agreed.clone());
                server = server.or_else(|| ServerProcess::listening_on(line.local_peer?));
            }
            Err(why) => measured.failed = Some(why),
        }
    }
    let plan = [
        (Kind::Full, options.new_connections, NEW_BLOCK, "new connections"),
        (Kind::Resumed, options.new_connections, NEW_BLOCK, "resumed connections"),
        (Kind::Kept, options.kept_requests, KEPT_BLOCK, "requests on a kept connection"),
        (Kind::Token, options.token_fetches, NEW_BLOCK, "tokens"),
    ];
    for (kind, count, size, what) in plan {
        let of_kind = rows.iter().filter(|row| kind != Kind::Token || row.token.is_some()).count();
        progress.begin(what, (count * of_kind) as u64);
        let mut done = 0;
        while done < count {
            let size = size.min(count - done);
            for ((row, measured), line) in rows.iter_mut().zip(&mut all).zip(&mut lines) {
                if measured.failed.is_none() && (kind != Kind::Token || row.token.is_some()) {
                    if let Err(why) = block(kind, row, measured, line, size, server).await {
                        measured.failed = Some(why);
                    }
                    progress.step(size as u64);
                }
            }
            done += size;
        }
    }
    all
}

async fn block(
    kind: Kind,
    row: &mut Row,
    measured: &mut Measured,
    line: &mut Option<Line>,
    size: usize,
    server: Option<ServerProcess>,
) -> Result<(), String> {
    row.refresh().await?;
    sleep(SETTLE).await;
    let before = server.and_then(ServerProcess::cpu);
    for _ in 0..size {
        match kind {
            Kind::Full => measured.full.push(first_call(&row.full, &row.question, &mut measured.throttled).await?.1),
            Kind::Resumed => {
                let (line, call) = first_call(&row.resuming, &row.question, &mut measured.throttled).await?;
                if line.resumed {
                    measured.resumed.push(call);
                } else {
                    measured.not_resumed += 1;
                }
            }
            Kind::Kept => measured.kept.push(kept_call(row, line, &mut measured.throttled).await?),
            Kind::Token => measured.token_fetches.extend(fetch(row).await?),
        }
    }
    sleep(SETTLE).await;
    let after = server.and_then(ServerProcess::cpu);
    let cpu = match kind {
        Kind::Full => &mut measured.full_cpu,
        Kind::Resumed => &mut measured.resumed_cpu,
        Kind::Kept => &mut measured.kept_cpu,
        Kind::Token => return Ok(()),
    };
    if let (Some(before), Some(after)) = (before, after) {
        cpu.time += after.since(&before);
        cpu.calls += u32::try_from(size).unwrap_or(u32::MAX);
    }
    Ok(())
}

/// A call on a new connection, which is left open.
async fn first_call(door: &Door, question: &Question, throttled: &mut Throttled) -> Result<(Line, NewCall), String> {
    loop {
        let (mut line, opening) = door.open().await.map_err(|error| error.to_string())?;
        let answer = line.ask(question).await.map_err(|error| error.to_string())?;
        let Opening { began, tcp, tls, bytes: handshake_bytes } = opening;
        let call = NewCall { tcp, tls, total: began.elapsed(), handshake_bytes, bytes: line.bytes() };
        if served(&answer, throttled).await? {
            return Ok((line, call));
        }
    }
}

/// A request on the row's kept connection, which is made when it is not there.
async fn kept_call(row: &Row, kept: &mut Option<Line>, throttled: &mut Throttled) -> Result<(Duration, Bytes), String> {
    loop {
        let line = match kept {
            Some(line) => line,
            None => {
                let (line, _) = first_call(&row.full, &row.question, throttled).await?;
                kept.insert(line)
            }
        };
        let (began, before) = (Instant::now(), line.bytes());
        let answer = line.ask(&row.question).await.map_err(|error: CallError| error.to_string())?;
        let (took, bytes) = (began.elapsed(), line.bytes() - before);
        if served(&answer, throttled).await? {
            return Ok((took, bytes));
        }
    }
}

/// A token over a new connection, as a client without one has to.
async fn fetch(row: &Row) -> Result<Option<(Duration, Bytes)>, String> {
    let Some(fetched) = &row.token else { return Ok(None) };
    let (mut line, opening) = fetched.door.open().await.map_err(|error| error.to_string())?;
    let answer = line.ask(&fetched.question).await.map_err(|error| error.to_string())?;
    let took = opening.began.elapsed();
    super::token::read(&answer)?;
    Ok(Some((took, line.bytes())))
}

/// Whether the call counts. 429 is waited out as the server asks; anything else that is no answer of the route ends the row.
async fn served(answer: &Answer, throttled: &mut Throttled) -> Result<bool, String> {
    if answer.is_served() {
        throttled.in_a_row = Duration::ZERO;
        return Ok(true);
    }
    if !answer.is_throttled() {
        return Err(format!("refused: {}", answer.described()));
    }
    let wait = answer.retry_after.unwrap_or(Duration::from_secs(1));
    throttled.in_a_row += wait;
    if throttled.in_a_row > WAIT_MAX {
        return Err(format!("throttled: the server asks to come back in {} s", wait.as_secs()));
    }
    sleep(wait).await;
    throttled.total += wait;
    Ok(false)
}
