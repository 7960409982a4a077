//! Many things at once, from lines of JSON: all or nothing.
//!
//! A line is one object with a `kind`: `practice`, `user`, `vendor`, `vendor_key` or `key`, and the fields that `line` lists.
//! Lines may refer to what earlier or later lines make, and to what is there already. Empty lines are passed over.
//!
//! It goes in three steps. Reading looks at each line by itself and at lines against each other; then every key is hashed, on
//! all cores, unless a line was faulty already; then planning, which may be asked again, holds the lines against the records.
//! The faults of the first and the last step are told together, as the output of the plan, so that one run names them all.
//! No fault and no `Debug` shows a key.

use serde_json::json;

use crate::model::{Deed, KeyDigest, KeyId, PlainKey};
use crate::registry::Terms;
use crate::registry::operation::{Ground, Operation, Plan, Rejection};
use crate::vault::Vault;

mod hashing;
mod line;
mod object;
mod resolve;
mod secret;
mod told;
mod unique;

use hashing::Hashed;
use line::Line;
use told::Gathered;

/// Lines that were read and whose keys are hashed, ready to be planned.
#[derive(Debug)]
pub struct Import {
    lines: Vec<Numbered>,
    /// With any of these there are no lines: nothing was hashed, and nothing will be written.
    faults: Gathered,
}

#[derive(Debug)]
struct Numbered {
    number: usize,
    line: Line,
    /// Of a key that was issued elsewhere. Cheap, so faulty files have it, too.
    digest: Option<KeyDigest>,
    /// None until it is hashed, and for lines without one.
    key: Option<Hashed>,
}

/// A line that cannot be taken; lines from 1.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LineFault {
    pub line: usize,
    pub message: String,
}

/// What an import made, in the order of its lines. `plain` only for keys that were made here.
#[derive(Clone, Debug)]
pub struct Imported {
    pub line: usize,
    pub kind: &'static str,
    pub id: String,
    pub name: Option<String>,
    pub key_id: Option<KeyId>,
    pub plain: Option<PlainKey>,
}

impl Import {
    /// Blocking: hashes every key; `progress` hears how many are done of how many. Fails where the vault does, and where
    /// no line can be written down; faulty lines are told by the plan, together with those that only the records show.
    pub fn read(
        text: &[u8],
        terms: &Terms,
        vault: &Vault,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Vec<LineFault>> {
        let mut faults = Gathered::default();
        let mut lines = Vec::new();
        for (index, text) in text.split(|byte| *byte == b'\n').enumerate() {
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let number = index + 1;
            match line::read(text) {
                Ok(line) => {
                    let digest = line.digest(vault);
                    lines.push(Numbered { number, line, digest, key: None });
                }
                Err(messages) => messages.iter().for_each(|message| faults.add(number, message)),
            }
        }
        unique::repeated(&lines, &mut faults);
        // The lines of a faulty file are held against the records all the same, without the work of hashing.
        if faults.is_empty() {
            hashing::hash(&mut lines, terms, vault, progress)?;
        }
        Ok(Self { lines, faults })
    }
}

impl Operation for Import {
    type Output = Result<Vec<Imported>, Vec<LineFault>>;

    fn plan(&self, ground: &Ground<'_>) -> Result<Plan<Self::Output>, Rejection> {
        let resolved = resolve::resolve(&self.lines, ground, self.faults.clone());
        if !resolved.faults.is_empty() {
            return Ok(Plan::nothing(Err(resolved.faults.told())));
        }
        if resolved.documents.is_empty() {
            return Ok(Plan::nothing(Ok(Vec::new())));
        }
        let count = |kind| resolved.made.iter().filter(|made| made.kind == kind).count();
        let deed = Deed {
            action: "import".into(),
            object: "import".to_owned(),
            practice: None,
            before: None,
            after: Some(json!({
                "practices": count(line::PRACTICE),
                "users": count(line::USER),
                "vendors": count(line::VENDOR),
                "vendor_keys": count(line::VENDOR_KEY),
                "keys": count(line::KEY),
            })),
        };
        Ok(Plan {
            puts: resolved.documents,
            removes: Vec::new(),
            deeds: vec![deed],
            output: Ok(resolved.made),
        })
    }
}
