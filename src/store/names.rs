//! Puts the names in a directory on the disk for many at once: one call of the system serves all whose names were there
//! before it began.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::fsutil;

/// The names in one directory.
#[derive(Debug)]
pub(super) struct Names {
    dir: PathBuf,
    /// How many rounds have begun.
    begun: AtomicU64,
    /// The round that ended last. Those who wait for one come in their order.
    last: Mutex<Round>,
}

#[derive(Debug, Default)]
struct Round {
    number: u64,
    /// Whether all went well. What could not be written then is not written by a later round: whoever was served by
    /// this one has to know.
    done: bool,
}

impl Names {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, begun: AtomicU64::new(0), last: Mutex::default() }
    }

    /// Whether all names that were there before the call are on the disk after it.
    pub(super) async fn sync(&self) -> bool {
        // A round that is under way may have missed what was renamed since it began.
        let under_way = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if last.number <= under_way {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let dir = self.dir.clone();
            let synced = spawn_blocking(move || fsutil::sync_names(&dir)).await;
            *last = Round { number, done: matches!(synced, Ok(Ok(()))) };
        }
        last.done
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn who_comes_during_a_round_is_served_by_the_next_one_with_all_others_who_did() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(dir.path().to_owned());
        assert!(join_all((0..100).map(|_| names.sync())).await.into_iter().all(|done| done));
        assert_eq!(names.begun.load(Ordering::SeqCst), 2);
        assert!(names.sync().await);
        assert_eq!(names.begun.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_round_that_failed_is_told_to_all_whom_it_served() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(dir.path().join("none"));
        assert!(join_all((0..9).map(|_| names.sync())).await.into_iter().all(|done| !done));
        assert_eq!(names.begun.load(Ordering::SeqCst), 2);
    }
}
