use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::session::PATIENCE;

/// What an upstream saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A plain HTTP/1.1 server that remembers every request and answers with its body. Two paths do something else, told by
/// their last segment: `stream` sends the body back as it arrives, `hold` waits until it is let go.
pub(crate) struct Upstream {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<HashSet<SocketAddr>>,
    held: Semaphore,
    released: Semaphore,
}

type Outgoing = BoxBody<Bytes, io::Error>;

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    /// At an address of the test's choice.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            seen: Mutex::default(),
            connections: Mutex::default(),
            held: Semaphore::new(0),
            released: Semaphore::new(0),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let state = Arc::clone(&shared);
                state.connections.lock().unwrap().insert(peer);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(Arc::clone(&state), request));
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, state }
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request that came through")
    }

    /// How many connections were ever made to it.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.lock().unwrap().len()
    }

    /// Waits until a request is held.
    pub(crate) async fn holds(&self) {
        tokio::time::timeout(PATIENCE, self.state.held.acquire()).await.expect("a request in time").unwrap().forget();
    }

    /// Lets one held request go on.
    pub(crate) fn release(&self) {
        self.state.released.add_permits(1);
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Outgoing>, Infallible> {
    let (parts, body) = request.into_parts();
    let last_segment = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let mut seen = Seen {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: Bytes::new(),
    };
    let response = Response::builder()
        .header("x-upstream", "yes")
        .header("x-portcullis-client", "forged-by-upstream")
        .header("x-portcullis-decision-id", "forged-by-upstream")
        .header("connection", "x-secret-hop")
        .header("x-secret-hop", "hop")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2");
    match last_segment.as_str() {
        "stream" => {
            state.seen.lock().unwrap().push(seen);
            return Ok(response.body(body.map_err(io::Error::other).boxed()).unwrap());
        }
        "hold" => {
            state.held.add_permits(1);
            state.released.acquire().await.unwrap().forget();
        }
        _ => {}
    }
    let Ok(body) = body.collect().await else {
        return Ok(Response::builder().status(400).body(empty()).unwrap());
    };
    seen.body = body.to_bytes();
    let echo = Full::new(seen.body.clone()).map_err(|impossible| match impossible {}).boxed();
    state.seen.lock().unwrap().push(seen);
    Ok(response.body(echo).unwrap())
}

fn empty() -> Outgoing {
    Full::default().map_err(|impossible| match impossible {}).boxed()
}
