//! Kinds and hints of errors: each error of this crate says whose fault it is and what to do.

use thiserror::Error;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something that was typed or asked for.
    User,
    /// A configuration file, or the state of the host.
    Config,
    /// A defect of Snug, or data that only Snug writes.
    Internal,
}

/// What an error tells beside its message.
pub trait Explain: std::error::Error {
    /// Whose fault it is.
    fn kind(&self) -> Kind;

    /// What to do, one sentence each; may be empty.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

macro_rules! any_error {
    ($($(#[$doc:meta])* $variant:ident($type:ty),)*) => {
        /// Any error of this crate.
        #[derive(Debug, Error)]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$doc])* #[error(transparent)] $variant(#[from] $type),)*
        }

        impl Explain for Error {
            fn kind(&self) -> Kind {
                match self { $(Self::$variant(error) => error.kind(),)* }
            }

            fn hints(&self) -> Vec<String> {
                match self { $(Self::$variant(error) => error.hints(),)* }
            }
        }
    };
}

any_error! {
    /// A container's name.
    Name(crate::name::NameError),
    /// An image reference.
    Image(crate::image::ImageError),
    /// A grant.
    Grant(crate::grant::GrantError),
    /// A preset.
    Preset(crate::preset::PresetError),
    /// A setting.
    Setting(crate::setting::SettingError),
    /// A stored spec or tag.
    Spec(crate::spec::SpecError),
    /// Somebody who may not own containers.
    NotEligible(crate::owner::NotEligible),
    /// Subordinate ids.
    Subid(crate::subid::SubidError),
    /// The configuration.
    Config(crate::config::ConfigError),
    /// A plan that cannot be made.
    Plan(crate::plan::PlanError),
}
