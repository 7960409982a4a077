//! `postern practices`: the tenants and their staff, over the admin API.

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::alerts::{self, AlertsArgs};
use crate::cli::fields::Fields;
use crate::cli::keys::nothing_to_change;
use crate::cli::listing::{self, Part};
use crate::cli::output::Answer;
use crate::cli::remote::Remote;
use crate::cli::url::segment;
use crate::cli::usage::{self, UsageArgs};

/// Manage practices and their staff through the admin API
#[derive(Debug, Args)]
#[command(
    after_help = "The admin listener is named by POSTERN_ADMIN_URL and opened by POSTERN_ADMIN_TOKEN.

Examples:
  postern practices create --id north --name 'North Clinic'
  postern practices edit north --api-access off
  postern practices alerts north
  postern practices users create north --username dr-lee --name 'Dr Lee'"
)]
pub(super) struct PracticesArgs {
    /// Answer as JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    command: PracticesCommand,
}

#[derive(Debug, Subcommand)]
enum PracticesCommand {
    /// All practices that you may see
    List(Part),
    /// Enter a practice
    Create(CreateArgs),
    /// Everything about a practice
    Show(IdArg),
    /// Change a practice; it holds from the next request on
    Edit(EditArgs),
    /// How much was asked with the keys of a practice, by day or by hour
    Usage(UsageArgs),
    /// What should be looked at: spikes, failures, silence, keys to be rotated
    Alerts(AlertsArgs),
    /// The staff of a practice
    Users(UsersArgs),
}

#[derive(Debug, Args)]
struct IdArg {
    /// The id of the practice
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
    settings: Settings,
}

#[derive(Debug, Args)]
struct EditArgs {
    #[command(flatten)]
    id: IdArg,
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Empty a field; may be given again
    #[arg(long, value_name = "FIELD", value_parser = ["region", "plan"])]
    clear: Vec<String>,
}

#[derive(Debug, Args)]
struct Settings {
    #[arg(long)]
    region: Option<String>,
    /// Whether any key of the practice is let through
    #[arg(long, value_name = "SWITCH")]
    api_access: Option<Switch>,
    #[arg(long)]
    plan: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Settings {
    fn into(self, fields: Fields) -> Fields {
        let access = self.api_access.map(|switch| switch == Switch::On);
        fields.with("region", self.region).with("api_access", access).with("plan", self.plan)
    }
}

#[derive(Debug, Args)]
struct UsersArgs {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    /// The staff of a practice
    List {
        #[command(flatten)]
        practice: IdArg,
        /// Only names and usernames with this in them
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        part: Part,
    },
    /// Enter a staff user
    Create {
        #[command(flatten)]
        practice: IdArg,
        #[arg(long)]
        username: String,
        #[arg(long)]
        name: String,
    },
    /// Change the name of a staff user
    Edit {
        #[command(flatten)]
        practice: IdArg,
        username: String,
        #[arg(long)]
        name: String,
    },
    /// Remove a staff user who owns no keys
    Delete {
        #[command(flatten)]
        practice: IdArg,
        username: String,
    },
}

const COLUMNS: [(&str, &str); 5] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("API ACCESS", "api_access"),
    ("REGION", "region"),
    ("PLAN", "plan"),
];
const USER_COLUMNS: [(&str, &str); 2] = [("USERNAME", "username"), ("NAME", "name")];

pub(super) fn practices(args: PracticesArgs) -> anyhow::Result<Answer> {
    let remote = Remote::from_environment()?;
    let path = |id: &IdArg| format!("/practices/{}", segment(&id.id));
    match args.command {
        PracticesCommand::List(part) => {
            let listed = remote.list("/practices", &[], part.cursor(), part.limit())?;
            Ok(listing::many(listed, &COLUMNS))
        }
        PracticesCommand::Create(CreateArgs { id, name, settings }) => {
            let fields = Fields::new().with("id", Some(id)).with("name", Some(name));
            Ok(listing::one(remote.post("/practices", &settings.into(fields).object())?))
        }
        PracticesCommand::Show(id) => Ok(listing::one(remote.get(&path(&id))?)),
        PracticesCommand::Edit(EditArgs { id, name, settings, clear }) => {
            let fields = settings.into(Fields::new().with("name", name)).cleared(&clear);
            let document = fields.some().ok_or_else(nothing_to_change)?;
            Ok(listing::one(remote.patch(&path(&id), &document)?))
        }
        PracticesCommand::Usage(args) => usage::usage(&remote, "practices", &args),
        PracticesCommand::Alerts(args) => alerts::alerts(&remote, &args),
        PracticesCommand::Users(UsersArgs { command }) => users(&remote, command),
    }
}

fn users(remote: &Remote, command: UsersCommand) -> anyhow::Result<Answer> {
    let path = |practice: &IdArg| format!("/practices/{}/users", segment(&practice.id));
    match command {
        UsersCommand::List { practice, search, part } => {
            let query: Vec<_> = search.iter().map(|text| ("q", text.as_str())).collect();
            let listed = remote.list(&path(&practice), &query, part.cursor(), part.limit())?;
            Ok(listing::many(listed, &USER_COLUMNS))
        }
        UsersCommand::Create { practice, username, name } => {
            let fields = Fields::new().with("username", Some(username)).with("name", Some(name));
            Ok(listing::one(remote.post(&path(&practice), &fields.object())?))
        }
        UsersCommand::Edit { practice, username, name } => {
            let path = format!("{}/{}", path(&practice), segment(&username));
            let fields = Fields::new().with("name", Some(name));
            Ok(listing::one(remote.patch(&path, &fields.object())?))
        }
        UsersCommand::Delete { practice, username } => {
            let gone = remote.delete(&format!("{}/{}", path(&practice), segment(&username)))?;
            Ok(Answer::done(format!("{username} of {} is removed", practice.id), gone))
        }
    }
}
