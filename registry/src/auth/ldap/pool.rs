//! The connections over which users are searched.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, Connector, Hits};
use super::error::Trouble;

/// A connection that was not used for longer is not used again: directories close such, and what
/// stands between forgets them without a word.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Connections that are open and not in use. How many there may be is bounded by who may search.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<(Connection, Instant)>>);

impl Pool {
    /// Searches over an open connection or a new one; over a new one as well if the open one turns out
    /// to be dead.
    ///
    /// *Cancellation:* closes the connection.
    pub(super) async fn search(&self, connector: &Connector, filter: &str) -> Result<Hits, Trouble> {
        if let Some(mut connection) = self.take() {
            match connector.search(&mut connection, filter).await {
                Err(trouble) if trouble.is_of_connection() => {
                    // The others are as old, and no other search should wait for them.
                    self.idle().clear();
                }
                answer => return self.keep(connection, answer),
            }
        }
        let mut connection = connector.connect_to_search().await?;
        let answer = connector.search(&mut connection, filter).await;
        self.keep(connection, answer)
    }

    fn take(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.idle();
        while let Some((mut connection, since)) = idle.pop() {
            if now - since < IDLE_MAX && !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection, answer: Result<Hits, Trouble>) -> Result<Hits, Trouble> {
        // After a refusal nobody knows for whom the directory takes the connection.
        if answer.is_ok() {
            self.idle().push((connection, Instant::now()));
        }
        answer
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
