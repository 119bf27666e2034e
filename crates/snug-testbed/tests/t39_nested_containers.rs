//! Docker and Podman in an unprivileged container, as Debian packages them. What they run is busybox, from a tar archive: no registry is asked.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use common::{DEBIAN_13, Desktop, Finally, RunUser, answer, eventually};
use snug_testbed::{Bed, Container};

/// A container with both, made once.
fn nested() -> &'static Container<'static> {
    static INSTALL: std::sync::Once = std::sync::Once::new();
    let guest = Bed::shared_with("tester", "nested", DEBIAN_13, &["--no-grant", "places"]);
    INSTALL.call_once(|| {
        let line = "sudo apt-get update -qq && sudo apt-get install -qq -y --no-install-recommends \
                    docker.io docker-cli iptables nftables podman crun passt uidmap netavark aardvark-dns fuse-overlayfs busybox-static >/dev/null";
        let installed = guest.run(["sh", "-c", line]).env("DEBIAN_FRONTEND", "noninteractive");
        installed.deadline(Duration::from_secs(300)).run().unwrap().success();
        sh(
            guest,
            // Where a restart leaves it.
            "sudo mkdir -p /opt/root/bin && sudo cp /bin/busybox /opt/root/bin && \
             for name in sh cat httpd touch ls id; do sudo ln -sf busybox /opt/root/bin/$name; done && \
             sudo tar -C /opt/root -cf /opt/box.tar . && sudo docker import -c 'CMD [\"sh\"]' /opt/box.tar box",
        );
    });
    guest
}

fn sh(guest: &Container<'_>, line: &str) -> String {
    answer(guest.run(["sh", "-c", line]).deadline(Duration::from_secs(120)))
}

#[test]
fn docker_runs_builds_and_publishes_a_port_on_the_hosts_loopback() {
    let bed = Bed::require();
    let guest = nested();
    assert_eq!(sh(guest, "sudo docker run --rm box cat /proc/1/comm"), "cat");
    sh(guest, "mkdir -p /tmp/www && echo of-the-volume >/tmp/www/page");
    sh(guest, "sudo docker run -d --name web -p 8180:80 -v /tmp/www:/www:ro box httpd -f -p 80 -h /www");
    let page = || bed.shell("tester", "busybox wget -qO- http://127.0.0.1:8180/page").run().unwrap().out();
    eventually("the page on the host", || page().trim() == "of-the-volume");
    let dockerfile = "printf 'FROM box\\nRUN [\"/bin/touch\", \"/made\"]\\n' | sudo DOCKER_BUILDKIT=0 docker build -q -t made - >/dev/null";
    sh(guest, dockerfile);
    assert_eq!(sh(guest, "sudo docker run --rm made ls /made"), "/made");
    // Names are asked of the host's servers from there, too.
    assert!(sh(guest, "sudo docker run --rm box cat /etc/resolv.conf").contains("nameserver 169.254.0.53"));
    sh(guest, "sudo docker rm -f web");
    eventually("the port is closed", || page().is_empty());
}

#[test]
fn compose_starts_services_that_find_each_other_by_name() {
    let bed = Bed::require();
    let guest = nested();
    let install = "sudo apt-get install -qq -y --no-install-recommends docker-compose >/dev/null";
    let installed = guest.run(["sh", "-c", install]).env("DEBIAN_FRONTEND", "noninteractive");
    installed.deadline(Duration::from_secs(300)).run().unwrap().success();
    let services = "services:
  web:
    image: box
    command: httpd -f -p 80 -h /www
    volumes: ['./www:/www:ro']
    ports: ['8183:80']
  asks:
    image: box
    depends_on: [web]
    command: sh -c 'until /bin/busybox wget -qO- http://web/page; do /bin/busybox sleep 0.1; done'
";
    sh(
        guest,
        &format!(
            "mkdir -p /tmp/pair/www; echo of-the-pair >/tmp/pair/www/page; cat >/tmp/pair/compose.yaml <<'E'\n{services}E"
        ),
    );
    sh(guest, "cd /tmp/pair && sudo docker compose up -d --quiet-pull 2>&1");
    let page = || bed.shell("tester", "busybox wget -qO- http://127.0.0.1:8183/page").run().unwrap().out();
    eventually("the page on the host", || page().trim() == "of-the-pair");
    let said = || sh(guest, "sudo docker logs pair-asks-1");
    eventually("one service asks the other", || said() == "of-the-pair");
    sh(guest, "cd /tmp/pair && sudo docker compose down 2>&1");
    eventually("the port is closed", || page().is_empty());
}

#[test]
fn podman_runs_and_publishes_a_port_as_root_and_as_the_owner() {
    let bed = Bed::require();
    let guest = nested();
    // Rootless Podman's pasta opens it. udev lets everybody; where none runs, the machine's own is root's alone.
    let tun = "/dev/net/tun";
    let before = std::fs::metadata(tun).unwrap().mode();
    set_permissions(tun, Permissions::from_mode(0o666)).unwrap();
    let _restored = Finally(|| set_permissions(tun, Permissions::from_mode(before & 0o7777)).unwrap());
    // Without the controller `pids`, which the machine's cgroup v1 holds, its usual limit cannot be set.
    let run = "run --pids-limit=0";
    for (podman, port) in [("sudo podman", 8191), ("podman", 8192)] {
        sh(guest, &format!("{podman} import -q /opt/box.tar box"));
        assert_eq!(sh(guest, &format!("{podman} {run} --rm box id -u")), "0", "{podman}");
        sh(guest, &format!("mkdir -p /tmp/pods && echo '{podman}' >/tmp/pods/page"));
        let serve = "-v /tmp/pods:/www:ro box httpd -f -p 80 -h /www";
        sh(guest, &format!("{podman} {run} -d --name pod -p {port}:80 {serve}"));
        let line = format!("busybox wget -qO- http://127.0.0.1:{port}/page");
        eventually(podman, || bed.shell("tester", &line).run().unwrap().out().trim() == podman);
        sh(guest, &format!("{podman} rm -f -t 0 pod; {podman} rmi box"));
    }
    // The host's storage of rootless Podman is not touched: the container has its own there.
    let home = bed.account("tester").home.join(".local/share/containers");
    let left = std::fs::read_dir(&home).map(Iterator::count).unwrap_or(0);
    assert_eq!(left, 0, "{}", home.display());
}

#[test]
fn rootless_podman_asks_the_guests_service_manager_also_from_a_desktop() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = nested();
    // The directory of its session is another mount now.
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    let desktop = Desktop::start(&bed, "tester");
    let line = "test -n \"$DBUS_SESSION_BUS_ADDRESS\" && podman ps --noheading && echo lists";
    let podman = desktop.in_session(guest.run(["sh", "-c", line])).deadline(Duration::from_secs(120));
    assert_eq!(answer(podman), "lists");
}

#[test]
fn rootless_podman_runs_with_runc_also_from_a_desktop() {
    let bed = Bed::require();
    let _run_user = RunUser::new();
    let guest = nested();
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    let desktop = Desktop::start(&bed, "tester");
    // Of docker.io, which needs it. Without the machine's controller `pids` there is no usual limit, as above.
    let run = "podman --runtime runc run --pids-limit=0 --network=none --rm box cat /proc/1/comm";
    let line = format!(
        "until systemctl --user show-environment >/dev/null 2>&1; do sleep 0.1; done; \
         podman import -q /opt/box.tar box >/dev/null && {run}; podman rmi box >/dev/null"
    );
    let podman = || desktop.in_session(guest.run(["sh", "-c", &line])).deadline(Duration::from_secs(120));
    assert_eq!(answer(podman()), "cat");
    // Its manager is another one then.
    let uid = bed.account("tester").uid;
    sh(guest, &format!("sudo systemctl restart user@{uid}"));
    assert_eq!(answer(podman()), "cat");
}
