//! Whether a structure lies in memory as the kernel's program believes.

use crate::btf::Btf;

/// How one structure lies in memory on this side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Its name in `bpf/include/stoq/shared.h`.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// Name, offset in bytes and size in bytes of each member, in order.
    pub fields: &'static [(&'static str, usize, usize)],
}

/// Holds `layouts` against an object's type information.
///
/// # Errors
/// What differs, in words: a structure or member that is missing, or lies or ends elsewhere.
pub(crate) fn check(btf: &Btf<'_>, layouts: &[Layout]) -> Result<(), String> {
    for layout in layouts {
        let Some(found) = btf.structure(layout.name) else {
            return Err(format!("struct {} is missing", layout.name));
        };
        if found.size != layout.size {
            return Err(format!(
                "struct {} has {} bytes there and {} here",
                layout.name, found.size, layout.size
            ));
        }
        let here: Vec<_> = layout
            .fields
            .iter()
            .map(|&(name, offset, _)| (name.to_owned(), offset))
            .collect();
        if found.members != here {
            return Err(format!(
                "struct {} has the members {:?} there and {here:?} here",
                layout.name, found.members
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;

    fn with_types<T>(object: Object, see: impl FnOnce(&Btf<'_>) -> T) -> T {
        let bytes = aya_obj::Object::parse(object.bytes())
            .unwrap()
            .btf
            .unwrap()
            .to_bytes();
        see(&Btf::parse(&bytes).unwrap())
    }

    #[test]
    fn every_structure_lies_as_the_header_says() {
        for object in Object::ALL {
            with_types(object, |btf| check(btf, object.layouts())).unwrap();
        }
    }

    #[test]
    fn no_member_overlaps_or_leaves_a_gap() {
        for layout in Object::ALL.iter().flat_map(|object| object.layouts()) {
            let end = layout.fields.iter().fold(0, |end, &(name, offset, size)| {
                assert_eq!(offset, end, "{}.{name}", layout.name);
                offset + size
            });
            assert_eq!(end, layout.size, "{}", layout.name);
        }
    }

    #[test]
    fn another_size_another_member_and_a_missing_structure_are_named() {
        let good = Layout {
            name: "stoq_bucket",
            size: 16,
            fields: &[("paid_until_ns", 0, 8), ("dropped", 8, 8)],
        };
        let differs = |layout| {
            with_types(Object::Guard, |btf| check(btf, &[layout])).expect_err("they differ")
        };
        assert_eq!(
            differs(Layout { size: 24, ..good }),
            "struct stoq_bucket has 16 bytes there and 24 here"
        );
        let moved = &[("dropped", 0, 8), ("paid_until_ns", 8, 8)];
        assert!(
            differs(Layout {
                fields: moved,
                ..good
            })
            .contains("members")
        );
        assert_eq!(
            differs(Layout {
                name: "stoq_bucke",
                ..good
            }),
            "struct stoq_bucke is missing"
        );
    }
}
