//! Pending: the answer to a commit that is on its way, to be awaited or blocked on.
//!
//! Never here: making the commit (`writer.rs`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::sync::oneshot;

use crate::txn::{CommitError, Receipt};

/// A commit on its way. Dropping it does not take the commit back.
#[must_use = "whether the commit was made is known only from its answer"]
#[derive(Debug)]
pub struct Pending(State);

#[derive(Debug)]
enum State {
    Waiting(oneshot::Receiver<Result<Receipt, CommitError>>),
    Refused(Option<CommitError>),
}

impl Pending {
    pub(crate) fn waits(answer: oneshot::Receiver<Result<Receipt, CommitError>>) -> Self {
        Self(State::Waiting(answer))
    }

    /// For a commit that does not begin.
    pub(crate) fn refused(error: CommitError) -> Self {
        Self(State::Refused(Some(error)))
    }

    /// Waits for the answer, blocking the thread.
    ///
    /// # Errors
    /// As [`Engine::commit`](crate::Engine::commit).
    pub fn wait(self) -> Result<Receipt, CommitError> {
        block_on(self)
    }
}

impl Future for Pending {
    type Output = Result<Receipt, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(CommitError::Closed))),
            State::Waiting(answer) => {
                Pin::new(answer).poll(context).map(|answer| answer.unwrap_or(Err(CommitError::Closed)))
            }
        }
    }
}

/// Polls a future on this thread, parked between polls. Unlike a runtime's, it works inside one too (and blocks it).
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
