//! `Prune`: what dead clients and interrupted jobs left of the caller's containers.

use std::sync::Arc;

use snug_core::name::Uid;
use snug_core::plan::plan_recovery;
use zbus::{OwnedVariant, Variant};

use super::{answer_job, finish, leave_room, target, unnamed};
use crate::bus::call::{Answer, Call};
use crate::container::lookup;
use crate::daemon::Daemon;
use crate::error::Result;
use crate::job::{self, Job, Subject};
use crate::work::{Work, cleanup};

/// `Prune`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn call(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let mut options = unnamed(call)?;
    let uid = target(daemon, call, &mut options).await?;
    let dry_run = finish(options)?;
    let subject = Subject {
        connection: call.caller.connection.clone(),
        uid: call.caller.uid,
        verb: "Prune",
        container: String::new(),
    };
    let worker = daemon.clone();
    leave_room(daemon, call)?;
    let job = daemon.jobs().spawn(
        subject,
        (uid.0, String::new()),
        move |job| async move { run(&worker, uid, dry_run, &job).await },
        || async {},
    );
    answer_job(call, &job)
}

async fn run(daemon: &Arc<Daemon>, uid: Uid, dry_run: bool, job: &Job) -> Result<job::Answer> {
    let config = daemon.config().await?;
    let mut plan = Vec::new();
    let mut removed = Vec::new();
    let mut failure = None;
    for found in lookup::list(daemon.incus(), &config, uid).await? {
        job.check()?;
        let name = found.name.clone();
        let _turn = if dry_run { None } else { Some(daemon.jobs().reserve((uid.0, name.to_string())).await) };
        let work = Work::new(daemon, uid, name.clone(), None).await?;
        let (_, recovery) = plan_recovery(&work.discover().await?);
        if recovery.is_empty() {
            continue;
        }
        plan.extend(recovery.sentences());
        if !dry_run {
            job.stage(format!("looking after {name}"));
            // One that cannot be helped does not keep the others.
            if let Err(error) = cleanup::recover(daemon, uid, &name).await {
                failure.get_or_insert(error.context(format!("look after '{name}'")));
            } else if lookup::find(daemon.incus(), &config, uid, &name).await?.is_none() {
                removed.push(name.to_string());
            }
        }
    }
    let all = lookup::all(daemon.incus(), &config).await?;
    // Root, who has none of his own, looks after everybody's; a user learns nothing about others.
    let whose = (uid.0 != 0).then_some(uid);
    plan.extend(cleanup::sweep(daemon, &config, &all, whose, dry_run).await?);
    if let Some(failure) = failure {
        return Err(failure);
    }
    let plan = OwnedVariant::try_from(Variant::from(plan))?;
    let removed = OwnedVariant::try_from(Variant::from(removed))?;
    Ok(job::Answer::from([("plan".to_owned(), plan), ("removed".to_owned(), removed)]))
}
