//! What a container to be made is made of: options of `Create` and `Ensure`, made into a checked request.

use std::borrow::Cow;
use std::collections::HashMap;

use snug_core::config::Config;
use snug_core::grant::{Grant, GrantSet, MOST, Support};
use snug_core::image::ImageRef;
use snug_core::plan::CreateRequest;
use snug_core::preset::{GrantRequest, Preset, Resolved};
use snug_core::setting::{Setting, Settings};
use snug_core::spec::{Spec, TemporaryTag};
use snug_core::text;

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
/// Bytes of the name of a caller's own preset.
const LONGEST_NAME: usize = 64;

/// The options, each checked as far as it can be without the configuration.
#[derive(Debug, Clone, Default)]
pub struct Request {
    image: Option<String>,
    preset: Option<String>,
    /// What the preset is in the caller's configuration, where that is not what it is in the system's.
    definition: Option<Preset>,
    /// The islands of the caller's configuration, where they are not the system's.
    islands: Option<Vec<String>>,
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
        let preset = options.string("preset")?;
        let mut request = Self {
            image: options.string("image")?,
            definition: definition(options, preset.as_deref())?,
            islands: islands(options)?,
            preset,
            settings: settings(options)?,
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
            islands: self.islands.clone().unwrap_or_else(|| config.private.clone()),
        };
        let mut presets = Cow::Borrowed(&config.presets);
        if let Some(preset) = &self.definition {
            presets.to_mut().0.insert(preset.name.clone(), preset.clone());
        }
        Ok(presets.resolve(&request)?)
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
        let later = |grant: &&Grant| matches!(grant.support(), Support::Later { .. });
        let later: Vec<String> = resolved.waiting.iter().filter(later).map(Grant::to_string).collect();
        // One that nobody knows the caller's client has warned of, which knows the file.
        if !later.is_empty() {
            let (words, preset) = (later.join(" "), &resolved.preset);
            work.notice(format!(
                "'{}' is made without what the preset '{preset}' has of a later version of Snug: {words}",
                work.name
            ));
        }
        work.check_settings(&self.settings, false).await?;
        let mut settings: Settings = work.config.settings.clone();
        self.settings.iter().for_each(|setting| settings.set(setting));
        let image_present = matches!(work.images().find(&image).await?, Found::Here(_));
        // Here too, or a home that cannot be used would be found out after `replace` has removed what was there.
        let account = work.account(&resolved.grants.home()).await?;
        work.check_islands(&resolved.grants, &account).await?;
        let spec = Spec::new(&image, &resolved.preset, resolved.grants, settings);
        if spec.to_json().len() > LONGEST_SPEC {
            return Err(invalid(format!("the grants and settings of '{}' are too long together", work.name))
                .hint(format!("they may have {} KiB", LONGEST_SPEC >> 10)));
        }
        Ok(CreateRequest { spec, image, image_present, start: self.start, replace: self.replace, temporary })
    }
}

/// The caller's own preset. Whatever its name, its grants are what an administrator is asked for.
fn definition(options: &mut Options, preset: Option<&str>) -> Result<Option<Preset>> {
    let (grants, requires) = (options.list("preset-grants")?, options.list("preset-requires")?);
    let Some(grants) = grants else {
        return if requires.is_none() {
            Ok(None)
        } else {
            Err(invalid("'preset-requires' without 'preset-grants'"))
        };
    };
    let Some(name) = preset.filter(|name| name.len() <= LONGEST_NAME && !name.chars().any(text::is_unsafe))
    else {
        return Err(invalid("'preset-grants' without the name of a preset"));
    };
    Ok(Some(Preset {
        name: name.to_owned(),
        text: String::new(),
        grants: GrantSet::of_preset(&grants)?,
        requires: GrantSet::of_preset(&requires.unwrap_or_default())?,
    }))
}

fn islands(options: &mut Options) -> Result<Option<Vec<String>>> {
    let Some(paths) = options.list("islands")? else { return Ok(None) };
    let words = paths.iter().map(|path| format!("private={path}"));
    let set = GrantSet::parse(words.collect::<Vec<_>>())?;
    Ok(Some(set.islands().into_iter().map(|path| path.to_string_lossy().into_owned()).collect()))
}

fn settings(options: &mut Options) -> Result<Vec<Setting>> {
    let settings = options.map("settings")?.unwrap_or_default();
    settings.iter().map(|(key, value)| Ok(Setting::from_pair(key, value)?)).collect()
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
