//! What a container to be made is made of: options of `Create` and `Ensure`, made into a checked request.

use std::collections::HashMap;

use snug_core::config::Config;
use snug_core::grant::{Grant, GrantSet, MOST};
use snug_core::image::ImageRef;
use snug_core::plan::CreateRequest;
use snug_core::preset::{GrantRequest, Resolved};
use snug_core::setting::{Setting, Settings};
use snug_core::spec::{Spec, TemporaryTag};

use crate::bus::call::{Call, pid_of};
use crate::bus::options::Options;
use crate::bus::polkit::{Action, authorise};
use crate::daemon::Daemon;
use crate::error::{Result, failed, invalid};
use crate::host::process::Process;
use crate::incus::image::Found;
use crate::work::Work;

/// Bytes of a spec as it is stored: Incus keeps it with each container and sends it with every list of them.
const LONGEST_SPEC: usize = 16 << 10;

/// The options, each checked as far as it can be without the configuration.
#[derive(Debug, Clone, Default)]
pub struct Request {
    image: Option<String>,
    preset: Option<String>,
    grants: GrantSet,
    without: Vec<String>,
    settings: Vec<Setting>,
    start: bool,
    replace: bool,
    temporary: bool,
}

impl Request {
    /// Takes the options; `all` of them for `Create`, those of `Ensure` otherwise.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::InvalidArgument`].
    pub fn read(options: &mut Options, all: bool) -> Result<Self> {
        let mut request = Self {
            image: options.string("image")?,
            preset: options.string("preset")?,
            start: true,
            ..Self::default()
        };
        if all {
            let words = options.list("grants")?.unwrap_or_default();
            request.grants = GrantSet::parse(&words)?;
            request.without = options.list("no-grants")?.unwrap_or_default();
            if request.without.len() > MOST {
                return Err(invalid(format!("more than {MOST} grants are to be left out")));
            }
            request.settings = options
                .map("settings")?
                .unwrap_or_default()
                .iter()
                .map(|(key, value)| Ok(Setting::from_pair(key, value)?))
                .collect::<Result<_>>()?;
            request.start = options.maybe_flag("start")?.unwrap_or(true);
            request.replace = options.flag("replace")?;
            request.temporary = options.flag("temporary")?;
        }
        Ok(request)
    }

    fn grants(&self, config: &Config) -> Result<Resolved> {
        let request = GrantRequest {
            preset: self.preset.clone().unwrap_or_else(|| config.default_preset.clone()),
            grants: self.grants.clone(),
            without: self.without.clone(),
            islands: config.private.clone(),
        };
        Ok(config.presets.resolve(&request)?)
    }

    fn image(&self, config: &Config) -> Result<ImageRef> {
        let text = self.image.as_deref().unwrap_or(&config.default_image);
        Ok(config.images.parse(text)?)
    }

    /// The request that the planner understands.
    ///
    /// # Errors
    /// An image that nobody knows, a preset or grant that cannot be.
    pub async fn resolve(&self, work: &Work, temporary: Option<TemporaryTag>) -> Result<CreateRequest> {
        let image = self.image(&work.config)?;
        let resolved = self.grants(&work.config)?;
        if !resolved.waiting.is_empty() {
            let words: Vec<String> = resolved.waiting.iter().map(Grant::to_string).collect();
            tracing::debug!(container = %work.name, "grants of a later version: {}", words.join(" "));
        }
        work.check_settings(&self.settings, false).await?;
        let mut settings: Settings = work.config.settings.clone();
        self.settings.iter().for_each(|setting| settings.set(setting));
        let image_present = matches!(work.images().find(&image).await?, Found::Here(_));
        // Here too, or a home that cannot be used would be found out after `replace` has removed what was there.
        work.account(&resolved.grants.home()).await?;
        let spec = Spec::new(&image, &resolved.preset, resolved.grants, settings);
        if spec.to_json().len() > LONGEST_SPEC {
            return Err(invalid(format!("the grants and settings of '{}' are too long together", work.name))
                .hint(format!("they may have {} KiB", LONGEST_SPEC >> 10)));
        }
        Ok(CreateRequest { spec, image, image_present, start: self.start, replace: self.replace, temporary })
    }
}

/// Asks an administrator for the grants that need one.
///
/// # Errors
/// [`crate::error::ErrorKind::NotAuthorized`]; whatever is wrong with the grants.
pub async fn authorise_grants(daemon: &Daemon, call: &Call, request: &Request) -> Result<()> {
    let config = daemon.config().await?;
    // Told at once, before a job begins.
    request.image(&config)?;
    let resolved = request.grants(&config)?;
    let needing: Vec<String> =
        resolved.grants.needs_administrator().iter().map(ToString::to_string).collect();
    if needing.is_empty() {
        return Ok(());
    }
    let words = needing.join(" ");
    let details = HashMap::from([("grants", words.as_str())]);
    authorise(daemon.bus(), call.caller.subject(), Action::Privileged, &details).await
}

/// The process that a temporary container goes with: the caller's, as the bus knows it.
///
/// # Errors
/// When it has ended already.
pub async fn client(daemon: &Daemon, call: &Call, request: &Request) -> Result<Option<TemporaryTag>> {
    if !request.temporary {
        return Ok(None);
    }
    let pid = pid_of(daemon.bus(), &call.caller.connection).await?;
    let process = Process::of(pid).ok_or_else(|| failed(format!("the calling process {pid} has ended")))?;
    Ok(Some(TemporaryTag { pid: process.pid, start_time: process.start }))
}
