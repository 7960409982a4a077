//! `postern admins`: who may manage the registry. The first one is made in a store that nobody serves yet; later ones
//! through the admin API, as everything else.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::cli::fields::Fields;
use crate::cli::keys::nothing_to_change;
use crate::cli::listing::{self, Part};
use crate::cli::load;
use crate::cli::local::Local;
use crate::cli::output::{Answer, Usage};
use crate::cli::remote::{self, Remote};
use crate::cli::url::segment;
use crate::model::{PracticeId, Role, Username};
use crate::registry::operation::administrators::{CreateAdmin, IssueToken};
use crate::vault::{self, Purpose};

/// Manage administrators: the first in the store itself, others through the admin API
#[derive(Debug, Args)]
#[command(
    after_help = "With --config, `create` works on a store that no gateway has open. Without it, and for everything else, the
admin listener is named by POSTERN_ADMIN_URL and opened by POSTERN_ADMIN_TOKEN.

Examples:
  postern admins create --config postern.yaml --username ana --role operator
  postern admins create --username lee --role practice-admin --practice north
  postern admins token ana --name backup-job --expires-at 2027-01-31T00:00:00Z"
)]
pub(super) struct AdminsArgs {
    /// Answer as JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    command: AdminsCommand,
}

#[derive(Debug, Subcommand)]
enum AdminsCommand {
    /// Make an administrator; prints username, password and token once, as JSON
    Create(CreateArgs),
    /// All administrators
    List(Part),
    /// One administrator
    Show(NameArg),
    /// Change a role, or make a new password, shown once; sessions end
    Edit(EditArgs),
    /// Remove an administrator with all tokens and sessions
    Delete(NameArg),
    /// Make a token for a program, shown once
    Token(TokenArgs),
    /// The tokens of an administrator
    Tokens {
        #[command(flatten)]
        name: NameArg,
        #[command(flatten)]
        part: Part,
    },
    /// Revoke a token
    RevokeToken {
        #[command(flatten)]
        name: NameArg,
        /// The id of the token
        id: String,
    },
}

#[derive(Debug, Args)]
struct NameArg {
    username: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Make it in the store of this configuration itself
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long)]
    username: String,
    #[arg(long)]
    role: RoleName,
    /// Of a practice admin
    #[arg(long, value_name = "ID")]
    practice: Option<String>,
}

#[derive(Debug, Args)]
struct EditArgs {
    #[command(flatten)]
    name: NameArg,
    #[arg(long)]
    role: Option<RoleName>,
    /// Of a practice admin
    #[arg(long, value_name = "ID", requires = "role")]
    practice: Option<String>,
    /// Make a new password
    #[arg(long)]
    reset_password: bool,
}

#[derive(Debug, Args)]
struct TokenArgs {
    #[command(flatten)]
    name: NameArg,
    /// What the token is for
    #[arg(long = "name", value_name = "TEXT")]
    purpose: String,
    /// Its end; without it, the token lives as long as its administrator
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    Operator,
    PracticeAdmin,
    Auditor,
}

impl RoleName {
    fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::PracticeAdmin => "practice-admin",
            Self::Auditor => "auditor",
        }
    }
}

/// Of the token that `create` makes.
const FIRST_TOKEN: &str = "made with the account";
const COLUMNS: [(&str, &str); 4] = [
    ("USERNAME", "username"),
    ("ROLE", "role"),
    ("PRACTICE", "practice"),
    ("CREATED", "created_at"),
];

const TOKEN_COLUMNS: [(&str, &str); 4] =
    [("ID", "id"), ("NAME", "name"), ("CREATED", "created_at"), ("EXPIRES", "expires_at")];

pub(super) fn admins(args: AdminsArgs) -> anyhow::Result<Answer> {
    let path = |name: &NameArg| format!("/admins/{}", segment(&name.username));
    let command = match args.command {
        AdminsCommand::Create(args) => return create(&args),
        command => command,
    };
    let remote = Remote::from_environment()?;
    match command {
        AdminsCommand::Create(args) => create(&args),
        AdminsCommand::List(part) => {
            let listed = remote.list("/admins", &[], part.cursor(), part.limit())?;
            Ok(listing::many(listed, &COLUMNS))
        }
        AdminsCommand::Show(name) => Ok(listing::one(remote.get(&path(&name))?)),
        AdminsCommand::Edit(EditArgs { name, role, practice, reset_password }) => {
            let fields = Fields::new().with("role", role.map(RoleName::name));
            let fields = fields.with("practice", practice);
            let fields = fields.with("reset_password", reset_password.then_some(true));
            let document = fields.some().ok_or_else(nothing_to_change)?;
            let changed = remote.patch(&path(&name), &document)?;
            Ok(if reset_password {
                listing::one_with_secret(changed)
            } else {
                listing::one(changed)
            })
        }
        AdminsCommand::Delete(name) => {
            let gone = remote.delete(&path(&name))?;
            Ok(Answer::done(format!("{} is removed", name.username), gone))
        }
        AdminsCommand::Token(TokenArgs { name, purpose, expires_at }) => {
            let fields = Fields::new().with("name", Some(purpose)).with("expires_at", expires_at);
            let made = remote.post(&format!("{}/tokens", path(&name)), &fields.object())?;
            Ok(listing::one_with_secret(made))
        }
        AdminsCommand::Tokens { name, part } => {
            let path = format!("{}/tokens", path(&name));
            let listed = remote.list(&path, &[], part.cursor(), part.limit())?;
            Ok(listing::many(listed, &TOKEN_COLUMNS))
        }
        AdminsCommand::RevokeToken { name, id } => {
            let gone = remote.delete(&format!("{}/tokens/{}", path(&name), segment(&id)))?;
            Ok(Answer::done(format!("the token {id} of {} is revoked", name.username), gone))
        }
    }
}

fn create(args: &CreateArgs) -> anyhow::Result<Answer> {
    match &args.config {
        Some(config) => create_here(args, config),
        None if remote::is_named() => create_there(args),
        None => {
            let why = "say where: --config FILE for a store that no gateway has open, or POSTERN_ADMIN_URL and \
                       POSTERN_ADMIN_TOKEN for a gateway that runs";
            Err(Usage(why.to_owned()).into())
        }
    }
}

/// Programs and people get the same here: the contract says JSON.
fn made(username: &str, password: Option<&str>, token: Option<&str>) -> Answer {
    let made = json!({ "username": username, "password": password, "token": token });
    Answer::done(format!("{made:#}"), made).shown_once()
}

fn create_here(args: &CreateArgs, config: &Path) -> anyhow::Result<Answer> {
    let CreateArgs { username, role, practice, .. } = args;
    let usage = |why: String| Usage(why);
    let name = Username::parse(username)
        .map_err(|expected| usage(format!("--username takes {expected}")))?;
    let practice = practice.as_deref().map(PracticeId::parse).transpose();
    let practice = practice.map_err(|expected| usage(format!("--practice takes {expected}")))?;
    let role = match (role, practice) {
        (RoleName::PracticeAdmin, Some(practice)) => Role::PracticeAdmin(practice),
        (RoleName::PracticeAdmin, None) => {
            return Err(usage("a practice-admin needs --practice ID".to_owned()).into());
        }
        (_, Some(_)) => {
            return Err(usage("--practice is for --role practice-admin alone".to_owned()).into());
        }
        (RoleName::Operator, None) => Role::Operator,
        (RoleName::Auditor, None) => Role::Auditor,
    };
    let instead = format!("postern admins create --username {username} --role {}", role.name());
    let local = Local::sole(&load(config)?, &instead)?;
    let password = vault::make_password()?;
    let hash = vault::hash_password(&password)?;
    let (id, token, digest) = local.vault().mint_token(Purpose::AdminToken)?;
    local.execute(CreateAdmin { username: name.clone(), role, password: hash })?;
    let issue =
        IssueToken { username: name, id, name: FIRST_TOKEN.to_owned(), digest, expires_at: None };
    local.execute(issue)?;
    Ok(made(username, Some(password.reveal()), Some(token.reveal())))
}

fn create_there(args: &CreateArgs) -> anyhow::Result<Answer> {
    let remote = Remote::from_environment()?;
    let username = args.username.as_str();
    let fields = Fields::new()
        .with("username", Some(username))
        .with("role", Some(args.role.name()))
        .with("practice", args.practice.as_deref());
    let account = remote.post("/admins", &fields.object())?;
    let password = account.get("password").and_then(Value::as_str);
    let path = format!("/admins/{}/tokens", segment(username));
    // The account is there already: its password must be shown, whatever becomes of the token.
    Ok(match remote.post(&path, &json!({ "name": FIRST_TOKEN })) {
        Ok(issued) => made(username, password, issued.get("token").and_then(Value::as_str)),
        Err(error) => made(username, password, None).refused_if(true, || {
            format!(
                "{username} is made, without a token; `postern admins token` makes one: {error:#}"
            )
        }),
    })
}
