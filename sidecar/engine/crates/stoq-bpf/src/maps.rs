//! What reading and changing any map has in common.

use std::io;

use aya::maps::MapError;

use crate::error::Error;
use crate::shared::Count;

/// Whether there was an entry to be removed.
pub(crate) fn found(removed: Result<(), MapError>) -> Result<bool, MapError> {
    match removed {
        Ok(()) => Ok(true),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Names the map in an error.
pub(crate) fn at(map: &'static str) -> impl Fn(MapError) -> Error {
    move |error| match &error {
        // A hash says the one, a trie of prefixes the other.
        MapError::SyscallError(call)
            if matches!(
                call.io_error.raw_os_error(),
                Some(libc::E2BIG | libc::ENOSPC)
            ) =>
        {
            Error::Full { map }
        }
        _ => Error::Map { map, error },
    }
}

/// The counts of all processors.
pub(crate) fn sum(of_processors: impl Iterator<Item = Count>) -> Count {
    of_processors.fold(Count::default(), |sum, one| Count {
        packets: sum.packets + one.packets,
        bytes: sum.bytes + one.bytes,
    })
}
