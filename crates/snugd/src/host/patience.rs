//! A bound for what looks at file systems of users: one may lie on a server that is away, or be a program of the user's own
//! that never answers. Whoever waits for it is answered; the thread is not, so there are only so many of each user.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How long it may take; a disk that has to spin up takes ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `work`, which blocks, once its `turn` has come, and returns both. `what` is the thing looked at, for the message.
///
/// # Errors
/// [`ErrorKind::Busy`] when turn and work take too long together; the work goes on by itself then, and keeps its turn
/// until it is done.
pub async fn within<P: Send + 'static, T: Send + 'static>(
    what: &str,
    turn: impl Future<Output = P>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, P)> {
    within_time(PATIENCE, what, turn, work).await
}

/// The same with another bound.
///
/// # Errors
/// As [`within`].
pub async fn within_time<P: Send + 'static, T: Send + 'static>(
    patience: Duration,
    what: &str,
    turn: impl Future<Output = P>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, P)> {
    let done = async {
        let turn = turn.await;
        Ok(tokio::task::spawn_blocking(move || (work(), turn)).await?)
    };
    tokio::time::timeout(patience, done).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Busy, format!("{what} does not answer"))
            .hint("is the server or the disk that it lies on away?"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::turns::Turns;

    #[tokio::test]
    async fn who_waits_is_answered_and_the_turn_is_kept() {
        let turns = Turns::new(1);
        assert_eq!(within("it", turns.take(1), || 7).await.unwrap().0, 7);
        let (release, released) = mpsc::channel::<()>();
        let short = Duration::from_millis(20);
        let stuck = within_time(short, "the home", turns.take(1), move || released.recv());
        let error = stuck.await.unwrap_err();
        assert!(error.kind == ErrorKind::Busy && error.message == "the home does not answer", "{error}");
        // The thread still has the only turn.
        let next = within_time(short, "it", turns.take(1), || ()).await;
        assert_eq!(next.unwrap_err().kind, ErrorKind::Busy);
        drop(release);
        within("it", turns.take(1), || ()).await.unwrap();
    }
}
