//! Images for a job: looked for, fetched with progress.

use std::sync::Arc;

use incus_client::{Client, Operation};
use snug_core::config::Config;
use snug_core::image::ImageRef;

use crate::error::Result;
use crate::incus::image::{self, Found};
use crate::incus::remote;
use crate::incus::viewer::Viewer;
use crate::job::{Job, cancelled};

/// The images of one user.
pub struct Images<'a> {
    /// Incus, in its default project.
    pub incus: &'a Client,
    /// Where the servers are.
    pub config: &'a Config,
    /// For whom they exist.
    pub viewer: Viewer,
    /// Who is told, and may cancel.
    pub job: Option<&'a Arc<Job>>,
}

impl Images<'_> {
    /// Whether, and as what, Incus has the image.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::ImageUnknown`].
    pub async fn find(&self, image: &ImageRef) -> Result<Found> {
        image::find(self.incus, &self.viewer, image, self.config.images.remote_of(image)).await
    }

    /// Fetches an image that Incus does not have.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::ImageUnreachable`], [`crate::error::ErrorKind::ImageUnknown`],
    /// [`crate::error::ErrorKind::NoSpace`], cancelled.
    pub async fn pull(&self, image: &ImageRef) -> Result<()> {
        let Found::Away(remote, alias) = self.find(image).await? else { return Ok(()) };
        image::check_room_to_pull().await?;
        let operation = remote::pull(self.incus, &remote, &alias).await?;
        match follow(self.job, &operation).await {
            Ok(()) => Ok(()),
            Err(Followed::Cancelled) => Err(cancelled()),
            Err(Followed::Failed(error)) => Err(remote::explain(error, &remote, &alias)),
        }
    }
}

/// How an operation ended that did not succeed.
pub enum Followed {
    /// The job was cancelled.
    Cancelled,
    /// What Incus says.
    Failed(incus_client::Error),
}

/// Waits for an operation, tells its progress, and cancels it with the job where Incus can.
///
/// # Errors
/// [`Followed`].
pub async fn follow(job: Option<&Arc<Job>>, operation: &Operation) -> Result<(), Followed> {
    let told = job.cloned();
    let end = operation.wait_with_progress(move |progress| {
        if let (Some(job), Some(percent)) = (&told, progress.percent) {
            job.percent(f64::from(percent));
        }
    });
    let Some(job) = job else { return end.await.map(|_| ()).map_err(Followed::Failed) };
    tokio::select! {
        ended = end => ended.map(|_| ()).map_err(Followed::Failed),
        () = job.cancelled() => {
            // One that cannot be cancelled is waited for: what it made is undone afterwards.
            let _ = operation.cancel().await;
            let _ = operation.wait_end().await;
            Err(Followed::Cancelled)
        }
    }
}
