//! `ListImages`, `PullImage`, `ImportImage`, `RemoveImage`.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;

use snug_core::image::ImageRef;
use snug_core::name::Uid;
use snug_core::spec::OwnerTag;
use snug_core::text;
use zbus::{OwnedVariant, Variant};

use super::{answer_job, finish, leave_room, target, unnamed};
use crate::bus::call::{Answer, Call};
use crate::bus::options::Options;
use crate::bus::polkit::{Action, authorise};
use crate::daemon::Daemon;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::host::{owner, patience};
use crate::incus::handed::Handed;
use crate::incus::image;
use crate::incus::viewer::Viewer;
use crate::job::table::Key;
use crate::job::{self, Subject};
use crate::work::images::Images;

/// `ListImages`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn list(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let mut options = unnamed(call)?;
    let uid = target(daemon, call, &mut options).await?;
    let remote = options.string("remote")?;
    options.finish()?;
    if let Some(name) = remote.filter(|name| name != snug_core::image::LOCAL) {
        let config = daemon.config().await?;
        let remote = config.images.remotes.get(&name).ok_or_else(|| {
            Error::new(ErrorKind::ImageUnknown, format!("no remote is called '{}'", text::shown(&name)))
        })?;
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("the daemon has no network: what '{name}' ({}) has is read by its client", remote.url),
        )
        .hint(format!("snug image list {name}:"))
        .into());
    }
    call.answer(&image::list(daemon.incus(), &viewer(uid).await?).await?)
}

/// For whom images exist.
async fn viewer(uid: Uid) -> Result<Viewer> {
    let owner = tokio::task::spawn_blocking(move || owner::find(uid)).await??;
    Ok(Viewer::new(OwnerTag { uid, name: owner.account.name }))
}

/// Whether the user may fill Incus' disk: root, and whoever may own containers.
async fn may_store(uid: Uid) -> Result<()> {
    if uid.0 != 0 {
        tokio::task::spawn_blocking(move || owner::eligible(uid)).await??;
    }
    Ok(())
}

fn referenced(call: &Call) -> std::result::Result<(String, Options), crate::bus::call::Refusal> {
    let (reference, options) = call.arguments::<(String, HashMap<String, OwnedVariant>)>()?;
    Ok((reference, Options::from(options)))
}

/// What imports and removals of one user's image wait in.
fn queue(uid: Uid, image: &ImageRef) -> Key {
    (uid.0, format!("image:{image}"))
}

fn subject(call: &Call, verb: &'static str, image: &str) -> Subject {
    Subject {
        connection: call.caller.connection.clone(),
        uid: call.caller.uid,
        verb,
        container: image.to_owned(),
    }
}

fn plan(sentence: String) -> Result<job::Answer> {
    Ok(job::Answer::from([("plan".to_owned(), OwnedVariant::try_from(Variant::from(vec![sentence]))?)]))
}

/// `PullImage`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn pull(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let (reference, options) = referenced(call)?;
    let dry_run = finish(options)?;
    authorise(daemon.bus(), call.caller.subject(), Action::Use, &HashMap::new()).await?;
    let image = daemon.config().await?.images.parse(&reference).map_err(Error::from)?;
    if !matches!(image, ImageRef::Remote { .. }) {
        return Err(invalid(format!("'{reference}' is no image of a server"))
            .hint("an image of a server is spelled like images:debian/13")
            .into());
    }
    let uid = Uid(call.caller.uid);
    may_store(uid).await?;
    let worker = daemon.clone();
    leave_room(daemon, call)?;
    let job = daemon.jobs().spawn(
        subject(call, "PullImage", &image.to_string()),
        // One download serves all: two users' pulls of one image wait for each other.
        (u32::MAX, image.to_string()),
        move |job| async move {
            if dry_run {
                return plan(format!("fetch the image '{image}'"));
            }
            job.stage(format!("fetching {image}"));
            let config = worker.config().await?;
            let viewer = viewer(uid).await?;
            let images = Images { incus: worker.incus(), config: &config, viewer, job: Some(&job) };
            images.pull(&image).await?;
            Ok(job::Answer::new())
        },
        || async {},
    );
    answer_job(call, &job)
}

/// `ImportImage`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn import(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let (alias, mut options) = referenced(call)?;
    let uid = target(daemon, call, &mut options).await?;
    let metadata = options.string("metadata")?;
    let rootfs = options.string("rootfs")?.ok_or_else(|| invalid("the option 'rootfs' is missing"))?;
    let dry_run = finish(options)?;
    may_store(uid).await?;
    // One at a time of each user: what his file systems do with whoever looks at them, they do with one thread of ours.
    let turn = daemon
        .imports(uid)
        .ok_or_else(|| Error::new(ErrorKind::Busy, "an import of yours is under way").hint("wait for it"))?;
    // With the rights of who asks, whosever the image will be.
    let caller = Uid(call.caller.uid);
    let open = move || -> Result<_> {
        let open = |path: String| Handed::open(owner::find(caller)?.credentials, path.into());
        Ok((metadata.map(open).transpose()?, open(rootfs)?))
    };
    let (opened, turn) = patience::within("the image's file", ready(turn), open).await?;
    let (metadata, rootfs) = opened?;
    let viewer = viewer(uid).await?;
    let alias = alias.strip_prefix("local:").unwrap_or(&alias).to_owned();
    let reference: ImageRef = format!("local:{alias}").parse().map_err(Error::from)?;
    let worker = daemon.clone();
    leave_room(daemon, call)?;
    let job = daemon.jobs().spawn(
        subject(call, "ImportImage", &alias),
        queue(uid, &reference),
        move |job| async move {
            if dry_run {
                return plan(format!("import the image '{reference}'"));
            }
            job.stage(format!("importing {reference}"));
            let incus = worker.incus();
            let server = incus.server().await?;
            let architecture = server.environment.architectures.first().cloned().unwrap_or_default();
            let imported = image::import(incus, &viewer, &alias, metadata, rootfs, &architecture).await;
            drop(turn);
            let (fingerprint, is_new) = imported?;
            if job.is_cancelled() && is_new {
                // Incus does not stop in the middle of it.
                incus.images().delete(&fingerprint).await?.wait().await?;
                return Err(job::cancelled());
            }
            let fingerprint = OwnedVariant::try_from(Variant::from(fingerprint))?;
            Ok(job::Answer::from([("fingerprint".to_owned(), fingerprint)]))
        },
        || async {},
    );
    answer_job(call, &job)
}

/// `RemoveImage`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn remove(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let (reference, mut options) = referenced(call)?;
    let uid = target(daemon, call, &mut options).await?;
    let dry_run = finish(options)?;
    let config = daemon.config().await?;
    let image = config.images.parse(&reference).map_err(Error::from)?;
    let worker = daemon.clone();
    // Root acts for all, unless he names an owner.
    let viewer = viewer(uid).await?;
    leave_room(daemon, call)?;
    let job = daemon.jobs().spawn(
        subject(call, "RemoveImage", &image.to_string()),
        queue(uid, &image),
        move |job| async move {
            if dry_run {
                return plan(format!("remove the image '{image}'"));
            }
            job.stage(format!("removing {image}"));
            image::remove(worker.incus(), &viewer, &image, config.images.remote_of(&image)).await?;
            Ok(job::Answer::new())
        },
        || async {},
    );
    answer_job(call, &job)
}
