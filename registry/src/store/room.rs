//! Whether the disk has room for what is cached: pulls never take the room that pushes need.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Store;

/// How long what the disk said is believed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What the disk said last, and when.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<Option<(Instant, bool)>>);

impl Store {
    /// Says whether more of the disk is free than is left to pushes.
    pub async fn has_room_to_cache(&self) -> bool {
        if let Some((at, has_room)) = *self.0.room.0.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < LOOK_INTERVAL
        {
            return has_room;
        }
        let has_room = match self.0.backend.space().await {
            Ok(Some(space)) => {
                let least = u128::from(space.size) * u128::from(self.0.options.free_min_percent) / 100;
                u128::from(space.free) > least || self.0.options.free_min_percent == 0
            }
            // What cannot be known is found out by writing.
            Ok(None) | Err(_) => true,
        };
        *self.0.room.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), has_room));
        has_room
    }
}
