//! The last resort: a record that the store would not take goes to a private file elsewhere, so that the grant in it
//! is not lost.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::config::paths;
use crate::fsutil::{self, FsError};
use crate::model::Key;
use crate::ops::Error;
use crate::store::Record;

/// Writes a record to the first place that takes it and tells where.
///
/// # Errors
/// [`Error::Lost`] where no place did.
pub fn save(key: &Key, record: &Record, now: Timestamp) -> Result<PathBuf, Error> {
    let text = zeroize::Zeroizing::new(record.to_json(key));
    let name = format!("rescue-{}-{}-{}.json", key.provider, key.profile, now.as_millisecond());
    let mut last = None;
    for dir in paths::rescue_dirs() {
        let path = dir.join(&name);
        let saved = fsutil::make_private_dir(&dir).and_then(|()| fsutil::create_private(&path, text.as_bytes(), true));
        match saved {
            Ok(_) => return Ok(path),
            Err(error) => {
                log::debug!("no rescue in {}: {error}", dir.display());
                last = Some(error);
            }
        }
    }
    let why = last.unwrap_or_else(|| FsError::io("find", &PathBuf::from(&name))(std::io::ErrorKind::NotFound.into()));
    Err(Error::Lost { key: key.clone(), why })
}
