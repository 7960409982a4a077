//! Spellings of a segment that some upstream takes for one.
//!
//! A path is judged as it is spelled. Express reads it without case, Windows drops the dots and spaces at the end of a
//! name, most stacks take `%24` for `$`; none of them does all of it. What is alike here is therefore never taken for
//! the same: the route table only asks whether the other spelling would be decided otherwise.

use smallvec::SmallVec;

use crate::policy::target::encoded_delimiter;

/// What all spellings of a segment have in common.
pub(crate) type Folded = SmallVec<[u8; 64]>;

/// In lower case, with plain delimiters, and [`bare`].
pub(crate) fn folded(segment: &str) -> Folded {
    let mut folded = Folded::new();
    let mut rest = bare(segment).as_bytes();
    while let [byte, after @ ..] = rest {
        let delimiter = encoded_delimiter(rest);
        folded.push(delimiter.unwrap_or_else(|| byte.to_ascii_lowercase()));
        rest = if delimiter.is_some() { rest.get(3..).unwrap_or_default() } else { after };
    }
    folded
}

/// Without the spaces around it and the dots at its end. A segment of nothing else stays: it spells no other.
pub(crate) fn bare(segment: &str) -> &str {
    let mut bare = segment;
    while let Some(shorter) = bare.strip_prefix(SPACE) {
        bare = shorter;
    }
    while let Some(shorter) = bare.strip_suffix('.').or_else(|| bare.strip_suffix(SPACE)) {
        bare = shorter;
    }
    if bare.is_empty() { segment } else { bare }
}

const SPACE: &str = "%20";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_segment_fold_to_one() {
        for alike in ["Export", "export.", "export%20", "%20EXPORT", "%20%20export.%20.."] {
            assert_eq!(folded(alike), folded("export"), "{alike}");
        }
        assert_eq!(folded("%24Export"), folded("$export"));
        assert_eq!(folded("CAF%C3%A9"), folded("caf%C3%A9"));
    }

    #[test]
    fn other_segments_stay_apart() {
        for other in ["exports", ".export", "ex%20port", "export%2A", "%C3%89xport", "x", ""] {
            assert_ne!(folded(other), folded("export"), "{other}");
        }
        assert_ne!(folded("%20"), folded(""));
    }
}
