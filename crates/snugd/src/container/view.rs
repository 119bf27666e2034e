//! What a client sees of a container: the keys of `List` and `Get`, and the properties of its object.

use std::collections::{BTreeMap, HashMap};

use incus_client::{Instance, StatusCode};
use snug_core::spec::{Phase, TEMPORARY_KEY};
use zbus::{ObjectPath, Variant};

use super::lookup::Found;
use crate::bus;

/// Keys and values of one container.
pub type View = HashMap<&'static str, Variant<'static>>;

/// The word for where it stands.
#[must_use]
pub fn state(found: &Found) -> &'static str {
    // To Incus, one that is being stopped runs until it does not.
    if found.phase != Phase::Ready {
        return found.phase.word();
    }
    match found.instance.status_code {
        StatusCode::Running | StatusCode::Ready => "running",
        StatusCode::Stopped => "stopped",
        StatusCode::Starting | StatusCode::Started => "starting",
        StatusCode::Stopping => "stopping",
        StatusCode::Frozen => "frozen",
        _ => "error",
    }
}

/// Everything but what must be asked elsewhere (the agent).
#[must_use]
pub fn of(found: &Found, size: bool) -> View {
    let instance = &found.instance;
    let spec = found.spec.as_ref();
    let settings: HashMap<String, String> = spec
        .map(|spec| spec.settings.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
        .unwrap_or_default();
    let grants = spec.map(|spec| spec.grants.words()).unwrap_or_default();
    let privileged = instance.config.get("security.privileged").is_some_and(|value| value == "true");
    // Paths below the owner's home count as such whoever asks; without his account here the strict answer is right.
    let trusted = spec.is_some_and(|spec| spec.grants.is_trusted(|_| true));
    let mut view: View = HashMap::from([
        ("name", Variant::from(found.name.to_string())),
        ("owner", Variant::from(found.owner.uid.0)),
        ("owner-name", Variant::from(found.owner.name.clone())),
        ("kind", Variant::from(spec.map_or_else(|| "container".to_owned(), |spec| spec.kind.to_string()))),
        ("state", Variant::from(state(found))),
        ("phase", Variant::from(found.phase.word())),
        ("image", Variant::from(spec.map(|spec| spec.image.clone()).unwrap_or_default())),
        ("preset", Variant::from(spec.map(|spec| spec.preset.clone()).unwrap_or_default())),
        ("grants", Variant::from(grants)),
        ("settings", Variant::from(settings)),
        ("trusted", Variant::from(trusted)),
        ("privileged", Variant::from(privileged)),
        ("temporary", Variant::from(instance.config.contains_key(TEMPORARY_KEY))),
        ("created", Variant::from(time(instance.created_at.as_str()))),
        ("last-start", Variant::from(time(instance.last_used_at.as_str()))),
        ("pid", Variant::from(instance.state.as_ref().and_then(|state| state.init_pid()).unwrap_or(0))),
        ("addresses", Variant::from(addresses(instance))),
        ("snapshots", Variant::from(instance.snapshots.as_ref().map_or(0, |snapshots| count(snapshots)))),
    ]);
    if let Ok(path) = ObjectPath::try_from(bus::container_path(found.owner.uid.0, found.name.as_str())) {
        view.insert("path", Variant::from(path));
    }
    if size && let Some(used) = instance.state.as_ref().and_then(|state| state.root_usage()) {
        view.insert("size", Variant::from(used));
    }
    view
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// RFC 3339; empty for Incus' "never".
fn time(text: &str) -> String {
    if text.starts_with("0001-") || text.starts_with("1970-01-01T00:00:00") {
        String::new()
    } else {
        text.to_owned()
    }
}

/// Global addresses of all interfaces, IPv4 first.
fn addresses(instance: &Instance) -> Vec<String> {
    let mut found = BTreeMap::new();
    for interface in instance.state.iter().flat_map(|state| state.network.values()) {
        for address in interface.addresses.iter().filter(|address| address.scope == "global") {
            found.insert((address.family.clone(), address.address.clone()), ());
        }
    }
    found.into_keys().map(|(_, address)| address).collect()
}

#[cfg(test)]
mod tests {
    use snug_core::config::Config;

    use super::*;

    #[test]
    fn what_is_being_done_to_it_is_its_state_whatever_incus_says() {
        let told = |phase: &str, status: u32| {
            let instance = serde_json::from_value(serde_json::json!({
                "name": "dev", "project": "snug-1000", "status_code": status,
                "config": {"user.snug.owner": "1000:me", "user.snug.phase": phase},
            }));
            state(&Found::new(&Config::built_in(), instance.unwrap()).unwrap())
        };
        let (running, stopped) = (103, 102);
        assert_eq!([told("ready", running), told("ready", stopped)], ["running", "stopped"]);
        for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Ready) {
            assert_eq!([running, stopped].map(|status| told(phase.word(), status)), [phase.word(); 2]);
        }
    }

    #[test]
    fn a_size_that_the_pool_does_not_tell_is_left_out() {
        let size = |disk: serde_json::Value| {
            let instance = serde_json::from_value(serde_json::json!({
                "name": "dev", "project": "snug-1000", "config": {"user.snug.owner": "1000:me"},
                "state": {"status_code": 102, "disk": disk},
            }));
            let found = Found::new(&Config::built_in(), instance.unwrap()).unwrap();
            of(&found, true).remove("size")
        };
        assert_eq!(size(serde_json::json!({"root": {"usage": 4096}})), Some(Variant::from(4096_u64)));
        for unknown in
            [serde_json::json!({"root": {"usage": 0}}), serde_json::json!({}), serde_json::Value::Null]
        {
            assert_eq!(size(unknown.clone()), None, "{unknown}");
        }
    }
}
