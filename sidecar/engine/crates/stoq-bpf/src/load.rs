//! From an object to programs in the kernel that passed its verifier.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{Map, MapData, MapError};
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader};

use crate::btf::Btf;
use crate::error::Error;
use crate::layout;
use crate::object::Object;
use crate::pins::Pins;

/// An object whose programs are in the kernel, attached or not.
#[derive(Debug)]
pub(crate) struct Loaded {
    object: Object,
    ebpf: Ebpf,
    pins: Option<(Pins, PathBuf)>,
}

/// What makes one map usable by a program: type, key bytes, value bytes, entries, flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Definition([u32; 5]);

impl Loaded {
    /// Checks the layouts, makes the maps or takes the pinned ones, and has the verifier read every
    /// program. Without `pins` everything ends with the returned value.
    pub(crate) fn load(object: Object, pins: Option<&Pins>) -> Result<Self, Error> {
        let definitions = examine(object)?;
        let mut loader = EbpfLoader::new();
        let mut pinned = None;
        if let Some(pins) = pins {
            let folder = pins.maps(object, digest(&definitions))?;
            for (name, definition) in definitions.iter().filter(|(name, _)| keeps(name)) {
                check_pin(&folder.join(name), *definition)?;
                loader.map_pin_path(name, folder.join(name));
            }
            pinned = Some((pins.clone(), folder));
        }
        let ebpf = loader
            .load(object.bytes())
            .map_err(|error| Error::Object { object, error })?;
        let mut loaded = Self {
            object,
            ebpf,
            pins: pinned,
        };
        for name in object.programs() {
            verify(name, loaded.program(name))?;
        }
        Ok(loaded)
    }

    /// One of the object's programs.
    pub(crate) fn program(&mut self, name: &str) -> &mut Program {
        let object = self.object;
        self.ebpf
            .program_mut(name)
            .unwrap_or_else(|| panic!("{object} was compiled without its program {name}"))
    }

    /// One of the object's maps, as the type that aya has for it.
    pub(crate) fn map<'a, T>(&'a self, name: &'static str) -> Result<T, Error>
    where
        T: TryFrom<&'a Map, Error = MapError>,
    {
        let map = self.any_map(name);
        T::try_from(map).map_err(|error| Error::Map { map: name, error })
    }

    /// The same, as it is.
    pub(crate) fn any_map(&self, name: &'static str) -> &Map {
        self.ebpf.map(name).unwrap_or_else(|| self.lacks(name))
    }

    /// As [`Self::map`], to be changed.
    pub(crate) fn map_mut<'a, T>(&'a mut self, name: &'static str) -> Result<T, Error>
    where
        T: TryFrom<&'a mut Map, Error = MapError>,
    {
        if self.ebpf.map(name).is_none() {
            self.lacks(name)
        }
        let map = self.ebpf.map_mut(name).into_iter().next();
        T::try_from(map.expect("it was there above"))
            .map_err(|error| Error::Map { map: name, error })
    }

    /// Where links and maps are pinned.
    pub(crate) fn pins(&self) -> Option<&Pins> {
        self.pins.as_ref().map(|(pins, _)| pins)
    }

    /// Forgets the pinned maps of other versions.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        match &self.pins {
            Some((pins, folder)) => pins.sweep(self.object, folder),
            None => Ok(()),
        }
    }

    fn lacks(&self, map: &str) -> ! {
        panic!("{} was compiled without its map {map}", self.object)
    }
}

/// Reads the object without the kernel: are its structures ours, and which maps does it need?
fn examine(object: Object) -> Result<BTreeMap<String, Definition>, Error> {
    let broken = |what: &str| Error::Layout {
        object,
        what: what.into(),
    };
    let parsed =
        aya_obj::Object::parse(object.bytes()).map_err(|error| broken(&error.to_string()))?;
    let types = parsed.btf.as_ref().map(|btf| btf.to_bytes());
    let types = types.ok_or_else(|| broken("it has no type information"))?;
    let types = Btf::parse(&types).ok_or_else(|| broken("its type information cannot be read"))?;
    layout::check(&types, object.layouts()).map_err(|what| broken(&what))?;
    let maps = parsed.maps.into_iter().map(|(name, map)| {
        let (key, value) = (map.key_size(), map.value_size());
        let rest = [map.max_entries(), map.map_flags()];
        (
            name,
            Definition([map.map_type(), key, value, rest[0], rest[1]]),
        )
    });
    Ok(maps.collect())
}

/// Whether a map holds state. Others are the constants that the compiler put into a section; they belong
/// to one object, and a bpffs takes no name with a dot.
fn keeps(map: &str) -> bool {
    !map.starts_with('.')
}

/// FNV-1a of names and definitions, in the order of the names.
fn digest(definitions: &BTreeMap<String, Definition>) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for (name, definition) in definitions {
        feed(name.as_bytes());
        definition
            .0
            .iter()
            .for_each(|number| feed(&number.to_be_bytes()));
    }
    digest
}

/// A pinned map is used as it is, so it must be what the program was verified with.
fn check_pin(path: &Path, wanted: Definition) -> Result<(), Error> {
    let map = match MapData::from_pin(path) {
        Ok(map) => map,
        Err(_) if !path.exists() => return Ok(()),
        Err(error) => {
            return Err(Error::Pins {
                path: path.to_owned(),
                error: io::Error::other(error),
            });
        }
    };
    let info = map.info().map_err(|error| Error::Pins {
        path: path.to_owned(),
        error: io::Error::other(error),
    })?;
    let kind = info.map_type().map_or(0, |kind| kind as u32);
    let sizes = [info.key_size(), info.value_size(), info.max_entries()];
    let found = Definition([kind, sizes[0], sizes[1], sizes[2], info.map_flags()]);
    if found == wanted {
        return Ok(());
    }
    Err(Error::StalePin {
        path: path.to_owned(),
        found: found.describe(),
        wanted: wanted.describe(),
    })
}

impl Definition {
    fn describe(self) -> String {
        let [kind, key, value, entries, flags] = self.0;
        format!("of type {kind}, {key} to {value} bytes, {entries} entries, flags {flags:#x}")
    }
}

fn verify(name: &str, program: &mut Program) -> Result<(), Error> {
    let loaded = match program {
        Program::Xdp(xdp) => xdp.load(),
        Program::SchedClassifier(tc) => tc.load(),
        other => panic!(
            "program {name} is of type {:?}, which nothing here loads",
            other.prog_type()
        ),
    };
    loaded.map_err(|error| match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => Error::Rejected {
            program: name.into(),
            reason: io_error,
            log: verifier_log.to_string(),
        },
        error => Error::Program {
            program: name.into(),
            error,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_has_its_programs_and_maps_of_its_own() {
        for object in Object::ALL {
            let parsed = aya_obj::Object::parse(object.bytes()).unwrap();
            let mut found: Vec<_> = parsed.programs.keys().map(String::as_str).collect();
            let mut wanted = object.programs().to_vec();
            found.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(found, wanted);
            assert!(!examine(object).unwrap().is_empty());
        }
    }

    #[test]
    fn constants_of_the_compiler_are_not_pinned() {
        assert!(keeps("guard_counts"));
        assert!(!keeps(".rodata.cst16") && !keeps(".bss"));
    }

    #[test]
    fn the_digest_follows_every_part_of_a_definition() {
        let of =
            |name: &str, numbers| digest(&BTreeMap::from([(name.into(), Definition(numbers))]));
        let one = of("a", [1, 4, 8, 16, 0]);
        assert_eq!(one, of("a", [1, 4, 8, 16, 0]));
        for other in [
            of("b", [1, 4, 8, 16, 0]),
            of("a", [1, 4, 8, 17, 0]),
            of("a", [1, 4, 8, 16, 1]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    #[ignore = "needs CAP_BPF; hack/test netns runs it"]
    fn a_program_that_the_verifier_refuses_is_named_with_what_it_wrote() {
        let folder = std::env::temp_dir().join(format!("stoq-bpf-refused-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (source, object) = (folder.join("refused.c"), folder.join("refused.o"));
        // Reads a packet without asking where it ends.
        let text = "struct xdp_md { unsigned data, end; };\n\
            __attribute__((section(\"xdp\"), used)) int refused(struct xdp_md *ctx)\n\
            { return *(char *)(long)ctx->data; }\n\
            __attribute__((section(\"license\"))) char _license[] = \"Apache-2.0\";\n";
        std::fs::write(&source, text).unwrap();
        let clang = std::env::var("STOQ_CLANG").unwrap_or_else(|_| "clang".into());
        let mut compile = std::process::Command::new(clang);
        compile.args(["-target", "bpfel", "-O2", "-c"]).arg(&source);
        assert!(compile.arg("-o").arg(&object).status().unwrap().success());
        let mut ebpf = Ebpf::load_file(&object).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let error = verify("refused", ebpf.program_mut("refused").unwrap()).unwrap_err();
        let Error::Rejected { program, log, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(program, "refused");
        assert!(log.contains("invalid access to packet"), "{log}");
        assert!(
            error
                .to_string()
                .starts_with("the kernel refuses program refused:")
        );
    }
}
