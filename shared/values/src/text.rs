//! Texts that follow rules, and which characters are allowed in a line of text that people read.

use icu_properties::props::{
    BidiClass, DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup,
    NoncharacterCodePoint,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// A text that breaks a rule, with the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(pub &'static str);

/// BRAILLE PATTERN BLANK: the one symbol that is drawn as nothing and that no property of Unicode
/// tells apart.
const BRAILLE_BLANK: char = '\u{2800}';

/// Whether a text is one line that can be shown among others: no control character, no line or
/// paragraph separator, no noncharacter, and nothing that turns the direction of what follows.
pub fn is_one_line(text: &str) -> bool {
    let categories = CodePointMapData::<GeneralCategory>::new();
    let directions = CodePointMapData::<BidiClass>::new();
    let noncharacters = CodePointSetData::new::<NoncharacterCodePoint>();
    text.chars().all(|character| {
        let breaks = matches!(
            categories.get(character),
            GeneralCategory::Control
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        );
        let turns = matches!(
            directions.get(character),
            BidiClass::LeftToRightEmbedding
                | BidiClass::LeftToRightOverride
                | BidiClass::RightToLeftEmbedding
                | BidiClass::RightToLeftOverride
                | BidiClass::PopDirectionalFormat
                | BidiClass::LeftToRightIsolate
                | BidiClass::RightToLeftIsolate
                | BidiClass::FirstStrongIsolate
                | BidiClass::PopDirectionalIsolate
        );
        !breaks && !turns && !noncharacters.contains(character)
    })
}

/// Whether a reader sees anything of a text: a letter, a number, punctuation or a symbol that is drawn.
/// Spaces, joiners and variation selectors are not; nor are the Hangul fillers, which are letters to
/// Unicode.
pub fn is_visible(text: &str) -> bool {
    let drawn = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation)
        .union(GeneralCategoryGroup::Symbol);
    let categories = CodePointMapData::<GeneralCategory>::new();
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    text.chars().any(|character| {
        drawn.contains(categories.get(character))
            && !ignorable.contains(character)
            && character != BRAILLE_BLANK
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_characters_that_are_not_drawn_is_not_visible() {
        let blank = [
            0x20, 0xa0, 0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x180b, 0x180e, 0x2003, 0x200b,
            0x200c, 0x200d, 0x200e, 0x200f, 0x2060, 0x2064, 0x2800, 0x3000, 0x3164, 0xfe00, 0xfe0f,
            0xfeff, 0xffa0, 0xe0001, 0xe0100, 0xe01ef,
        ];
        for code in blank {
            let character = char::from_u32(code).unwrap();
            assert!(!is_visible(&character.to_string()), "U+{code:04X}");
        }
        assert!(!is_visible("\u{200b} \u{2060}\u{fe0f}"));
        for text in [
            "a",
            "7",
            "!",
            "👩\u{200d}🚀",
            "क\u{94d}\u{200d}ष",
            "한",
            "عرض",
        ] {
            assert!(is_visible(text) && is_one_line(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_breaks_the_line_or_turns_its_direction_is_not_one_line() {
        let codes = [
            0x0, 0x7, 0xa, 0xd, 0x7f, 0x85, 0x2028, 0x2029, 0xfdd0, 0xfffe, 0x10ffff,
        ];
        for code in codes
            .into_iter()
            .chain(0x202a..=0x202e)
            .chain(0x2066..=0x2069)
        {
            let character = char::from_u32(code).unwrap();
            assert!(!is_one_line(&format!("a{character}b")), "U+{code:04X}");
        }
        // Marks that help a mixed text along without turning what follows it.
        assert!(is_one_line("a\u{200e}b\u{200f}c"));
    }
}
