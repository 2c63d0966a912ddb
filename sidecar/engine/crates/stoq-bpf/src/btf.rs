//! Reads what a structure looks like out of an object's BTF, the kernel's own type format
//! (Linux, Documentation/bpf/btf.rst). aya keeps its reader to itself.

/// Types of one object, over the bytes of its `.BTF` section in the byte order of this machine.
#[derive(Debug)]
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

/// A structure as its program sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Structure {
    /// Bytes.
    pub size: usize,
    /// Name and offset in bytes of each member.
    pub members: Vec<(String, usize)>,
}

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// `struct btf_type`: name, info and size or type.
const TYPE: usize = 12;
/// `struct btf_member`: name, type and offset.
const MEMBER: usize = 12;
const KIND_STRUCT: u32 = 4;

impl<'a> Btf<'a> {
    /// Finds the two sections in the section; `None` if it is no BTF or ends too early.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        let header = word(bytes, 4)?;
        if magic != MAGIC || header < HEADER {
            return None;
        }
        let section = |offset: usize, length: usize| {
            let from = header.checked_add(word(bytes, offset)?)?;
            bytes.get(from..from.checked_add(word(bytes, length)?)?)
        };
        Some(Self {
            types: section(8, 12)?,
            strings: section(16, 20)?,
        })
    }

    /// The structure of this name.
    pub(crate) fn structure(&self, name: &str) -> Option<Structure> {
        let mut at = 0;
        while at < self.types.len() {
            let info = word(self.types, at + 4)? as u32;
            let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            if kind == KIND_STRUCT && self.name(word(self.types, at)?)? == name {
                return self.members(at, count);
            }
            at += TYPE + trailer(kind, count)?;
        }
        None
    }

    fn members(&self, at: usize, count: usize) -> Option<Structure> {
        let members = (0..count).map(|index| {
            let member = at + TYPE + index * MEMBER;
            // Bits, which share their word with a field's width in structures that have bit fields.
            let bits = word(self.types, member + 8)? & 0xff_ffff;
            Some((self.name(word(self.types, member)?)?.to_owned(), bits / 8))
        });
        Some(Structure {
            size: word(self.types, at + 8)?,
            members: members.collect::<Option<_>>()?,
        })
    }

    fn name(&self, offset: usize) -> Option<&'a str> {
        let rest = self.strings.get(offset..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

/// Bytes that follow a type's head; `None` for a kind this reader does not know.
fn trailer(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 4, // integer, variable, declaration tag
        2 | 7..=12 | 16 | 18 => 0,
        3 => 12,               // array
        4 | 5 => count * 12,   // structure, union
        6 | 13 => count * 8,   // enumeration, function prototype
        15 | 19 => count * 12, // data section, 64-bit enumeration
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::object::Object;

    fn section(object: Object) -> Vec<u8> {
        let parsed = aya_obj::Object::parse(object.bytes()).unwrap();
        parsed.btf.unwrap().to_bytes()
    }

    #[test]
    fn a_structure_is_found_by_name_with_its_members() {
        let bytes = section(Object::Guard);
        let found = Btf::parse(&bytes).unwrap().structure("stoq_count");
        let members = vec![("packets".to_owned(), 0), ("bytes".to_owned(), 8)];
        assert_eq!(found, Some(Structure { size: 16, members }));
    }

    #[test]
    fn what_is_not_there_is_none() {
        let bytes = section(Object::Guard);
        assert_eq!(Btf::parse(&bytes).unwrap().structure("stoq_nothing"), None);
        assert!(Btf::parse(&bytes[..20]).is_none());
        assert!(Btf::parse(&[0; 64]).is_none());
    }

    proptest! {
        #[test]
        fn broken_sections_end_in_none_and_never_in_a_panic(at in 0usize..4096, byte: u8, cut in 0usize..4096) {
            let mut bytes = section(Object::Strict);
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut % length);
            if let Some(btf) = Btf::parse(&bytes) {
                let _ = btf.structure("stoq_pod");
            }
        }
    }
}
