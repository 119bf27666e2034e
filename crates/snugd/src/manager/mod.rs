//! The methods of `org.snug.Snug1.Manager`: arguments read, caller authorised, then a job or an answer.
//!
//! | module | what |
//! |---|---|
//! | [`change`] | what jobs do to one container |
//! | [`creation`] | what a container to be made is made of |
//! | [`follow`] | `FollowHost` |
//! | [`images`] | images |
//! | [`listing`] | `List`, `Get`, `Log` |
//! | [`ports`] | `Ports` |
//! | [`prune`] | `Prune` |
//! | [`snapshots`] | `TakeSnapshot`, `Undo`, `Snapshots` |

pub mod change;
pub mod creation;
pub mod follow;
pub mod images;
pub mod listing;
pub mod ports;
pub mod prune;
pub mod snapshots;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use snug_core::name::{ContainerName, Uid};
use snug_core::plan::StopRequest;
use snug_core::setting::{Setting, SettingKey};
use zbus::{ObjectPath, OwnedVariant};

use crate::bus::MANAGER;
use crate::bus::call::{Answer, Call, Refusal};
use crate::bus::options::Options;
use crate::bus::polkit::{Action, authorise};
use crate::daemon::Daemon;
use crate::doctor;
use crate::error::{Error, ErrorKind, Result};
use crate::job::{Job, Subject};
use change::Change;

/// Jobs of one caller that may be under way at once.
const MOST_JOBS: usize = 128;

type RawOptions = HashMap<String, OwnedVariant>;

/// Carries out one call.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn call(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    match call.member().as_str() {
        "Create" => {
            let (name, mut options) = named(call)?;
            let uid = target(daemon, call, &mut options).await?;
            let request = creation::Request::read(&mut options, true)?;
            let dry_run = finish(options)?;
            creation::authorise_grants(daemon, call, &request).await?;
            let client = creation::client(daemon, call, &request).await?;
            start(daemon, call, uid, name, Change::Create { request, client }, dry_run)
        }
        "Ensure" => {
            let (name, mut options) = named(call)?;
            let uid = target(daemon, call, &mut options).await?;
            let create = options.flag("create")?;
            let request = creation::Request::read(&mut options, false)?;
            let dry_run = finish(options)?;
            if create {
                creation::authorise_grants(daemon, call, &request).await?;
            }
            start(daemon, call, uid, name, Change::Ensure { request: create.then_some(request) }, dry_run)
        }
        "Start" => {
            let (name, mut options) = named(call)?;
            let uid = target(daemon, call, &mut options).await?;
            let dry_run = finish(options)?;
            start(daemon, call, uid, name, Change::Start, dry_run)
        }
        "Restart" => {
            let (name, mut options) = named(call)?;
            let uid = target(daemon, call, &mut options).await?;
            let stop = stop_request(&mut options)?;
            let dry_run = finish(options)?;
            start(daemon, call, uid, name, Change::Restart(stop), dry_run)
        }
        "Stop" => {
            let (name, mut options) = named(call)?;
            let uid = target(daemon, call, &mut options).await?;
            let stop = stop_request(&mut options)?;
            let dry_run = finish(options)?;
            start(daemon, call, uid, name, Change::Stop(stop), dry_run)
        }
        "Remove" => {
            let (name, mut options) = named(call)?;
            let uid = target(daemon, call, &mut options).await?;
            let force = options.flag("force")?;
            let dry_run = finish(options)?;
            start(daemon, call, uid, name, Change::Remove { force }, dry_run)
        }
        "Configure" => configure(daemon, call).await,
        "RepairAgent" => {
            let (name, mut options) = named(call)?;
            let uid = target(daemon, call, &mut options).await?;
            let dry_run = finish(options)?;
            start(daemon, call, uid, name, Change::RepairAgent, dry_run)
        }
        "TakeSnapshot" => snapshots::take(daemon, call).await,
        "Undo" => snapshots::undo(daemon, call).await,
        "Snapshots" => snapshots::list(daemon, call).await,
        "Prune" => prune::call(daemon, call).await,
        "List" => listing::list(daemon, call).await,
        "Get" => listing::get(daemon, call).await,
        "Log" => listing::log(daemon, call).await,
        "ListImages" => images::list(daemon, call).await,
        "PullImage" => images::pull(daemon, call).await,
        "ImportImage" => images::import(daemon, call).await,
        "RemoveImage" => images::remove(daemon, call).await,
        "FollowHost" => follow::call(daemon, call).await,
        "Ports" => ports::call(daemon, call).await,
        "Doctor" => doctor::call(daemon, call).await,
        other => Err(Refusal::no_method(MANAGER, other)),
    }
}

async fn configure(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    type Arguments = (String, BTreeMap<String, String>, Vec<String>, RawOptions);
    let (name, set, unset, options) = call.arguments::<Arguments>()?;
    let mut options = Options::from(options);
    let name = container(&name)?;
    let uid = target(daemon, call, &mut options).await?;
    let dry_run = finish(options)?;
    let set = set
        .iter()
        .map(|(key, value)| Ok(Setting::from_pair(key, value)?))
        .collect::<Result<Vec<Setting>>>()?;
    let unset = unset.iter().map(|key| Ok(key.parse()?)).collect::<Result<Vec<SettingKey>>>()?;
    start(daemon, call, uid, name, Change::Configure { set, unset }, dry_run)
}

fn container(name: &str) -> Result<ContainerName> {
    Ok(name.parse()?)
}

fn named(call: &Call) -> std::result::Result<(ContainerName, Options), Refusal> {
    let (name, options) = call.arguments::<(String, RawOptions)>()?;
    Ok((container(&name)?, Options::from(options)))
}

/// Only options: the arguments of methods that are about no container.
///
/// # Errors
/// `InvalidArgs`.
pub fn unnamed(call: &Call) -> std::result::Result<Options, Refusal> {
    Ok(Options::from(call.arguments::<(RawOptions,)>()?.0))
}

/// Takes `dry-run` and refuses what nobody took.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`].
pub fn finish(mut options: Options) -> Result<bool> {
    let dry_run = options.flag("dry-run")?;
    options.finish()?;
    Ok(dry_run)
}

fn stop_request(options: &mut Options) -> Result<StopRequest> {
    let default = StopRequest::default();
    Ok(StopRequest {
        force: options.flag("force")?,
        timeout: options.number("timeout")?.unwrap_or(default.timeout).min(3600),
    })
}

/// Whose containers the call is about, and whether the caller may.
///
/// # Errors
/// [`ErrorKind::NotAuthorized`].
pub async fn target(daemon: &Daemon, call: &Call, options: &mut Options) -> Result<Uid> {
    let owner = options.number("owner")?.unwrap_or(call.caller.uid);
    if owner == call.caller.uid {
        authorise(daemon.bus(), call.caller.subject(), Action::Use, &HashMap::new()).await?;
    } else {
        manage_all(daemon, call, &owner.to_string()).await?;
    }
    Ok(Uid(owner))
}

/// Whose containers a call is about: one user's, or with `all-users` everybody's.
///
/// # Errors
/// Whatever [`target`] and [`manage_all`] refuse with.
pub async fn whose(daemon: &Daemon, call: &Call, options: &mut Options) -> Result<Option<Uid>> {
    if options.flag("all-users")? {
        manage_all(daemon, call, "all").await?;
        return Ok(None);
    }
    target(daemon, call, options).await.map(Some)
}

/// Whether the caller may see and change what belongs to others.
///
/// # Errors
/// [`ErrorKind::NotAuthorized`].
pub async fn manage_all(daemon: &Daemon, call: &Call, whose: &str) -> Result<()> {
    let method = call.member();
    let details = HashMap::from([("owner", whose), ("method", method.as_str())]);
    authorise(daemon.bus(), call.caller.subject(), Action::ManageAll, &details).await
}

fn start(
    daemon: &Arc<Daemon>,
    call: &Call,
    uid: Uid,
    name: ContainerName,
    change: Change,
    dry_run: bool,
) -> Answer {
    let subject = Subject {
        connection: call.caller.connection.clone(),
        uid: call.caller.uid,
        verb: change.method(),
        container: name.to_string(),
    };
    leave_room(daemon, call)?;
    let key = (uid.0, name.to_string());
    let (worker, repairer) = (daemon.clone(), daemon.clone());
    let repaired = name.clone();
    let job = daemon.jobs().spawn(
        subject,
        key,
        move |job| async move { change::run(&worker, uid, name, change, dry_run, job).await },
        move || async move {
            if let Err(error) = crate::work::cleanup::recover(&repairer, uid, &repaired).await {
                tracing::error!("not repaired: {error}");
            }
        },
    );
    answer_job(call, &job)
}

/// Whether the caller may have one job more: one user must not keep the daemon from the others.
///
/// # Errors
/// [`ErrorKind::Busy`].
pub fn leave_room(daemon: &Daemon, call: &Call) -> Result<()> {
    if daemon.jobs().of(call.caller.uid).iter().filter(|job| !job.current().ended()).count() < MOST_JOBS {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Busy, format!("{MOST_JOBS} jobs of yours are under way already"))
        .hint("wait for one of them"))
}

/// The answer of every method that starts a job: its path.
///
/// # Errors
/// When it cannot be encoded.
pub fn answer_job(call: &Call, job: &Job) -> Answer {
    let path = job.path();
    let path = ObjectPath::try_from(path.as_str()).map_err(|error| {
        Error::new(ErrorKind::Failed, format!("the job's path '{path}' is no object path: {error}"))
    })?;
    call.answer(&path)
}
