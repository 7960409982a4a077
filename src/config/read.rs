//! What every part of the reading shares: the sources, the faults found so far, and a typed view of a checked mapping.
//!
//! Reading never stops at a fault. A mapping is first held against its [`Record`], which
//! finds what can be found field by field; a [`View`] then hands out values, and a value that was found faulty is read as
//! its default, because the faults already say that no configuration comes of this.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::Sources;
use crate::config::fault::Fault;
use crate::config::shape::{Record, Trail, nearest};
use crate::config::substitute::substitute;
use crate::config::value;
use crate::config::yaml::{self, Meaning, Node};
use crate::model::Place;

pub(super) struct Reader<'s> {
    sources: &'s dyn Sources,
    /// What relative paths are relative to.
    base: PathBuf,
    faults: Vec<Fault>,
    /// Each file once, in the order it was first named.
    files: Vec<PathBuf>,
    /// What variables and files said: no fault repeats it.
    secrets: Vec<Zeroizing<String>>,
    /// Words that the configuration or its tables say openly: where one is also such a value, it is no secret.
    known: HashSet<String>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(main: &Path, sources: &'s dyn Sources) -> Self {
        let base = main.parent().map(Path::to_owned).unwrap_or_default();
        Self {
            sources,
            base,
            faults: Vec::new(),
            files: Vec::new(),
            secrets: Vec::new(),
            known: HashSet::new(),
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Notes that there is no such thing, and names the nearest.
    pub(super) fn unknown<'w>(
        &mut self,
        place: &Place,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'w str>,
    ) {
        // What could not be put in was said where it is named.
        if name.is_empty() {
            return;
        }
        let known: Vec<&str> = known.collect();
        let hint = nearest(name, known.iter().copied()).unwrap_or_else(|| match known.as_slice() {
            [] => "there is none yet".to_owned(),
            known if known.len() <= 12 => format!("known are {}", known.join(", ")),
            _ => "add it, or name one that exists".to_owned(),
        });
        let message = format!("there is no {what} `{}`", name.escape_debug());
        self.fault(Fault::new(place.clone(), message).hint(hint));
    }

    pub(super) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    pub(super) fn env(&self, name: &str) -> Option<String> {
        self.sources.env(name)
    }

    /// A path as the main file means it.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// Reads a file that the configuration names at `place`: its name for people, and its bytes.
    pub(super) fn file(&mut self, path: &str, place: &Place) -> Result<(String, Vec<u8>), Fault> {
        let path = self.resolve(path);
        let bytes = self.read(&path, place)?;
        Ok((path.display().to_string(), bytes))
    }

    fn read(&mut self, path: &Path, place: &Place) -> Result<Vec<u8>, Fault> {
        if !self.files.iter().any(|known| known == path) {
            self.files.push(path.to_owned());
        }
        self.sources.read(path).map_err(|error| {
            let what = match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
                std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
                std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => error.to_string(),
            };
            Fault::new(place.clone(), format!("cannot read {}: {what}", path.display()))
        })
    }

    /// Reads a YAML file and puts its secrets in. `place` is where it is named.
    pub(super) fn tree(&mut self, path: &Path, place: &Place) -> Option<Node> {
        let bytes = match self.read(path, place) {
            Ok(bytes) => bytes,
            Err(fault) => {
                self.fault(fault);
                return None;
            }
        };
        let name: Arc<str> = path.display().to_string().into();
        let mut node = yaml::parse(&name, &bytes, &mut self.faults)?;
        substitute(self, &mut node);
        Some(node)
    }

    /// Holds a mapping against its record; what is wrong is noted.
    pub(super) fn check<'n>(&mut self, node: &'n Node, record: &'static Record) -> View<'n> {
        record.check(node, &Trail::ROOT, &mut self.faults);
        View { node: Some(node), record }
    }

    /// Remembers a value that was put in from outside.
    pub(super) fn keep_secret(&mut self, value: &str) {
        // Shorter ones are no secrets, and would tear holes into every sentence.
        const SHORTEST: usize = 4;
        if value.len() >= SHORTEST {
            self.secrets.push(Zeroizing::new(value.to_owned()));
        }
    }

    /// Notes words that faults may say although a variable or a file says the same.
    pub(super) fn know<'w>(&mut self, words: impl IntoIterator<Item = &'w str>) {
        self.known.extend(words.into_iter().map(str::to_owned));
    }

    fn redact(&self, fault: &mut Fault) {
        for secret in self.secrets.iter().filter(|secret| !self.known.contains(secret.as_str())) {
            for text in std::iter::once(&mut fault.message).chain(fault.hint.as_mut()) {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), "…");
                }
            }
        }
    }

    /// The position of a file in the order of reading.
    pub(super) fn rank(&self, file: &str) -> usize {
        let files = self.files.iter();
        files.take_while(|path| path.as_os_str() != std::ffi::OsStr::new(file)).count()
    }

    /// All files that were read, and the faults in order of file and line, each once.
    pub(super) fn finish(mut self) -> Result<Vec<PathBuf>, Vec<Fault>> {
        if self.faults.is_empty() {
            return Ok(self.files);
        }
        let mut faults = std::mem::take(&mut self.faults);
        faults.iter_mut().for_each(|fault| self.redact(fault));
        faults.sort_by_cached_key(|fault| (self.rank(&fault.place.file), fault.clone()));
        faults.dedup();
        Err(faults)
    }
}

/// A mapping that was held against its record, or one that is absent and has only defaults.
#[derive(Clone, Copy)]
pub(super) struct View<'n> {
    node: Option<&'n Node>,
    record: &'static Record,
}

impl<'n> View<'n> {
    /// A view of a part that [`Record::check`] has seen as part of a larger one.
    pub(super) fn of(node: Option<&'n Node>, record: &'static Record) -> Self {
        Self { node, record }
    }

    /// The value of a field, where it has one.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        debug_assert!(self.record.field(name).is_some(), "no field `{name}` in the table");
        self.node?.entry(name).map(|(_, value)| value).filter(|value| !value.is_nothing())
    }

    /// The text of a field or of its default.
    fn value<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let written = self.get(name).and_then(Node::scalar).and_then(|scalar| parse(&scalar.text));
        written.or_else(|| self.record.field(name)?.default.and_then(parse))
    }

    pub(super) fn text(&self, name: &str) -> Option<&'n str> {
        let written = self.get(name).and_then(Node::scalar).map(|scalar| scalar.text.as_str());
        written.or_else(|| self.record.field(name)?.default)
    }

    pub(super) fn duration(&self, name: &str) -> Duration {
        self.value(name, |text| value::duration(text).ok()).unwrap_or_default()
    }

    pub(super) fn size(&self, name: &str) -> u64 {
        self.value(name, |text| value::size(text).ok()).unwrap_or_default()
    }

    pub(super) fn byte_rate(&self, name: &str) -> u64 {
        self.value(name, |text| value::byte_rate(text).ok()).unwrap_or_default()
    }

    /// A whole number; tables keep it within the type that is wanted.
    pub(super) fn count<T: TryFrom<u64> + Default>(&self, name: &str) -> T {
        self.value(name, |text| T::try_from(value::count(text).ok()?).ok()).unwrap_or_default()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        match self.get(name).and_then(Node::scalar).map(yaml::Scalar::meaning) {
            Some(Meaning::Truth(truth)) => truth,
            _ => self.record.field(name).and_then(|field| field.default) == Some("true"),
        }
    }

    /// The values of a list, or the one value; none where the field is absent.
    pub(super) fn items(&self, name: &str) -> &'n [Node] {
        self.get(name).map_or(&[], Node::items)
    }
}
