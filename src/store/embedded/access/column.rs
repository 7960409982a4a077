//! Columns: many numbers or texts of one kind, written as one.
//!
//! A part of a block (`block`) is a version, what part it is, columns one after the other, and a check over all of it:
//!
//! ```text
//! part    = version:u8 kind:u8 { number | column } crc32:u32le    the crc is of everything before it; kind 1 places,
//!                                                             2 facts, 3 rest
//! number  = LEB128
//! column  = head:number { plain:number } bytes                head = 2 × length of the bytes, + 1 where they are pressed;
//!                                                             `plain` is their length before that
//! indexes = column of numbers                                 places in a dictionary: mostly one byte, pressed well
//! numbers = column of widths, column of bits                  a width is how many bits a number needs (one byte each);
//!                                                             the bits are the numbers without their highest one, low
//!                                                             bit first, without a gap, never pressed
//! texts   = indexes (the length of each), column of all       UTF-8
//! ```
//!
//! Widths say what numbers have in common, and press to one or two bits each; what is left of a duration or a distance in
//! time is noise that nothing presses. Each column is pressed by itself (zstd), as what it has in common is its own. Fresh
//! blocks, which live for minutes, are written without pressing.
//!
//! Reading trusts nothing: what does not add up is [`Damaged`].

use std::borrow::Cow;

/// Of a part. The next way of writing has the next number; this one is still read then.
const VERSION: u8 = 1;
/// Where more work gives less than a hundredth.
const LEVEL: i32 = 3;
/// Shorter than this, zstd's own head eats what it saves.
const LEAST: usize = 24;
/// No column of ours comes near; what claims more is damaged.
const MOST: usize = 1 << 28;

/// It is not what was written, and how that shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) &'static str);

pub(super) fn put(out: &mut Vec<u8>, number: u64) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push((rest & 0x7f) as u8);
}

/// Small numbers of either sign to small numbers.
pub(super) fn fold(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(super) fn unfold(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Numbers as they come, checked to be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first().ok_or(Damaged("it is cut off"))?;
            self.0 = rest;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged("a number has no end"))
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damaged("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn end(&self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged("it goes on after its end")) }
    }
}

/// What a part of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Places = 1,
    Facts = 2,
    Rest = 3,
}

/// Whether columns are pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Density {
    Fresh,
    Dense,
}

#[derive(Debug)]
pub(super) struct Writer {
    out: Vec<u8>,
    density: Density,
    /// What is written next; used again and again, for many blocks are of a record or two.
    next: Vec<u8>,
    bits: Vec<u8>,
}

/// Most of a small block.
const USUAL: usize = 256;

impl Writer {
    pub(super) fn new(kind: Kind, density: Density) -> Self {
        let mut out = Vec::with_capacity(USUAL);
        out.extend_from_slice(&[VERSION, kind as u8]);
        Self { out, density, next: Vec::with_capacity(USUAL), bits: Vec::new() }
    }

    pub(super) fn number(&mut self, number: u64) {
        put(&mut self.out, number);
    }

    pub(super) fn raw(&mut self, column: &[u8]) {
        put(&mut self.out, column.len() as u64 * 2);
        self.out.extend_from_slice(column);
    }

    pub(super) fn column(&mut self, column: &[u8]) {
        if self.density == Density::Fresh || column.len() < LEAST {
            return self.raw(column);
        }
        // What cannot be pressed (no memory) is written as it is.
        match zstd::bulk::compress(column, LEVEL) {
            Ok(pressed) if pressed.len() + 4 < column.len() => {
                put(&mut self.out, pressed.len() as u64 * 2 + 1);
                put(&mut self.out, column.len() as u64);
                self.out.extend_from_slice(&pressed);
            }
            _ => self.raw(column),
        }
    }

    pub(super) fn indexes(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.made(|column| numbers.into_iter().for_each(|number| put(column, number)));
    }

    /// A column of what is appended to an empty one.
    fn made(&mut self, make: impl FnOnce(&mut Vec<u8>)) {
        let mut column = std::mem::take(&mut self.next);
        column.clear();
        make(&mut column);
        self.column(&column);
        self.next = column;
    }

    pub(super) fn numbers(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let mut bits = std::mem::take(&mut self.bits);
        bits.clear();
        let (mut waiting, mut held) = (0_u128, 0);
        self.made(|widths| {
            for number in numbers {
                let width = u64::BITS - number.leading_zeros();
                widths.push((width & 0x7f) as u8);
                let Some(kept) = width.checked_sub(1) else { continue };
                waiting |= u128::from(number ^ (1 << kept)) << held;
                held += kept;
                while held >= 8 {
                    bits.push((waiting & 0xff) as u8);
                    waiting >>= 8;
                    held -= 8;
                }
            }
        });
        if held > 0 {
            bits.push((waiting & 0xff) as u8);
        }
        self.raw(&bits);
        self.bits = bits;
    }

    pub(super) fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a str> + Clone) {
        self.indexes(texts.clone().into_iter().map(|text| text.len() as u64));
        self.made(|all| texts.into_iter().for_each(|text| all.extend_from_slice(text.as_bytes())));
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let check = crc32fast::hash(&self.out);
        self.out.extend_from_slice(&check.to_le_bytes());
        self.out
    }
}

#[derive(Debug)]
pub(super) struct Reader<'a>(Bytes<'a>);

impl<'a> Reader<'a> {
    pub(super) fn open(kind: Kind, part: &'a [u8]) -> Result<Self, Damaged> {
        let (body, check) = part.split_last_chunk().ok_or(Damaged("it is cut off"))?;
        if crc32fast::hash(body) != u32::from_le_bytes(*check) {
            return Err(Damaged("its checksum does not fit"));
        }
        match body.split_first_chunk() {
            Some(([VERSION, found], columns)) if *found == kind as u8 => Ok(Self(Bytes(columns))),
            Some(([VERSION, _], _)) => Err(Damaged("it is another part")),
            _ => Err(Damaged("it is of a later version")),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, Damaged> {
        self.0.number()
    }

    pub(super) fn column(&mut self) -> Result<Cow<'a, [u8]>, Damaged> {
        let head = self.0.number()?;
        let length = usize::try_from(head / 2).unwrap_or(usize::MAX);
        if head.is_multiple_of(2) {
            return self.0.take(length).map(Cow::Borrowed);
        }
        let plain = usize::try_from(self.0.number()?).unwrap_or(usize::MAX);
        if plain > MOST {
            return Err(Damaged("a column is too long"));
        }
        let column = zstd::bulk::decompress(self.0.take(length)?, plain);
        let column = column.map_err(|_error| Damaged("a column cannot be unpacked"))?;
        if column.len() == plain {
            Ok(Cow::Owned(column))
        } else {
            Err(Damaged("a column is short"))
        }
    }

    /// So many, each below a bound.
    pub(super) fn indexes(&mut self, count: usize, below: u64) -> Result<Vec<u32>, Damaged> {
        let column = self.column()?;
        let mut bytes = Bytes(&column);
        // Each takes a byte at least: no damage makes this reserve more than was read.
        let mut indexes = Vec::with_capacity(count.min(column.len()));
        for _ in 0..count {
            let number = bytes.number()?;
            let index = u32::try_from(number).ok().filter(|_| number < below);
            indexes.push(index.ok_or(Damaged("an index leads nowhere"))?);
        }
        bytes.end()?;
        Ok(indexes)
    }

    pub(super) fn numbers(&mut self, count: usize) -> Result<Vec<u64>, Damaged> {
        let (widths, bits) = (self.column()?, self.column()?);
        if widths.len() != count {
            return Err(Damaged("a column has another length"));
        }
        let mut bits = bits.iter();
        let (mut waiting, mut held) = (0_u128, 0);
        let mut numbers = Vec::with_capacity(count);
        for width in &*widths {
            let Some(kept) = u32::from(*width).checked_sub(1) else {
                numbers.push(0);
                continue;
            };
            if kept >= u64::BITS {
                return Err(Damaged("a number is too wide"));
            }
            while held < kept {
                let next = bits.next().ok_or(Damaged("a column has too few bits"))?;
                waiting |= u128::from(*next) << held;
                held += 8;
            }
            let top = 1_u64 << kept;
            let low = u64::try_from(waiting & u128::from(top - 1)).unwrap_or(0);
            numbers.push(top | low);
            waiting >>= kept;
            held -= kept;
        }
        Ok(numbers)
    }

    pub(super) fn texts(&mut self, count: usize) -> Result<Texts, Damaged> {
        let lengths = self.indexes(count, MOST as u64)?;
        let all = self.column()?.into_owned();
        let all = String::from_utf8(all).map_err(|_error| Damaged("a text is not UTF-8"))?;
        let mut ends = Vec::with_capacity(count);
        let mut end = 0_usize;
        for length in lengths {
            end = end.saturating_add(length as usize);
            ends.push(end);
        }
        let fits = end == all.len() && ends.iter().all(|end| all.is_char_boundary(*end));
        if fits { Ok(Texts { all, ends }) } else { Err(Damaged("a text is cut off")) }
    }

    /// A count of records, or of entries in a dictionary.
    pub(super) fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.0.number()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= MOST)
            .ok_or(Damaged("there are too many"))
    }

    pub(super) fn end(&self) -> Result<(), Damaged> {
        self.0.end()
    }
}

/// Texts by their number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Empty for what is not there: indexes were checked when they were read.
    pub(super) fn get(&self, index: u32) -> &str {
        let index = index as usize;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(index).copied().unwrap_or(0);
        self.all.get(start.unwrap_or(0)..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_number() -> impl Strategy<Value = u64> {
        (0..=64_u32, any::<u64>())
            .prop_map(|(width, bits)| bits.checked_shr(64 - width).unwrap_or(0))
    }

    fn density() -> impl Strategy<Value = Density> {
        prop::sample::select(&[Density::Fresh, Density::Dense][..])
    }

    proptest! {
        #[test]
        fn numbers_and_texts_are_read_as_they_were_written(
            density in density(),
            numbers in prop::collection::vec(any_number(), 0..200),
            texts in prop::collection::vec(".{0,20}", 0..50),
            signed in any::<i64>(),
        ) {
            let mut writer = Writer::new(Kind::Facts, density);
            writer.numbers(numbers.iter().copied());
            writer.number(fold(signed));
            writer.texts(texts.iter().map(String::as_str));
            let small: Vec<u32> = numbers.iter().map(|number| (number & 0xffff) as u32).collect();
            writer.indexes(small.iter().map(|number| u64::from(*number)));
            let part = writer.finish();
            let mut reader = Reader::open(Kind::Facts, &part).unwrap();
            prop_assert_eq!(reader.numbers(numbers.len()).unwrap(), numbers);
            prop_assert_eq!(unfold(reader.number().unwrap()), signed);
            let read = reader.texts(texts.len()).unwrap();
            for (index, text) in (0..).zip(&texts) {
                prop_assert_eq!(read.get(index), text);
            }
            prop_assert_eq!(reader.indexes(small.len(), 0x1_0000).unwrap(), small);
            reader.end().unwrap();
        }

        /// With the checksum made to fit again: what is behind it must stand by itself.
        #[test]
        fn no_damage_is_more_than_an_error(
            density in density(),
            numbers in prop::collection::vec(any_number(), 0..60),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut writer = Writer::new(Kind::Facts, density);
            writer.texts(["one", "zwei"]);
            writer.numbers(numbers.iter().copied());
            let mut part = writer.finish();
            let body = part.len() - 4;
            part.truncate(body);
            let at = at.index(body);
            part[at] = byte;
            let check = crc32fast::hash(&part);
            part.extend_from_slice(&check.to_le_bytes());
            if let Ok(mut reader) = Reader::open(Kind::Facts, &part) {
                let read = reader.texts(2).and_then(|_| reader.numbers(numbers.len()));
                if let Ok(read) = read {
                    prop_assert_eq!(read.len(), numbers.len());
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let mut writer = Writer::new(Kind::Facts, Density::Dense);
        writer.numbers(0..100);
        let part = writer.finish();
        for at in 0..part.len() {
            let mut part = part.clone();
            part[at] ^= 4;
            assert!(Reader::open(Kind::Facts, &part).is_err(), "at {at}");
        }
        assert!(Reader::open(Kind::Facts, &[]).is_err());
        assert!(Reader::open(Kind::Facts, &part[..part.len() - 1]).is_err());
    }

    #[test]
    fn what_is_alike_is_pressed() {
        let mut writer = Writer::new(Kind::Facts, Density::Dense);
        writer.indexes((0..2_000).map(|number| number % 2));
        assert!(writer.finish().len() < 100);
    }
}
