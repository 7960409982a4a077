//! Characters beyond ASCII that an upstream may turn into structure.
//!
//! A server that normalises (NFKC) or converts to an older character set ("best fit") reads a fullwidth slash as a
//! slash. Whoever judged the path did not see one, so such characters are refused, as are those that no path has use
//! for: control characters of Latin-1 and the two Unicode line ends.

/// Says why a decoded character is not taken in a path, if it is not.
pub(crate) fn refuse(character: char) -> Result<(), &'static str> {
    match character {
        '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
            Err("the path has an encoded control character")
        }
        // Solidus: care of, account of; fraction, division, big, box drawing, fullwidth.
        '\u{2044}' | '\u{2215}' | '\u{2571}' | '\u{29f8}' | '\u{ff0f}' => Err(LOOKALIKE),
        '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}' => Err(LOOKALIKE),
        // Reverse solidus: yen and won stand in its place in older Japanese and Korean sets.
        '\u{a5}' | '\u{20a9}' | '\u{20e5}' | '\u{2216}' | '\u{2572}' => Err(LOOKALIKE),
        '\u{29f5}' | '\u{29f9}' | '\u{fe68}' | '\u{ff3c}' | '\u{ffe5}' | '\u{ffe6}' => {
            Err(LOOKALIKE)
        }
        // Full stop, two and three of them.
        '\u{2024}'..='\u{2026}' | '\u{fe19}' | '\u{fe30}' | '\u{fe52}' | '\u{ff0e}' => {
            Err(LOOKALIKE)
        }
        // Semicolon; the Greek question mark is one by canonical equivalence.
        '\u{37e}' | '\u{fe14}' | '\u{fe54}' | '\u{ff1b}' => Err(LOOKALIKE),
        // Question mark, percent sign, number sign.
        '\u{2047}'..='\u{2049}' | '\u{fe16}' | '\u{fe56}' | '\u{ff1f}' => Err(LOOKALIKE),
        '\u{66a}' | '\u{fe6a}' | '\u{ff05}' | '\u{fe5f}' | '\u{ff03}' => Err(LOOKALIKE),
        _ => Ok(()),
    }
}

const LOOKALIKE: &str = "the path has a character that some servers read as / \\ . ; % ? or #";
