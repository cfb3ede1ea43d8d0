//! All requests of an HTTP/2 connection in the task of the connection. With a task each, every answer that is ready wakes the
//! connection, which writes it out before the next one is begun: as many system calls as answers. Here those that are ready
//! together leave together, nothing is spawned, and what a peer that is gone asked for ends with its connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What hyper hands the streams of a connection to. How many there may be is the connection's own limit.
#[derive(Clone)]
pub(super) struct Begin(UnboundedSender<Stream>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Begin {
    fn execute(&self, stream: F) {
        // The other end is gone only with the connection.
        _ = self.0.send(Box::pin(stream));
    }
}

/// The streams of a connection.
pub(super) struct Streams {
    begun: UnboundedReceiver<Stream>,
    running: FuturesUnordered<Stream>,
}

impl Streams {
    pub(super) fn new() -> (Begin, Self) {
        let (begin, begun) = unbounded_channel();
        (Begin(begin), Self { begun, running: FuturesUnordered::new() })
    }

    /// Carries on with every stream that can; whether one was begun or has ended.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some(stream)) = self.begun.poll_recv(context) {
            self.running.push(stream);
            moved = true;
        }
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(context) {
            moved = true;
        }
        moved
    }
}

/// A connection and its streams.
pub(super) struct OneTask<C> {
    pub(super) connection: Pin<Box<C>>,
    pub(super) streams: Streams,
}

impl<C: Future> Future for OneTask<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.get_mut();
        loop {
            if let Poll::Ready(ended) = this.connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            if !this.streams.poll(context) {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Begins eight streams at once, and never ends.
    struct Connection {
        begin: Begin,
        polls: Arc<AtomicUsize>,
        ended: Arc<AtomicUsize>,
    }

    impl Future for Connection {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if self.polls.fetch_add(1, Ordering::Relaxed) == 0 {
                for _ in 0..8 {
                    let ended = Arc::clone(&self.ended);
                    self.begin.execute(async move { _ = ended.fetch_add(1, Ordering::Relaxed) });
                }
                let open = Arc::clone(&self.ended);
                self.begin.execute(async move {
                    std::future::pending::<()>().await;
                    drop(open);
                });
            }
            Poll::Pending
        }
    }

    #[test]
    fn what_is_ready_together_is_done_before_the_connection_writes() {
        let (polls, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (begin, streams) = Streams::new();
        let connection = Box::pin(Connection { begin, polls: Arc::clone(&polls), ended: Arc::clone(&ended) });
        let mut task = OneTask { connection, streams };
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut task).poll(&mut context).is_pending());
        assert_eq!(ended.load(Ordering::Relaxed), 8);
        assert_eq!(polls.load(Ordering::Relaxed), 2, "once to begin them, once to write what they gave");
        assert_eq!(Arc::strong_count(&ended), 3, "one stream waits");
        drop(task);
        assert_eq!(Arc::strong_count(&ended), 1, "and ends with its connection");
    }
}
