//! The keys of the demo, made afresh at every start.

use anyhow::Context;

use crate::auth::key::{Kind, Minted};

/// One vendor, and two of the practice.
#[derive(Clone, Debug)]
pub(super) struct DemoKeys {
    pub(super) vendor: Minted,
    /// Reads patients, contacts and files; books appointments.
    pub(super) desk: Minted,
    /// Reads patients; writes invoices.
    pub(super) billing: Minted,
}

impl DemoKeys {
    pub(super) fn generate() -> anyhow::Result<Self> {
        let mint = |kind: Kind| kind.mint().context("the operating system gave no random bytes");
        Ok(Self {
            vendor: mint(Kind::Vendor)?,
            desk: mint(Kind::Subscriber)?,
            billing: mint(Kind::Subscriber)?,
        })
    }
}
