//! Hashing the keys of an import on every core: ten thousand keys that people chose take minutes.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::registry::Terms;
use crate::registry::operation::import::line::Secret;
use crate::registry::operation::import::{LineFault, Numbered};
use crate::vault::{Cost, Fresh, Purpose, Vault, VaultError};

/// What is kept of a line's key.
#[derive(Debug)]
pub(super) struct Hashed {
    pub fresh: Fresh,
    /// It was made here, so its secret is to be shown.
    pub is_new: bool,
}

/// Puts beside each line what is kept of its key.
pub(super) fn hash(
    lines: &mut [Numbered],
    terms: &Terms,
    vault: &Vault,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), Vec<LineFault>> {
    let work: Vec<(usize, Purpose, &Secret)> = lines
        .iter()
        .enumerate()
        .filter_map(|(index, read)| read.line.secret().map(|(purpose, of)| (index, purpose, of)))
        .collect();
    let mut hashed: Vec<Option<Hashed>> = lines.iter().map(|_| None).collect();
    let mut faults = Vec::new();
    let mut done = 0;
    each_on_every_core(&work, terms, vault, &mut |index, outcome| {
        match outcome {
            Ok(key) => {
                if let Some(place) = hashed.get_mut(index) {
                    *place = Some(key);
                }
            }
            Err(error) => {
                let line = lines.get(index).map_or(0, |read| read.number);
                faults.push(LineFault { line, message: error.to_string() });
            }
        }
        done += 1;
        progress(done, work.len());
    });
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.line);
        return Err(faults);
    }
    lines.iter_mut().zip(hashed).for_each(|(read, key)| read.key = key);
    Ok(())
}

fn each_on_every_core(
    work: &[(usize, Purpose, &Secret)],
    terms: &Terms,
    vault: &Vault,
    take: &mut dyn FnMut(usize, Result<Hashed, VaultError>),
) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..cores.min(work.len()) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((index, purpose, secret)) =
                    work.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let outcome = hash_one(*purpose, secret, terms, vault);
                    if sender.send((*index, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        // The last worker's sender ends the loop.
        drop(sender);
        for (index, outcome) in results {
            take(index, outcome);
        }
    });
}

fn hash_one(
    purpose: Purpose,
    secret: &Secret,
    terms: &Terms,
    vault: &Vault,
) -> Result<Hashed, VaultError> {
    // A vendor key is never shown again.
    let reveal = terms.reveal && purpose == Purpose::SubscriberKey;
    match secret {
        Secret::Fresh => {
            let fresh = vault.mint(purpose, terms.cost, reveal)?;
            Ok(Hashed { fresh, is_new: true })
        }
        Secret::Issued { plain, random } => {
            let cost = if *random { terms.cost } else { Cost::CHOSEN };
            let fresh = vault.adopt(purpose, plain.clone(), cost, reveal)?;
            Ok(Hashed { fresh, is_new: false })
        }
    }
}
