//! The text of a file as a tree that knows where each value was written. The one file that names the YAML crate.
//!
//! A plain subset of YAML is taken: one document, no anchors, aliases or tags, keys of text, each key once, nesting to
//! [`MAX_DEPTH`]. What is left out is where two readers of YAML may disagree, or where a small file becomes a large one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

use crate::config::fault::Fault;
use crate::model::Place;

/// The largest file that is read: a route map of a thousand routes is a fiftieth of it.
const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;

/// A configuration nests six deep; more than this is a mistake or an attack on the stack.
const MAX_DEPTH: usize = 32;

/// One value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub text: String,
    pub place: Place,
}

/// A single value as text.
#[derive(Clone)]
pub(super) struct Scalar {
    pub text: String,
    /// Written without quotes, so that `true` and `3` mean more than their letters.
    pub plain: bool,
    /// Where each `${` of the text was written, where that can be told.
    pub references: Vec<Place>,
    /// The text holds what a variable or a file said: it is shown to nobody and is never anything but text.
    pub secret: bool,
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// What a plain scalar means to YAML 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Nothing,
    Truth(bool),
    Number,
    Text,
}

impl Scalar {
    pub(super) fn meaning(&self) -> Meaning {
        if !self.plain || self.secret {
            return Meaning::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Nothing,
            "true" | "True" | "TRUE" => Meaning::Truth(true),
            "false" | "False" | "FALSE" => Meaning::Truth(false),
            text if is_number(text) => Meaning::Number,
            _ => Meaning::Text,
        }
    }

    /// A secret was meant and could not be had; whoever noticed said so.
    pub(super) fn is_lost(&self) -> bool {
        self.secret && self.text.is_empty()
    }

    /// The value as a fault may show it.
    pub(super) fn shown(&self) -> String {
        const LONGEST: usize = 60;
        if self.secret {
            return "the value put in here".to_owned();
        }
        let mut text: String = self.text.escape_debug().take(LONGEST).collect();
        if self.text.chars().count() > LONGEST {
            text.push('…');
        }
        format!("`{text}`")
    }
}

impl Node {
    pub(super) fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.meaning() == Meaning::Nothing)
    }

    /// The entries of a mapping; none for anything else.
    pub(super) fn entries(&self) -> &[(Key, Self)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar(_) | Kind::Sequence(_) => &[],
        }
    }

    pub(super) fn entry(&self, name: &str) -> Option<&(Key, Self)> {
        self.entries().iter().find(|(key, _)| key.text == name)
    }

    /// The items of a list; a single value is a list of itself.
    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Sequence(items) => items,
            Kind::Scalar(_) | Kind::Mapping(_) => std::slice::from_ref(self),
        }
    }

    /// What a fault says was found.
    pub(super) fn found(&self) -> String {
        match &self.kind {
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping".to_owned(),
            Kind::Scalar(scalar) if scalar.meaning() == Meaning::Nothing => "nothing".to_owned(),
            Kind::Scalar(scalar) => scalar.shown(),
        }
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    if let Some(rest) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0o")) {
        return !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let special = matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN");
    special
        || (digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
            && digits.bytes().any(|byte| byte.is_ascii_digit())
            && text.parse::<f64>().is_ok())
}

/// Reads one document. Faults are collected; None where no tree could be made.
pub(super) fn parse(file: &Arc<str>, bytes: &[u8], faults: &mut Vec<Fault>) -> Option<Node> {
    let text = match readable(file, bytes) {
        Ok(text) => text,
        Err(fault) => {
            faults.push(fault);
            return None;
        }
    };
    let mut builder = Builder {
        file,
        lines: text.lines().collect(),
        stack: Vec::new(),
        root: None,
        documents: 0,
        faults,
    };
    let mut parser = Parser::new(StrInput::new(text));
    while let Some(event) = parser.next_event() {
        let outcome = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(builder.explain(*error.marker(), error.info())),
        };
        if let Err(fault) = outcome {
            builder.faults.push(fault);
            return None;
        }
    }
    let root = builder.root.take().filter(|root| !root.is_nothing());
    if root.is_none() {
        let place = Place { file: Arc::clone(file), line: 1, column: 1 };
        faults.push(
            Fault::new(place, "the file is empty")
                .hint("`config/postern.yaml` is an example with every field"),
        );
    }
    root
}

/// The bytes as text, if they are what an editor saves: UTF-8 with Unix line ends, of a sane size.
fn readable<'b>(file: &Arc<str>, bytes: &'b [u8]) -> Result<&'b str, Fault> {
    let at = |offset: usize| {
        let before = bytes.get(..offset).unwrap_or_default();
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let column =
            1 + String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
        Place { file: Arc::clone(file), line, column }
    };
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Fault::new(at(0), "the file is larger than 8 MiB")
            .hint("this is not a configuration; name another file"));
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(Fault::new(at(0), "the file begins with a byte order mark")
            .hint("save it as UTF-8 without BOM"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Fault::new(at(error.valid_up_to()), "the file is not UTF-8 text").hint("save it as UTF-8")
    })?;
    let strange = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
    };
    match text.char_indices().find(|(_, c)| strange(*c)) {
        None => Ok(text),
        Some((offset, '\r')) => Err(Fault::new(at(offset), "the lines end in a carriage return")
            .hint("save the file with Unix line ends (LF)")),
        Some((offset, c)) => Err(Fault::new(
            at(offset),
            format!("the character U+{:04X} does not belong into a configuration", u32::from(c)),
        )
        .hint("remove it")),
    }
}

struct Builder<'b, 'f> {
    file: &'b Arc<str>,
    lines: Vec<&'b str>,
    stack: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    faults: &'f mut Vec<Fault>,
}

/// A list or mapping whose end was not yet seen.
enum Open {
    Sequence(Place, Vec<Node>),
    Mapping { place: Place, entries: Vec<(Key, Node)>, key: Option<Key> },
}

impl Builder<'_, '_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let place = self.place(span.start);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Fault::new(place, "a second document begins here")
                        .hint("one file holds one document: remove the `---`"));
                }
            }
            Event::Alias(_) => return Err(no_anchors(place)),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_extras(&place, anchor, tag.is_some())?;
                let references =
                    if text.contains("${") { self.references(span, &text) } else { Vec::new() };
                let plain = style == ScalarStyle::Plain;
                let scalar = Scalar { text: text.into_owned(), plain, references, secret: false };
                self.put(Node { place, kind: Kind::Scalar(scalar) })?;
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_extras(&place, anchor, tag.is_some())?;
                self.open(Open::Sequence(place, Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                refuse_extras(&place, anchor, tag.is_some())?;
                self.open(Open::Mapping { place, entries: Vec::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, open: Open) -> Result<(), Fault> {
        if self.stack.len() >= MAX_DEPTH {
            let (Open::Sequence(place, _) | Open::Mapping { place, .. }) = open;
            return Err(too_deep(place));
        }
        if let (
            Some(Open::Mapping { key: None, .. }),
            Open::Sequence(place, _) | Open::Mapping { place, .. },
        ) = (self.stack.last(), &open)
        {
            return Err(not_a_key(place.clone()));
        }
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let node = match self.stack.pop() {
            Some(Open::Sequence(place, items)) => Node { place, kind: Kind::Sequence(items) },
            Some(Open::Mapping { place, entries, .. }) => {
                self.find_duplicates(&entries);
                Node { place, kind: Kind::Mapping(entries) }
            }
            None => return Ok(()),
        };
        self.put(node)
    }

    fn put(&mut self, node: Node) -> Result<(), Fault> {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::Sequence(_, items)) => items.push(node),
            Some(Open::Mapping { entries, key, .. }) => match (key.take(), node) {
                (Some(key), node) => entries.push((key, node)),
                (None, Node { place, kind: Kind::Scalar(scalar) }) => {
                    *key = Some(Key { text: scalar.text, place })
                }
                (None, Node { place, .. }) => return Err(not_a_key(place)),
            },
        }
        Ok(())
    }

    fn find_duplicates(&mut self, entries: &[(Key, Node)]) {
        let mut seen: HashMap<&str, &Place> = HashMap::with_capacity(entries.len());
        for (key, _) in entries {
            if let Some(first) = seen.get(key.text.as_str()) {
                let message = format!(
                    "`{}` is already written on line {}",
                    key.text.escape_debug(),
                    first.line
                );
                self.faults
                    .push(Fault::new(key.place.clone(), message).hint("keep one of the two"));
            } else {
                seen.insert(&key.text, &key.place);
            }
        }
    }

    /// A place inside the text, even for an end that the parser sees behind it.
    fn place(&self, marker: Marker) -> Place {
        let last = self.lines.len().max(1);
        let line = marker.line().clamp(1, last);
        let width = self.lines.get(line - 1).map_or(0, |line| line.chars().count());
        let column =
            if marker.line() > last { width + 1 } else { (marker.col() + 1).min(width + 1) };
        Place { file: Arc::clone(self.file), line, column }
    }

    /// Where each `${` of a scalar stands; nothing where escapes make the count differ.
    fn references(&self, span: Span, text: &str) -> Vec<Place> {
        let (start, end) = (span.start, span.end);
        let mut places = Vec::new();
        for (index, line) in
            self.lines.iter().enumerate().take(end.line()).skip(start.line().saturating_sub(1))
        {
            let number = index + 1;
            let from = if number == start.line() { start.col() } else { 0 };
            let to = if number == end.line() { end.col() } else { usize::MAX };
            let mut before = ' ';
            for (column, c) in line.chars().enumerate() {
                if before == '$' && c == '{' && column > from && column <= to {
                    places.push(Place { file: Arc::clone(self.file), line: number, column });
                }
                before = c;
            }
        }
        if places.len() == text.matches("${").count() { places } else { Vec::new() }
    }

    /// A syntax error of the parser in our words, with the usual causes.
    fn explain(&self, marker: Marker, info: &str) -> Fault {
        let place = self.place(marker);
        let around = place.line.saturating_sub(2)..place.line;
        for (index, line) in self.lines.iter().enumerate().take(around.end).skip(around.start) {
            let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
            if let Some(column) = indent.chars().position(|c| c == '\t') {
                let place =
                    Place { file: Arc::clone(self.file), line: index + 1, column: column + 1 };
                return Fault::new(place, "a tab is used for indentation")
                    .hint("indent with spaces");
            }
        }
        if info.contains("recursion limit") {
            return too_deep(place);
        }
        let fault = Fault::new(place.clone(), format!("this is not YAML: {info}"));
        let line = self.lines.get(place.line - 1).copied().unwrap_or_default();
        if line.contains("${") {
            fault.hint("put a value with `${…}` into double quotes")
        } else {
            fault
        }
    }
}

fn refuse_extras(place: &Place, anchor: usize, tag: bool) -> Result<(), Fault> {
    if anchor != 0 {
        return Err(no_anchors(place.clone()));
    }
    if tag {
        return Err(Fault::new(place.clone(), "a tag (`!…`) is not taken here")
            .hint("leave it out, or put the value in quotes"));
    }
    Ok(())
}

fn too_deep(place: Place) -> Fault {
    Fault::new(place, format!("nested more than {MAX_DEPTH} deep")).hint("no field needs this")
}

fn no_anchors(place: Place) -> Fault {
    Fault::new(place, "anchors (`&name`) and aliases (`*name`) are not taken here")
        .hint("write the value out where it is used")
}

fn not_a_key(place: Place) -> Fault {
    Fault::new(place, "a list or a mapping cannot be a key")
        .hint("put a value that begins with `{` or `[` in quotes")
}

#[cfg(test)]
mod tests;
