//! The interfaces of `docs/reference/dbus.md`, as far as the command line uses them.

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant, Variant};

/// `a{sv}` on its way to the daemon.
pub type Dict<'a> = HashMap<&'a str, &'a Variant<'a>>;
/// `a{sv}` from the daemon.
pub type OwnedDict = HashMap<String, OwnedVariant>;

/// Name of the daemon on the bus.
pub const NAME: &str = "org.snug.Snug1";

#[zbus::proxy(
    interface = "org.snug.Snug1.Manager",
    default_service = "org.snug.Snug1",
    default_path = "/org/snug/Snug1"
)]
pub trait Manager {
    #[zbus(allow_interactive_auth)]
    fn create(&self, name: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn ensure(&self, name: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn start(&self, name: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn restart(&self, name: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn stop(&self, name: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn remove(&self, name: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn configure(
        &self,
        name: &str,
        set: HashMap<&str, &str>,
        unset: &[&str],
        options: Dict<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn take_snapshot(&self, name: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn undo(&self, name: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn snapshots(&self, name: &str, options: Dict<'_>) -> zbus::Result<Vec<OwnedDict>>;
    #[zbus(allow_interactive_auth)]
    fn prune(&self, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn list(&self, options: Dict<'_>) -> zbus::Result<Vec<OwnedDict>>;
    #[zbus(allow_interactive_auth)]
    fn get(&self, name: &str, options: Dict<'_>) -> zbus::Result<OwnedDict>;
    #[zbus(allow_interactive_auth)]
    fn log(&self, name: &str, options: Dict<'_>) -> zbus::Result<String>;
    #[zbus(allow_interactive_auth)]
    fn list_images(&self, options: Dict<'_>) -> zbus::Result<Vec<OwnedDict>>;
    #[zbus(allow_interactive_auth)]
    fn pull_image(&self, reference: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn import_image(&self, alias: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn remove_image(&self, reference: &str, options: Dict<'_>) -> zbus::Result<OwnedObjectPath>;
    #[zbus(allow_interactive_auth)]
    fn ports(&self, options: Dict<'_>) -> zbus::Result<(Vec<OwnedDict>, Vec<String>)>;
    fn doctor(&self, options: Dict<'_>) -> zbus::Result<Vec<OwnedDict>>;
}

#[zbus::proxy(interface = "org.snug.Snug1.Job", default_service = "org.snug.Snug1")]
pub trait Job {
    fn cancel(&self) -> zbus::Result<()>;
    fn wait(&self) -> zbus::Result<String>;
}
