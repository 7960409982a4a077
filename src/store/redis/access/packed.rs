//! MessagePack, as much of it as Redis's scripts and this program tell each other: arrays of texts and counts.

/// An array that is being written.
#[derive(Debug, Default)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    pub(super) fn array(length: usize) -> Self {
        let mut packed = Self(Vec::with_capacity(16 * length));
        packed.begin_array(length);
        packed
    }

    /// The next element is an array of so many.
    pub(super) fn begin_array(&mut self, length: usize) {
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(few @ 0..=15), _) => self.0.push(0x90 | few),
            (_, Ok(some)) => self.headed(0xdc, &some.to_be_bytes()),
            _ => self.headed(0xdd, &u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()),
        }
    }

    pub(super) fn count(&mut self, count: u64) {
        let [.., fourth, third, second, first] = count.to_be_bytes();
        match count {
            0..=0x7f => self.0.push(first),
            0x80..=0xff => self.headed(0xcc, &[first]),
            0x100..=0xffff => self.headed(0xcd, &[second, first]),
            0x1_0000..=0xffff_ffff => self.headed(0xce, &[fourth, third, second, first]),
            _ => self.headed(0xcf, &count.to_be_bytes()),
        }
    }

    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        match (u8::try_from(text.len()), u16::try_from(text.len())) {
            (Ok(few @ 0..=31), _) => self.0.push(0xa0 | few),
            (_, Ok(some)) => self.headed(0xda, &some.to_be_bytes()),
            _ => self.headed(0xdb, &u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes()),
        }
        self.0.extend(text);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn headed(&mut self, kind: u8, number: &[u8]) {
        self.0.push(kind);
        self.0.extend(number);
    }
}

/// Takes the counts of an array that holds nothing else off the front.
pub(super) fn take_counts(rest: &mut &[u8]) -> Option<Vec<u64>> {
    let length = match take::<1>(rest)? {
        [few @ 0x90..=0x9f] => u64::from(few & 0x0f),
        [0xdc] => u64::from(u16::from_be_bytes(take(rest)?)),
        [0xdd] => u64::from(u32::from_be_bytes(take(rest)?)),
        _ => return None,
    };
    let mut counts = Vec::new();
    for _ in 0..length {
        counts.push(match take::<1>(rest)? {
            [few @ 0..=0x7f] => u64::from(few),
            [0xcc] => u64::from(u8::from_be_bytes(take(rest)?)),
            [0xcd] => u64::from(u16::from_be_bytes(take(rest)?)),
            [0xce] => u64::from(u32::from_be_bytes(take(rest)?)),
            [0xcf] => u64::from_be_bytes(take(rest)?),
            // What Lua writes is signed where it has more than four bytes.
            [0xd3] => u64::try_from(i64::from_be_bytes(take(rest)?)).ok()?,
            _ => return None,
        });
    }
    Some(counts)
}

fn take<const LENGTH: usize>(rest: &mut &[u8]) -> Option<[u8; LENGTH]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(mut bytes: &[u8]) -> Option<Vec<u64>> {
        let counts = take_counts(&mut bytes)?;
        bytes.is_empty().then_some(counts)
    }

    #[test]
    fn counts_are_read_as_they_are_written() {
        for length in [0, 1, 15, 16, 300, 70_000] {
            let counts_in: Vec<u64> = (0..length).map(|n| n * n * 77).collect();
            let mut packed = Packed::array(counts_in.len());
            counts_in.iter().for_each(|count| packed.count(*count));
            assert_eq!(counts(packed.bytes()), Some(counts_in));
        }
        let mut packed = Packed::array(10);
        let ends = [0, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX];
        ends.iter().for_each(|count| packed.count(*count));
        assert_eq!(counts(packed.bytes()), Some(ends.to_vec()));
    }

    #[test]
    fn what_is_damaged_is_not_read() {
        let mut packed = Packed::array(2);
        packed.count(1_000);
        packed.count(7);
        let whole = packed.bytes();
        for length in 0..whole.len() {
            assert_eq!(counts(&whole[..length]), None, "{length}");
        }
        assert_eq!(counts(&[whole, &[0]].concat()), None);
        let mut text = Packed::array(1);
        text.text("seven");
        assert_eq!(counts(text.bytes()), None);
        assert_eq!(counts(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1]), None);
    }
}
