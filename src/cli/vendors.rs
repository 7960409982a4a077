//! `postern vendors`: third-party developers, their review and their keys, over the admin API.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::fields::Fields;
use crate::cli::keys::nothing_to_change;
use crate::cli::listing::{self, Part};
use crate::cli::output::Answer;
use crate::cli::remote::Remote;
use crate::cli::url::segment;

/// Manage vendors and their keys through the admin API
#[derive(Debug, Args)]
#[command(
    after_help = "The admin listener is named by POSTERN_ADMIN_URL and opened by POSTERN_ADMIN_TOKEN.

Examples:
  postern vendors create --id brightbook --name BrightBook --contact dev@brightbook.example
  postern vendors edit brightbook --status approved --review 'contract of May'
  postern vendors keys create brightbook"
)]
pub(super) struct VendorsArgs {
    /// Answer as JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    command: VendorsCommand,
}

#[derive(Debug, Subcommand)]
enum VendorsCommand {
    /// All vendors
    List(Part),
    /// Enter a vendor; pending unless its review is done
    Create(CreateArgs),
    /// Everything about a vendor
    Show(IdArg),
    /// Change a vendor; it holds from the next request on
    Edit(EditArgs),
    /// The keys of a vendor
    Keys(KeysArgs),
}

#[derive(Debug, Args)]
struct IdArg {
    /// The id of the vendor
    id: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// 1 to 64 of a-z, 0-9 and -
    #[arg(long)]
    id: String,
    #[arg(long)]
    name: String,
    #[command(flatten)]
    review: Review,
}

#[derive(Debug, Args)]
struct EditArgs {
    #[command(flatten)]
    id: IdArg,
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    review: Review,
    /// Empty a field; may be given again
    #[arg(long, value_name = "FIELD", value_parser = ["contact", "review", "agreement-expires"])]
    clear: Vec<String>,
}

#[derive(Debug, Args)]
struct Review {
    #[arg(long)]
    contact: Option<String>,
    #[arg(long, value_parser = ["pending", "approved", "suspended"])]
    status: Option<String>,
    /// A note on the review
    #[arg(long, value_name = "NOTE")]
    review: Option<String>,
    /// After it the vendor counts as not approved
    #[arg(long, value_name = "TIME")]
    agreement_expires: Option<String>,
}

impl Review {
    fn into(self, fields: Fields) -> Fields {
        fields
            .with("contact", self.contact)
            .with("status", self.status)
            .with("review", self.review)
            .with("agreement_expires", self.agreement_expires)
    }
}

#[derive(Debug, Args)]
struct KeysArgs {
    #[command(subcommand)]
    command: VendorKeysCommand,
}

#[derive(Debug, Subcommand)]
enum VendorKeysCommand {
    /// All keys of a vendor
    List {
        #[command(flatten)]
        vendor: IdArg,
        #[command(flatten)]
        part: Part,
    },
    /// Make a key; its secret is shown once
    Create(IdArg),
    /// Revoke a key for good
    Revoke {
        #[command(flatten)]
        vendor: IdArg,
        /// The id of the key
        key: String,
    },
}

const COLUMNS: [(&str, &str); 5] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("STATUS", "status"),
    ("CONTACT", "contact"),
    ("AGREEMENT EXPIRES", "agreement_expires"),
];
const KEY_COLUMNS: [(&str, &str); 4] =
    [("ID", "id"), ("PREVIEW", "preview"), ("CREATED", "created_at"), ("REVOKED", "revoked_at")];

pub(super) fn vendors(args: VendorsArgs) -> anyhow::Result<Answer> {
    let remote = Remote::from_environment()?;
    let path = |id: &IdArg| format!("/vendors/{}", segment(&id.id));
    match args.command {
        VendorsCommand::List(part) => {
            let listed = remote.list("/vendors", &[], part.cursor(), part.limit())?;
            Ok(listing::many(listed, &COLUMNS))
        }
        VendorsCommand::Create(CreateArgs { id, name, review }) => {
            let fields = Fields::new().with("id", Some(id)).with("name", Some(name));
            Ok(listing::one(remote.post("/vendors", &review.into(fields).object())?))
        }
        VendorsCommand::Show(id) => Ok(listing::one(remote.get(&path(&id))?)),
        VendorsCommand::Edit(EditArgs { id, name, review, clear }) => {
            let fields = review.into(Fields::new().with("name", name)).cleared(&clear);
            let document = fields.some().ok_or_else(nothing_to_change)?;
            Ok(listing::one(remote.patch(&path(&id), &document)?))
        }
        VendorsCommand::Keys(KeysArgs { command }) => match command {
            VendorKeysCommand::List { vendor, part } => {
                let path = format!("{}/keys", path(&vendor));
                let listed = remote.list(&path, &[], part.cursor(), part.limit())?;
                Ok(listing::many(listed, &KEY_COLUMNS))
            }
            VendorKeysCommand::Create(vendor) => {
                let made = remote.post(&format!("{}/keys", path(&vendor)), &json!({}))?;
                Ok(listing::one_with_secret(made))
            }
            VendorKeysCommand::Revoke { vendor, key } => {
                let gone = remote.delete(&format!("{}/keys/{}", path(&vendor), segment(&key)))?;
                let mut answer = listing::one(gone);
                answer.text = format!("{key} of {} is revoked", vendor.id);
                Ok(answer)
            }
        },
    }
}
