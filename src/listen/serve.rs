//! HTTP over an accepted connection, until it ends, its certificate is revoked, or the server drains.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::Handler;
use super::caller::attribute;
use super::connection::Connection;
use super::framing::{HEAD_BYTES_MAX, StrictHttp1, Violation};
use super::one_task::{OneTask, Streams};

/// How long a connection whose certificate was revoked may take to end politely before it is cut.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// Resets that a peer may have pending before it is cut off (rapid reset, CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;
const LOCAL_RESETS_MAX: usize = 256;

pub(super) struct Served<'a, H> {
    pub handler: &'a Arc<H>,
    pub draining: &'a CancellationToken,
    pub head_timeout: Duration,
}

impl<H: Handler> Served<'_, H> {
    pub(super) async fn plain<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        connection: Arc<Connection>,
        stream: S,
    ) {
        self.http1(connection, stream).await;
    }

    pub(super) async fn http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        connection: Arc<Connection>,
        stream: S,
    ) {
        let (stream, verdicts) = StrictHttp1::new(stream);
        let number = AtomicU64::new(0);
        let handler = Arc::clone(self.handler);
        let inner = Arc::clone(&connection);
        let service = service_fn(move |request: Request<Incoming>| {
            let violation = verdicts.of(number.fetch_add(1, Ordering::Relaxed));
            let handler = Arc::clone(&handler);
            let connection = Arc::clone(&inner);
            async move { Ok::<_, Infallible>(handle(&*handler, connection, request, violation).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(HEAD_BYTES_MAX * 2)
            // No `max_headers`: hyper's own limit is the one that `StrictHttp1` has judged by, and takes no memory for each request.
            // A client that has said all it wants to say (`openssl s_client < request`) still gets its answer.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        self.drive(&connection, pin!(served), |served| served.graceful_shutdown(), pending()).await;
    }

    pub(super) async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        connection: Arc<Connection>,
        stream: S,
    ) {
        let handler = Arc::clone(self.handler);
        let inner = Arc::clone(&connection);
        let activity = Arc::new(Activity::new());
        let watched = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| {
            let handler = Arc::clone(&handler);
            let connection = Arc::clone(&inner);
            let open = watched.begin();
            async move {
                let answer = handle(&*handler, connection, request, None).await;
                drop(open);
                Ok::<_, Infallible>(answer)
            }
        });
        let (begin, streams) = Streams::new();
        let served = hyper::server::conn::http2::Builder::new(begin)
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .keep_alive_interval(self.head_timeout)
            .keep_alive_timeout(self.head_timeout)
            .serve_connection(TokioIo::new(stream), service);
        // hyper has no idle limit for HTTP/2, and its keep-alive begins only after the preface.
        let idle = activity.idle_for(self.head_timeout);
        let served = OneTask { connection: Box::pin(served), streams };
        self.drive(&connection, pin!(served), |served| served.get_mut().connection.as_mut().graceful_shutdown(), idle)
            .await;
    }

    /// Runs the connection to its end. Draining lets open requests finish; a revoked certificate gives them two seconds.
    async fn drive<C: Future>(
        &self,
        connection: &Connection,
        mut served: Pin<&mut C>,
        goodbye: fn(Pin<&mut C>),
        idle: impl Future<Output = ()>,
    ) {
        tokio::select! {
            _ = &mut served => return,
            () = first_of(connection.closing.cancelled(), self.draining.cancelled()) => goodbye(served.as_mut()),
            () = idle => goodbye(served.as_mut()),
        }
        tokio::select! {
            _ = &mut served => {}
            () = async { connection.closing.cancelled().await; tokio::time::sleep(CLOSE_GRACE).await; } => {}
        }
    }
}

/// Hands the request on, as from whoever called. What is wrong with its framing comes before who that is.
async fn handle<H: Handler>(
    handler: &H,
    connection: Arc<Connection>,
    request: Request<Incoming>,
    violation: Option<Violation>,
) -> Response<Body> {
    let (connection, violation) = match (violation, attribute(&connection, request.headers())) {
        (None, Ok(attributed)) => (attributed, None),
        (None, Err(unknown)) => (connection, Some(unknown)),
        (Some(violation), _) => (connection, Some(violation)),
    };
    handler.handle(connection, request, violation).await
}

async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! { () = one => {}, () = other => {} }
}

/// Whether requests are under way on a connection, and since when not.
struct Activity {
    open: AtomicUsize,
    changes: AtomicU64,
}

struct Open(Arc<Activity>);

impl Activity {
    fn new() -> Self {
        Self { open: AtomicUsize::new(0), changes: AtomicU64::new(0) }
    }

    fn begin(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Returns when for as long as `timeout` no request was under way and none came.
    async fn idle_for(self: Arc<Self>, timeout: Duration) {
        loop {
            let before = self.changes.load(Ordering::Relaxed);
            tokio::time::sleep(timeout).await;
            if self.open.load(Ordering::Relaxed) == 0 && self.changes.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.changes.fetch_add(1, Ordering::Relaxed);
    }
}
