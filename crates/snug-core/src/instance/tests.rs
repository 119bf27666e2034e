use super::*;
use crate::grant::GrantSet;
use crate::name::{Gid, Uid};
use crate::setting::{Setting, Settings};

fn account(uid: u32, gid: u32) -> Account {
    Account {
        name: "anna".into(),
        uid: Uid(uid),
        gid: Gid(gid),
        group: "anna".into(),
        gecos: "Anna".into(),
        shell: "/bin/bash".into(),
        home: "/home/anna".into(),
        home_real: "/var/home/anna".into(),
    }
}

fn facts() -> InstanceFacts {
    InstanceFacts {
        name: "dev".parse().unwrap(),
        project: "snug-1000".into(),
        pool: "default".into(),
        bridge: "snugbr0".into(),
        pasta: Some("/usr/bin/pasta".into()),
        hook: true,
        address: Some(Ipv4Addr::new(10, 1, 2, 3)),
        version: "0.1.0".into(),
        paths: Paths {
            prefix: "/usr".into(),
            libexec: "/usr/libexec/snug".into(),
            state: "/var/lib/snug".into(),
            etc: "/etc/snug".into(),
            vendor: "/usr/lib/snug".into(),
        },
        incus_dir: "/var/lib/incus".into(),
        idmap_base: Some(3_065_536),
        kernel_limits: [("nofile".to_owned(), "524288".to_owned())].into(),
    }
}

fn spec(grants: &[&str], settings: &[&str]) -> Spec {
    let settings: Vec<Setting> = settings.iter().map(|text| text.parse().unwrap()).collect();
    let image = "images:debian/13".parse().unwrap();
    Spec::new(&image, "integrated", GrantSet::parse(grants).unwrap(), settings.iter().collect::<Settings>())
}

fn lines(map: &BTreeMap<String, String>) -> Vec<String> {
    map.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

#[test]
fn the_integrated_container_is_the_table_of_the_architecture_page() {
    let spec = spec(&["home", "nesting", "network=nat"], &["memory=4G", "disk=20G", "autostart=boot"]);
    let instance = wanted(&spec, &account(1000, 1000), &facts());
    let mut config = instance.config.clone();
    assert_eq!(config.remove(SPEC_KEY), Some(spec.to_json()));
    assert_eq!(
        lines(&config),
        [
            "boot.autostart=false",
            "limits.kernel.nofile=524288",
            "limits.memory=4GiB",
            "raw.idmap=both 1000 1000",
            "raw.lxc=lxc.init.cmd = /.snug/bin/snug-agent init\n\
             lxc.hook.start-host = /usr/libexec/snug/snug-hook start-host --bridged --owner 1000:1000 \
             --run-dir /var/lib/snug/run/1000/dev\n\
             lxc.hook.stop = /usr/libexec/snug/snug-hook stop --run-dir /var/lib/snug/run/1000/dev",
            "security.guestapi=false",
            "security.idmap.base=3065536",
            "security.idmap.isolated=true",
            "security.idmap.size=1000000",
            "security.nesting=true",
            "user.snug.owner=1000:anna",
        ]
    );
    let devices: Vec<String> =
        instance.devices.iter().map(|(name, keys)| format!("{name}: {}", lines(keys).join(" "))).collect();
    assert_eq!(
        devices,
        [
            "eth0: ipv4.address=10.1.2.3 name=eth0 network=snugbr0 security.ipv4_filtering=true \
             security.ipv6_filtering=true security.mac_filtering=true security.port_isolation=true type=nic",
            "home: path=/var/home/anna recursive=true source=/var/lib/snug/run/1000/dev/mounts/home type=disk",
            "root: path=/ pool=default size=20GiB type=disk",
            "snug-bin: path=/.snug/bin readonly=true source=/var/lib/snug/guest/0.1.0 type=disk",
            "snug-run: path=/.snug/run source=/var/lib/snug/run/1000/dev/guest type=disk",
        ]
    );
}

#[test]
fn unequal_ids_are_mapped_each_by_itself() {
    let instance = wanted(&spec(&["home"], &[]), &account(1000, 2000), &facts());
    assert_eq!(instance.config["raw.idmap"], "uid 1000 1000\ngid 2000 2000");
}

#[test]
fn the_hosts_network_comes_without_its_cgroups_and_with_a_readonly_sys() {
    let instance = wanted(&spec(&["home", "network=host"], &[]), &account(1000, 1000), &facts());
    assert_eq!(
        instance.config["raw.lxc"],
        "lxc.init.cmd = /.snug/bin/snug-agent init\n\
         lxc.namespace.share.net = /var/lib/snug/host-net\n\
         lxc.mount.auto =\n\
         lxc.mount.auto = proc:rw cgroup:rw:force\n\
         lxc.mount.auto = shmounts:/var/lib/incus/shmounts/snug-1000_dev:/dev/.incus-mounts"
    );
    assert!(!instance.devices.contains_key("eth0"));
    assert_eq!(
        lines(&instance.devices["snug-sys"]),
        ["path=/sys", "readonly=true", "source=/sys", "type=disk"]
    );
}

#[test]
fn a_mirrored_network_is_a_hook_and_no_device_or_a_bridge() {
    let trusted = spec(&["home", "network=mirror"], &[]);
    let instance = wanted(&trusted, &account(1000, 1001), &facts());
    assert_eq!(
        instance.config["raw.lxc"],
        "lxc.init.cmd = /.snug/bin/snug-agent init\n\
         lxc.hook.start-host = /usr/libexec/snug/snug-hook start-host --pasta /usr/bin/pasta --owner 1000:1001 \
         --run-dir /var/lib/snug/run/1000/dev\n\
         lxc.hook.stop = /usr/libexec/snug/snug-hook stop --run-dir /var/lib/snug/run/1000/dev"
    );
    assert!(!instance.devices.contains_key("eth0"));
    let untrusted = wanted(&spec(&["home=private", "network=mirror"], &[]), &account(1000, 1001), &facts());
    let looked_at = "lxc.init.cmd = /.snug/bin/snug-agent init\n\
         lxc.hook.start-host = /usr/libexec/snug/snug-hook start-host --bridged --owner 1000:1001 \
         --run-dir /var/lib/snug/run/1000/dev\n\
         lxc.hook.stop = /usr/libexec/snug/snug-hook stop --run-dir /var/lib/snug/run/1000/dev";
    assert_eq!(untrusted.config["raw.lxc"], looked_at);
    assert!(untrusted.devices.contains_key("eth0"));
    let without =
        wanted(&trusted, &account(1000, 1001), &InstanceFacts { pasta: None, hook: false, ..facts() });
    assert!(!without.config["raw.lxc"].contains("hook") && without.devices.contains_key("eth0"));
}

#[test]
fn a_container_without_home_and_network_has_neither_device() {
    let instance = wanted(&spec(&["home=private", "network=none"], &[]), &account(1000, 1000), &facts());
    assert_eq!(instance.devices.keys().collect::<Vec<_>>(), ["root", "snug-bin", "snug-run"]);
    assert!(!instance.config.contains_key("security.nesting"));
}

#[test]
fn graphics_cards_come_with_the_files_of_their_driver() {
    let of = |grant| wanted(&spec(&["home=private", grant], &[]), &account(1000, 1000), &facts()).devices;
    assert!(of("devices").contains_key("snug-driver") && !of("kvm").contains_key("snug-driver"));
    assert_eq!(
        lines(&of("gpu")["snug-driver"]),
        [
            "path=/.snug/driver",
            "recursive=true",
            "source=/var/lib/snug/run/1000/dev/mounts/driver",
            "type=disk"
        ]
    );
}

#[test]
fn a_privileged_container_has_no_map() {
    let instance = wanted(&spec(&["privileged"], &[]), &account(1000, 1000), &facts());
    assert_eq!(instance.config["security.privileged"], "true");
    assert!(!instance.config.keys().any(|key| key.contains("idmap")));
}

#[test]
fn only_what_is_snugs_is_changed_and_unset() {
    let wanted = wanted(&spec(&["home=private", "network=none"], &[]), &account(1000, 1000), &facts());
    let mut current = wanted.clone().tagged(Phase::Ready, None);
    assert!(wanted.difference(&current).is_empty());
    current.config.insert("volatile.uuid".into(), "x".into());
    current.config.insert("limits.cpu".into(), "2".into());
    current.config.insert("security.privileged".into(), "true".into());
    current.devices.insert("eth0".into(), Device::new());
    current.devices.insert("mine".into(), Device::new());
    current.devices.remove("snug-run");
    let change = wanted.difference(&current);
    assert_eq!(
        change.config,
        [("limits.cpu".to_owned(), None), ("security.privileged".to_owned(), None)].into()
    );
    assert_eq!(change.devices.keys().collect::<Vec<_>>(), ["eth0", "snug-run"]);
    assert!(change.removes_device());
    let mut after = current.clone();
    change.apply(&mut after);
    assert!(wanted.difference(&after).is_empty());
    assert!(after.devices.contains_key("mine") && after.config.contains_key("volatile.uuid"));
    change.inverse(&current).apply(&mut after);
    assert_eq!(after, current);
}

#[test]
fn tags_are_added_for_creation() {
    let tag = TemporaryTag { pid: 7, start_time: 9 };
    let tagged = InstanceConfig::default().tagged(Phase::Creating, Some(tag));
    assert_eq!(lines(&tagged.config), ["user.snug.phase=creating", "user.snug.temporary=7:9"]);
}

#[test]
fn every_device_that_a_spec_asks_for_comes_back_when_it_was_taken_away() {
    for network in ["nat", "host", "none"] {
        let network = format!("network={network}");
        let spec = spec(&["home", "places", "nesting", &network], &[]);
        let instance = wanted(&spec, &account(1000, 1000), &facts());
        let bare = InstanceConfig { config: instance.config.clone(), devices: BTreeMap::new() };
        let change = instance.difference(&bare);
        assert!(change.devices.keys().eq(instance.devices.keys()), "{:?}", change.devices);
    }
}
