//! `postern logs export`: every record, the oldest first. Out of a store together with its journal, out of a journal alone, or
//! through the admin API.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::logs::form::Form;
use crate::cli::logs::past::{Asked, Found, Kept, oldest_first};
use crate::cli::logs::selection::{Selection, Span};
use crate::cli::logs::unshipped::{self, Unshipped};
use crate::cli::output::{Flow, Progress};
use crate::cli::remote::Remote;
use crate::cli::{load, local};
use crate::store::access::Cursor;
use crate::store::{self, Mode};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Read the store and the journal of this configuration, beside whoever serves them. While a gateway has the journal, what
    /// is `interrupted` in it is left out until the store has it: it may be going on
    #[arg(long, value_name = "FILE", conflicts_with = "journal")]
    config: Option<PathBuf>,
    /// Read this journal alone, line after line as it was written; what was open and never ended is `interrupted`
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    span: Span,
    #[command(flatten)]
    selection: Selection,
    /// How records are written
    #[arg(long, value_enum, default_value = "json")]
    format: Form,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// The same as `--format csv`
    #[arg(long, conflicts_with_all = ["format", "json"])]
    csv: bool,
}

impl ExportArgs {
    fn form(&self) -> Form {
        if self.csv { Form::Csv } else { self.format }
    }
}

pub(super) fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let mut sheet = Sheet::open(args.form())?;
    match (&args.journal, &args.config) {
        (Some(dir), _) => out_of_journal(dir, args, &mut sheet)?,
        (None, Some(config)) => out_of_store(config, args, &mut sheet)?,
        (None, None) => {
            let remote = Remote::from_environment()?;
            let mut past = Asked { remote: &remote, selection: &args.selection, form: args.form() };
            oldest_first(&mut past, args.span, &mut |found| sheet.write(&found.line))?;
        }
    }
    sheet.flow.flush()
}

/// What is written, and how far that is.
struct Sheet {
    flow: Flow,
    progress: Progress,
    written: usize,
}

impl Sheet {
    fn open(form: Form) -> anyhow::Result<Self> {
        let mut flow = Flow::open();
        flow.write(&form.heading())?;
        Ok(Self { flow, progress: Progress::of("records written"), written: 0 })
    }

    fn write(&mut self, line: &str) -> anyhow::Result<()> {
        self.flow.write(line)?;
        self.written += 1;
        self.progress.tell_so_far(self.written);
        Ok(())
    }
}

fn out_of_journal(dir: &Path, args: &ExportArgs, sheet: &mut Sheet) -> anyhow::Result<()> {
    unshipped::each_record(dir, &mut |record| {
        if args.selection.takes(args.span, record) {
            sheet.write(&args.form().of_record(record)?)?;
        }
        Ok(())
    })
}

fn out_of_store(config: &Path, args: &ExportArgs, sheet: &mut Sheet) -> anyhow::Result<()> {
    let config = load(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wanted = (&args.selection, args.span, args.form());
    if local::is_unmade(&config) {
        let none = |lanes: &[_]| Ok(vec![0; lanes.len()]);
        let mut unshipped = Unshipped::read(&config.log.dir, &none, wanted)?;
        return write_before(None, &mut unshipped, sheet);
    }
    let store = runtime.block_on(store::open_history(&config.store, Mode::Reader))?;
    let how_far = |lanes: &[_]| Ok(runtime.block_on(store.lanes(lanes))?);
    let mut unshipped = Unshipped::read(&config.log.dir, &how_far, wanted)?;
    let mut past = Kept {
        store: store.clone(),
        runtime: &runtime,
        selection: &args.selection,
        form: args.form(),
    };
    oldest_first(&mut past, args.span, &mut |found: Found| {
        if unshipped.is_not_the_stores(found.at.id) {
            return Ok(());
        }
        write_before(Some(found.at), &mut unshipped, sheet)?;
        sheet.write(&found.line)
    })?;
    write_before(None, &mut unshipped, sheet)
}

fn write_before(
    end: Option<Cursor>,
    unshipped: &mut Unshipped<'_>,
    sheet: &mut Sheet,
) -> anyhow::Result<()> {
    while let Some(earlier) = unshipped.next_before(end)? {
        sheet.write(&earlier.line)?;
    }
    Ok(())
}
