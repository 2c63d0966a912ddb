//! Where in a bpffs maps and links are pinned.
//!
//! ```text
//! <root>/maps/<object>-<digest>/<map>
//! <root>/links/<program>@<interface index>
//! ```
//!
//! The digest is of the definitions of the object's maps. A version with the same maps takes them over
//! with what is in them; one with other maps gets a folder of its own, fills it, and only then takes
//! over the links: at no moment does a program run on an empty map.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::object::Object;

/// A folder of a bpffs that belongs to STOQ alone.
#[derive(Debug, Clone)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// Makes the folder, readable for root alone, or takes what is there.
    ///
    /// # Errors
    /// [`Error::Pins`] if it cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let pins = Self { root: root.into() };
        pins.folder(pins.root.join("maps"))?;
        pins.folder(pins.links())?;
        Ok(pins)
    }

    /// Removes the maps of versions of `object` other than `used`: nothing attached needs them.
    ///
    /// # Errors
    /// [`Error::Pins`] if a folder cannot be read or removed.
    pub(crate) fn sweep(&self, object: Object, used: &Path) -> Result<(), Error> {
        let maps = self.root.join("maps");
        let prefix = format!("{}-", object.name());
        for entry in fs::read_dir(&maps).map_err(|error| failed(&maps, error))? {
            let path = entry.map_err(|error| failed(&maps, error))?.path();
            let named = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(&prefix);
            if path != used && path.file_name().is_some_and(named) {
                fs::remove_dir_all(&path).map_err(|error| failed(&path, error))?;
            }
        }
        Ok(())
    }

    /// The folder of the maps of `object`, made if it is not there.
    pub(crate) fn maps(&self, object: Object, digest: u64) -> Result<PathBuf, Error> {
        self.folder(
            self.root
                .join("maps")
                .join(format!("{}-{digest:016x}", object.name())),
        )
    }

    /// Where the link of `program` on an interface is pinned.
    pub(crate) fn link(&self, program: &str, ifindex: u32) -> PathBuf {
        self.links().join(format!("{program}@{ifindex}"))
    }

    /// The interfaces on which `program` has a pinned link, by index.
    ///
    /// # Errors
    /// [`Error::Pins`] if the folder cannot be read.
    pub fn attached(&self, program: &str) -> Result<Vec<u32>, Error> {
        let links = self.links();
        let mut found = Vec::new();
        for entry in fs::read_dir(&links).map_err(|error| failed(&links, error))? {
            let name = entry.map_err(|error| failed(&links, error))?.file_name();
            let name = name.to_string_lossy();
            if let Some((_, index)) = name.split_once('@').filter(|(of, _)| *of == program) {
                found.extend(index.parse::<u32>());
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    fn folder(&self, path: PathBuf) -> Result<PathBuf, Error> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path);
        match made {
            Ok(()) => Ok(path),
            Err(error) => Err(failed(&path, error)),
        }
    }
}

/// Removes a pinned link; true if there was one.
pub(crate) fn unpin(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path, error)),
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::Pins {
        path: path.to_owned(),
        error,
    }
}
