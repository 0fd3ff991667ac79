//! Numbers that have names: what one of a few things means, flags, or both in one word.

macro_rules! values {
    ($($(#[$source:meta])* $name:ident $mask:literal
        { $($value:literal $field:ident),* } { $($bit:literal $flag:ident),* })*) => {
        $($(#[$source])* pub(in super::super) const $name: &Values = &Values {
            mask: $mask,
            field: &[$(($value, stringify!($field))),*],
            flags: &[$(($bit, stringify!($flag))),*],
        };)*
    };
}

pub(super) mod table;

/// The names of a word's values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Values {
    /// The bits that hold one of `field`; 0 where there are flags alone.
    mask: u64,
    field: &'static [(u64, &'static str)],
    flags: &'static [(u64, &'static str)],
}

impl Values {
    /// The name of one of the field's values.
    pub(super) fn name(&self, value: u64) -> Option<&'static str> {
        self.field.iter().find(|(known, _)| *known == value).map(|(_, name)| *name)
    }

    /// The word in names, joined by `|`; bits without a name as a number.
    pub(super) fn render(&self, word: u64, octal: bool) -> String {
        let mut rest = word;
        let mut names = Vec::new();
        if let Some(name) = self.name(word & self.mask) {
            names.push(name);
            rest &= !self.mask;
        }
        for (bits, name) in self.flags {
            if rest & bits == *bits {
                names.push(name);
                rest &= !bits;
            }
        }
        let rest = match rest {
            0 if !names.is_empty() => return names.join("|"),
            0 => "0".to_owned(),
            _ if octal => format!("0{rest:o}"),
            _ if self.flags.is_empty() && rest < 1024 => rest.to_string(),
            _ => format!("{rest:#x}"),
        };
        names.push(&rest);
        names.join("|")
    }
}
