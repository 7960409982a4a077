//! Checks of single fields: what each may be, and what is said where it is not.

use ipnet::IpNet;

use crate::config::{WrongRate, nearest, read_rate_limit};
use crate::model::{Access, KeyLimits, Permissions, Timestamp};
use crate::registry::Terms;
use crate::registry::operation::{FieldFault, Patch, Rejection};
use crate::vault::key;

/// Texts are shown to everybody who may look, and written down in the audit for good.
const HOLDS_KEY: &str = "holds a key; keys do not belong in text";
const NAME_CHARS_MAX: usize = 200;
pub(super) const TEXT_CHARS_MAX: usize = 2_000;
pub(super) const PLAN_CHARS_MAX: usize = 100;
const ADDRESSES_MAX: usize = 1_000;
/// Faults are found while no other decision can be made: so they are no work to speak of, however many there are. Among
/// how many names the nearest is looked for, and for how many faults.
const NEAR_NAMES_MAX: usize = 200;
const HINTS_MAX: usize = 20;
const FAULTS_MAX: usize = 1_000;

/// The faults of one request, or of one line, gathered.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<FieldFault>,
    hints: Hints,
}

/// How many more names are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hints(usize);

impl Default for Hints {
    fn default() -> Self {
        Self(HINTS_MAX)
    }
}

impl Faults {
    /// Goes on where other lines left off.
    pub(super) fn with(hints: Hints) -> Self {
        Self { hints, ..Self::default() }
    }

    pub(super) fn hints(&self) -> Hints {
        self.hints
    }

    /// Nobody reads more of them.
    fn is_full(&self) -> bool {
        self.list.len() >= FAULTS_MAX
    }

    /// What somebody pasted in the wrong place is not repeated, neither as a name nor in what is said of it.
    pub(super) fn add(&mut self, field: &str, message: impl Into<String>) {
        if self.is_full() {
            return;
        }
        let field = if key::is_in(field) { "pst_…" } else { field };
        let message = message.into();
        let message = if key::is_in(&message) { HOLDS_KEY.to_owned() } else { message };
        self.list.push(FieldFault { field: field.to_owned(), message });
    }

    /// For names that are no lines of text but may have the form of a key.
    pub(super) fn unless_key(&mut self, field: &str, text: &str) {
        if key::is_in(text) {
            self.add(field, HOLDS_KEY);
        }
    }

    pub(super) fn into_list(self) -> Vec<FieldFault> {
        self.list
    }

    /// No faults, or all of them.
    pub(super) fn judge(self) -> Result<(), Rejection> {
        if self.list.is_empty() { Ok(()) } else { Err(Rejection::Invalid(self.list)) }
    }

    /// What people call something: on one line, without spaces around it.
    pub(super) fn name(&mut self, text: &str) -> String {
        self.line("name", text, NAME_CHARS_MAX)
    }

    pub(super) fn line(&mut self, field: &str, text: &str, chars_max: usize) -> String {
        let text = text.trim();
        if text.is_empty() {
            self.add(field, "must not be empty");
        } else if key::is_in(text) {
            self.add(field, HOLDS_KEY);
        } else if text.chars().count() > chars_max {
            self.add(field, format!("must have at most {chars_max} characters"));
        } else if text.chars().any(is_unseen) {
            self.add(field, "must not have line breaks or other control characters");
        }
        text.to_owned()
    }

    /// A few sentences. Line breaks and tabs are part of them; nothing but spaces is no text.
    pub(super) fn text(&mut self, field: &str, text: &str) -> Option<String> {
        let text = text.trim();
        if key::is_in(text) {
            self.add(field, HOLDS_KEY);
        } else if text.chars().count() > TEXT_CHARS_MAX {
            self.add(field, format!("must have at most {TEXT_CHARS_MAX} characters"));
        } else if text.chars().any(|c| is_unseen(c) && !matches!(c, '\n' | '\r' | '\t')) {
            self.add(field, "must not have control characters but line breaks and tabs");
        }
        if text.is_empty() { None } else { Some(text.to_owned()) }
    }

    /// A patch of such a text.
    pub(super) fn patched_text(
        &mut self,
        field: &str,
        patch: &Patch<String>,
        now: Option<&str>,
    ) -> Option<String> {
        match patch {
            Patch::Keep => now.map(str::to_owned),
            Patch::Clear => None,
            Patch::Set(text) if Some(text.as_str()) == now => Some(text.clone()),
            Patch::Set(text) => self.text(field, text),
        }
    }

    pub(super) fn future(&mut self, field: &str, moment: Timestamp, now: Timestamp) {
        if moment <= now {
            self.add(field, format!("must be in the future; it is {now} now"));
        }
    }

    /// A name that is not among the known ones.
    pub(super) fn unknown<'k>(
        &mut self,
        field: &str,
        what: &str,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let hint = match self.hints.0.checked_sub(1) {
            None => None,
            Some(left) => {
                self.hints = Hints(left);
                nearest(word, known.into_iter().take(NEAR_NAMES_MAX))
            }
        };
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        self.add(field, format!("there is no {what} `{}`{hint}", word.escape_debug()));
    }

    pub(super) fn region(&mut self, region: &str, terms: &Terms) {
        if terms.regions.is_empty() {
            self.add("region", "must be left out: the configuration has no regions");
        } else if !terms.regions.iter().any(|known| known == region) {
            self.unknown("region", "region", region, terms.regions.iter().map(String::as_str));
        }
    }

    /// The API that a key is for; it may be left out where there is one.
    pub(super) fn api(&mut self, api: Option<&str>, terms: &Terms) -> std::sync::Arc<str> {
        let found = match (api, terms.apis.as_slice()) {
            (None, [only]) => Some(only),
            (None, apis) => {
                self.add("api", format!("is required: one of {}", apis.join(", ")));
                None
            }
            (Some(name), apis) => {
                let found = apis.iter().find(|known| ***known == *name);
                if found.is_none() {
                    self.unknown("api", "API", name, apis.iter().map(|known| &**known));
                }
                found
            }
        };
        found.cloned().unwrap_or_default()
    }

    /// Kept as they were written: `none` grants nothing, and says that somebody thought of it.
    pub(super) fn permissions(
        &mut self,
        written: &[(String, Access)],
        terms: &Terms,
    ) -> Permissions {
        for (index, (name, _)) in written.iter().enumerate() {
            if self.is_full() {
                break;
            }
            let field = format!("permissions.{name}");
            if terms.catalogue.id(name).is_none() {
                self.unknown(&field, "category or scope", name, terms.catalogue.names());
            } else if written.iter().take(index).any(|(earlier, _)| earlier == name) {
                self.add(&field, "stands there twice");
            }
        }
        written.iter().map(|(name, access)| (name.as_str(), *access)).collect()
    }

    pub(super) fn addresses(&mut self, addresses: &[IpNet]) {
        if addresses.len() > ADDRESSES_MAX {
            self.add("allowed_ips", format!("must have at most {ADDRESSES_MAX} entries"));
            return;
        }
        for (index, address) in addresses.iter().enumerate() {
            let IpNet::V6(net) = address else { continue };
            // Callers over IPv4 are known by their IPv4 address, so this would never match.
            if let Some(v4) = net.addr().to_ipv4_mapped() {
                let bits = net.prefix_len().saturating_sub(96);
                self.add(
                    &format!("allowed_ips[{index}]"),
                    format!("is an IPv4 address in IPv6 form; did you mean `{v4}/{bits}`?"),
                );
            }
        }
    }

    pub(super) fn limits(&mut self, limits: &KeyLimits) {
        let wrong = read_rate_limit(&limits.rate, limits.burst).err();
        for WrongRate { field, why } in wrong.into_iter().flatten() {
            self.add(field, why);
        }
    }
}

/// What a key may where nothing was chosen.
pub(super) fn default_permissions(terms: &Terms) -> Permissions {
    if !terms.grants_read_by_default {
        return Permissions::default();
    }
    // A grant of a category covers its scopes, which alone have a dot in their names.
    let categories = terms.catalogue.names().filter(|name| !name.contains('.'));
    categories.map(|name| (name, Access::READ)).collect()
}

/// Characters that break a line of a log or turn the direction of a text, so that it reads as another.
fn is_unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
