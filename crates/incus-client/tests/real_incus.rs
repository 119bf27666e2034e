//! The client against a real Incus.
//!
//! Built only with the feature `real-incus`, so that it never counts as passed without having run:
//!
//! ```text
//! INCUS_CLIENT_TEST_SOCKET=/var/lib/incus/unix.socket \
//!     cargo test -p incus-client --features real-incus --test real_incus
//! ```
//!
//! `INCUS_CLIENT_TEST_IMAGE` is the alias of a local image of the default project with `/bin/sh`
//! (`debian/12` unless set). Everything happens in projects, pools and networks whose names begin with
//! `incus-client-test` or `ict`; they are removed before and after.

use std::time::Duration;

use incus_client::{
    Client, Config, Devices, Error, Event, EventFilter, EventKind, ExecRequest, FileAttributes, FileKind,
    ImageImport, ImageSource, ImagesPost, InstancePatch, InstanceSource, InstancesPost, ListOptions,
    NetworksPost, ProjectPut, SnapshotsPost, StateChange, StatusCode, StoragePoolsPost, TerminalSize,
    exec::exit_code,
};

/// Longer than anything here takes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// A project and, by the same name, a pool of its own, removed at the end even when the test fails.
struct Stage {
    client: Client,
    project: String,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let socket =
            std::env::var_os("INCUS_CLIENT_TEST_SOCKET").expect("INCUS_CLIENT_TEST_SOCKET names a socket");
        let server = Client::connect(socket);
        let project = format!("incus-client-test-{name}");
        let stage = Self { client: server.project(&project), project };
        stage.remove().await;
        let mut put = ProjectPut::default();
        for feature in ["features.images", "features.profiles"] {
            put.config.insert(feature.into(), "false".into());
        }
        server.projects().create(&stage.project, &put).await.expect("a project can be made");
        let pool = StoragePoolsPost {
            name: stage.project.clone(),
            driver: "dir".into(),
            ..StoragePoolsPost::default()
        };
        server.storage_pools().create(&pool).await.expect("a pool can be made");
        stage
    }

    async fn remove(&self) {
        let instances = self.client.instances();
        for name in instances.names(&ListOptions::default()).await.unwrap_or_default() {
            if let Ok(stop) = instances.set_state(&name, &StateChange::stop().force(true)).await {
                let _ = stop.wait().await;
            }
            if let Ok(delete) = instances.delete(&name).await {
                let _ = delete.wait().await;
            }
        }
        let _ = self.client.projects().delete_with_content(&self.project).await;
        let _ = self.client.projects().delete(&self.project).await;
        let _ = self.client.storage_pools().delete(&self.project).await;
    }

    /// Runs a test; cleans up whatever happens.
    async fn run<T>(name: &str, test: impl AsyncFnOnce(&Client) -> T) {
        let stage = Self::new(name).await;
        let ended = {
            let body = std::panic::AssertUnwindSafe(tokio::time::timeout(DEADLINE, test(&stage.client)));
            futures_util::FutureExt::catch_unwind(body).await
        };
        stage.remove().await;
        match ended {
            Ok(in_time) => drop(in_time.expect("it takes too long")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn image() -> InstanceSource {
    let alias = std::env::var("INCUS_CLIENT_TEST_IMAGE").unwrap_or_else(|_| "debian/12".into());
    InstanceSource::local_alias(alias)
}

/// A container on the stage's pool, without network.
async fn create(client: &Client, name: &str, start: bool) {
    let pool = client.project_name().expect("a project was chosen");
    let root = [("type", "disk"), ("path", "/"), ("pool", pool)];
    let root = root.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut new = InstancesPost::container(name, image());
    new.profiles = Some(Vec::new());
    new.devices = Devices::from([("root".to_owned(), root)]);
    new.config =
        Config::from([("security.nesting".into(), "true".into()), ("user.test".into(), "yes".into())]);
    new.description = "mine".into();
    new.start = start;
    let creation = client.instances().create(&new).await.expect("creation begins");
    creation.wait().await.expect("creation succeeds");
}

#[tokio::test]
async fn server_pools_and_networks_can_be_read() {
    Stage::run("read", async |client| {
        let server = client.server().await.unwrap();
        assert!(server.is_trusted() && server.version().major >= 6, "{}", server.environment.server_version);
        assert!(server.api_extensions.len() > 300);
        for pool in client.storage_pools().list().await.unwrap() {
            assert!(client.storage_pools().resources(&pool.name).await.unwrap().space.free() > 0);
            client.storage_pools().volumes(&pool.name).await.unwrap();
        }
        for network in client.networks().list().await.unwrap() {
            client.networks().state(&network.name).await.unwrap();
            if network.managed {
                client.networks().leases(&network.name).await.unwrap();
            }
        }
        assert!(!client.images().list().await.unwrap().is_empty());
        client.profiles().get("default").await.unwrap();
        client.operations().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_container_lives_from_creation_to_deletion_and_events_tell_it() {
    Stage::run("life", async |client| {
        let filter = EventFilter::new([EventKind::Lifecycle, EventKind::Operation]);
        let mut events = client.events(filter).await.unwrap();
        let instances = client.instances();
        create(client, "c1", false).await;
        let new = InstancesPost::container("c1", image());
        let error = match instances.create(&new).await {
            Ok(operation) => operation.wait().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.is_conflict(), "{error:?}");
        assert_eq!(
            instances
                .set_state("c1", &StateChange::stop())
                .await
                .unwrap()
                .wait_end()
                .await
                .unwrap()
                .status_code,
            StatusCode::Failure
        );
        instances.set_state("c1", &StateChange::start()).await.unwrap().wait().await.unwrap();
        let (instance, _) = instances.get_full("c1").await.unwrap();
        assert!(instance.status_code.is_running());
        assert!(instance.state.unwrap().init_pid().is_some());
        assert_eq!(instance.description, "mine");
        let listed = instances.list(&ListOptions::filter("config.user.test eq yes")).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(instances.names(&ListOptions::default()).await.unwrap(), ["c1"]);
        assert_eq!(instances.delete("c1").await.unwrap_err().status(), Some(400));
        instances.set_state("c1", &StateChange::stop().force(true)).await.unwrap().wait().await.unwrap();
        instances.rename("c1", "c2").await.unwrap().wait().await.unwrap();
        instances.delete("c2").await.unwrap().wait().await.unwrap();
        assert!(instances.get("c2").await.unwrap_err().is_not_found());
        let mut actions = Vec::new();
        while actions.last().is_none_or(|last| last != "instance-deleted") {
            match events.next().await.unwrap() {
                Event::Lifecycle { lifecycle, project, .. } => {
                    assert_eq!(project, client.project_name().unwrap());
                    actions.push(lifecycle.action);
                }
                Event::Operation { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        for action in ["instance-created", "instance-started", "instance-stopped", "instance-renamed"] {
            assert!(actions.iter().any(|seen| seen == action), "{action} in {actions:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn commands_run_with_streams_terminals_signals_and_codes() {
    Stage::run("exec", async |client| {
        create(client, "c1", true).await;
        let instances = client.instances();
        let input: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let cat = ExecRequest::new(["cat"]);
        let output = instances.exec_output("c1", &cat, &input).await.unwrap();
        assert!(output.code == 0 && output.stdout == input && output.stderr.is_empty());

        let script = "echo out; echo err >&2; id -u; pwd; echo \"$K\"; exit 42";
        let request = ExecRequest::new(["sh", "-c", script]).user(1000, 1000).cwd("/tmp").env("K", "a b");
        let output = instances.exec_output("c1", &request, b"").await.unwrap();
        let texts = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.code, &*texts.0, &*texts.1), (42, "out\n1000\n/tmp\na b\n", "err\n"));

        for (command, code) in [("/etc/passwd", 126), ("no-such-program", 127)] {
            let request = ExecRequest::new([command]);
            assert_eq!(instances.exec_output("c1", &request, b"").await.unwrap().code, code);
            let ended = instances.exec_detached("c1", &request).await.unwrap().wait_end().await.unwrap();
            assert_eq!(exit_code(ended).unwrap(), code);
        }

        let size = TerminalSize { width: 80, height: 24 };
        let request = ExecRequest::new(["sh", "-c", "stty size; read line; stty size; exit 3"]);
        let mut session = instances.exec_interactive("c1", &request, size).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"24 80\r\n") {
            seen.extend_from_slice(&session.stdout.next().await.unwrap().expect("more output"));
        }
        session.control.resize(TerminalSize { width: 132, height: 43 }).await;
        // The size goes another way than the input: ask until it is there.
        session.stdin.write_all(b"x\n").await.unwrap();
        let rest = session.stdout.read_to_end(1000).await.unwrap();
        assert!(rest.ends_with(b"43 132\r\n") || rest.ends_with(b"24 80\r\n"), "{rest:?}");
        assert_eq!(session.wait().await.unwrap(), 3);

        let sleep = ExecRequest::new(["sleep", "1000"]);
        let session = instances.exec("c1", &sleep).await.unwrap();
        session.control.signal(15).await;
        assert_eq!(session.wait().await.unwrap(), 143);

        let session = instances.exec("c1", &sleep).await.unwrap();
        let operation = session.operation().clone();
        drop(session);
        assert_eq!(exit_code(operation.wait_end().await.unwrap()).unwrap(), 137);

        let record = ExecRequest::new(["sh", "-c", "echo out; echo err >&2; exit 5"]);
        let output = instances.exec_recorded("c1", &record).await.unwrap();
        assert_eq!((output.code, &output.stdout[..], &output.stderr[..]), (5, &b"out\n"[..], &b"err\n"[..]));

        let short = ExecRequest::new(["true"]);
        assert_eq!(instances.exec_output("c1", &short, &input).await.unwrap().code, 0);
    })
    .await;
}

#[tokio::test]
async fn files_go_in_and_out_of_running_and_stopped_containers() {
    Stage::run("files", async |client| {
        create(client, "c1", false).await;
        let files = client.instances().files("c1");
        for running in [false, true] {
            if running {
                let start = client.instances().set_state("c1", &StateChange::start()).await.unwrap();
                start.wait().await.unwrap();
            }
            let attributes = FileAttributes::new(1000, 1001, 0o640);
            files.put("/root/a b", "one", attributes).await.unwrap();
            files.put("/root/a b", "two", FileAttributes::new(0, 0, 0o600)).await.unwrap();
            files.append("/root/a b", "three").await.unwrap();
            let read = files.get("/root/a b").await.unwrap();
            assert_eq!((read.attributes, &read.bytes().unwrap()[..]), (attributes, &b"twothree"[..]));
            assert_eq!(files.head("/root/a b").await.unwrap().1, Some(FileKind::File));
            files.mkdir("/root/d", FileAttributes::new(0, 0, 0o700)).await.unwrap();
            files.symlink("/root/d/l", "/etc/hostname", FileAttributes::default()).await.unwrap();
            assert_eq!(files.get("/root/d").await.unwrap().entries().unwrap(), ["l"]);
            let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
            let upload = std::io::Cursor::new(content.clone());
            files.upload("/root/d/big", upload, FileAttributes::default()).await.unwrap();
            let mut copy = Vec::new();
            files.download("/root/d/big", &mut copy).await.unwrap();
            assert!(copy == content);
            for file in ["/root/d/big", "/root/d/l", "/root/d", "/root/a b"] {
                files.delete(file).await.unwrap();
            }
            assert!(files.get("/root/a b").await.unwrap_err().is_not_found());
        }
        assert!(files.put("/no/such/file", "x", FileAttributes::default()).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn changes_keep_the_description_and_meet_etags() {
    Stage::run("edit", async |client| {
        create(client, "c1", false).await;
        let instances = client.instances();
        let (instance, etag) = instances.get("c1").await.unwrap();
        let mut patch = InstancePatch::default();
        patch.config.insert("user.phase".into(), "ready".into());
        instances.patch("c1", &patch, Some(&etag)).await.unwrap();
        assert_eq!(instances.get("c1").await.unwrap().0.description, "mine");
        let error = instances.put("c1", &instance.clone().into_put(), Some(&etag)).await.unwrap_err();
        assert!(error.is_precondition_failed(), "{error}");
        let mut calls = 0;
        instances
            .update("c1", |put| {
                calls += 1;
                put.config.remove("user.phase");
                put.description = "other".into();
            })
            .await
            .unwrap();
        let (changed, _) = instances.get("c1").await.unwrap();
        assert_eq!(
            (calls, changed.description.as_str(), changed.config.get("user.phase")),
            (1, "other", None)
        );
        assert!(!instances.update("c1", |_| {}).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn snapshots_are_made_restored_and_deleted() {
    Stage::run("snapshots", async |client| {
        create(client, "c1", false).await;
        let instances = client.instances();
        let files = instances.files("c1");
        files.put("/root/f", "old", FileAttributes::default()).await.unwrap();
        let snapshot = SnapshotsPost { name: "s1".into(), ..SnapshotsPost::default() };
        instances.create_snapshot("c1", &snapshot).await.unwrap().wait().await.unwrap();
        files.put("/root/f", "new", FileAttributes::default()).await.unwrap();
        assert_eq!(instances.snapshots("c1").await.unwrap()[0].name, "s1");
        instances.restore_snapshot("c1", "s1", None).await.unwrap().wait().await.unwrap();
        assert_eq!(files.get("/root/f").await.unwrap().bytes().unwrap(), "old");
        instances
            .create(&InstancesPost::container("copy", InstanceSource::copy("c1/s1")))
            .await
            .unwrap()
            .wait()
            .await
            .unwrap();
        instances.delete_snapshot("c1", "s1").await.unwrap().wait().await.unwrap();
        assert!(instances.snapshots("c1").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_operation_that_ended_long_ago_is_still_told() {
    Stage::run("operations", async |client| {
        create(client, "c1", false).await;
        let operation = client.instances().set_state("c1", &StateChange::start()).await.unwrap();
        let mut stages = Vec::new();
        operation.wait_with_progress(|progress| stages.push(progress)).await.unwrap();
        // Incus forgets it after 5 s; there is no event for that.
        while !matches!(operation.refresh().await, Err(error) if error.is_not_found()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(operation.wait().await.unwrap().status_code, StatusCode::Success);
        let error = client.operation(operation.id()).await.unwrap_err();
        assert!(matches!(error, Error::Api { status: 404, .. }));
    })
    .await;
}

#[tokio::test]
async fn a_container_is_rebuilt_and_its_console_log_emptied() {
    Stage::run("rebuild", async |client| {
        create(client, "c1", true).await;
        let instances = client.instances();
        let mark = ExecRequest::new(["sh", "-c", "echo mark >/root/mark; echo on-the-console >/dev/console"]);
        assert_eq!(instances.exec_output("c1", &mark, b"").await.unwrap().code, 0);
        let mut log = Vec::new();
        while !String::from_utf8_lossy(&log).contains("on-the-console") {
            log.extend_from_slice(&instances.console_log("c1").await.unwrap());
        }
        assert_eq!(instances.exec_output("c1", &mark, b"").await.unwrap().code, 0);
        instances.clear_console_log("c1").await.unwrap();
        let left = instances.console_log("c1").await.unwrap();
        assert!(!String::from_utf8_lossy(&left).contains("on-the-console"));
        instances.set_state("c1", &StateChange::stop().force(true)).await.unwrap().wait().await.unwrap();
        instances.rebuild("c1", &image()).await.unwrap().wait().await.unwrap();
        let (instance, _) = instances.get("c1").await.unwrap();
        assert_eq!((instance.description.as_str(), instance.config["user.test"].as_str()), ("mine", "yes"));
        assert!(instances.files("c1").get("/root/mark").await.unwrap_err().is_not_found());
    })
    .await;
}

#[tokio::test]
async fn a_network_is_made_changed_and_deleted() {
    Stage::run("networks", async |client| {
        // An interface's name has at most 15 characters.
        let networks = client.networks();
        let name = format!("ict{}", std::process::id());
        let config = Config::from([
            ("ipv4.address".into(), "10.213.77.1/24".into()),
            ("ipv4.nat".into(), "false".into()),
            ("ipv6.address".into(), "none".into()),
        ]);
        networks.create(&NetworksPost::bridge(&name, config.clone())).await.unwrap();
        let changed = async {
            assert!(
                networks.create(&NetworksPost::bridge(&name, config)).await.unwrap_err().is_conflict(),
                "it is there"
            );
            let (network, etag) = networks.get(&name).await?;
            let mut config = network.config.clone();
            config.insert("user.test".into(), "yes".into());
            networks.put(&name, &config, "mine", Some(&etag)).await?;
            let stale = networks.put(&name, &config, "other", Some(&etag)).await;
            assert!(stale.unwrap_err().is_precondition_failed());
            networks.get(&name).await
        }
        .await;
        networks.delete(&name).await.unwrap();
        let (changed, _) = changed.unwrap();
        assert_eq!((changed.description.as_str(), changed.config["user.test"].as_str()), ("mine", "yes"));
        assert!(networks.get(&name).await.unwrap_err().is_not_found());
    })
    .await;
}

/// Runs tar in a directory.
fn tar(directory: &std::path::Path, arguments: &[&str]) {
    let ended = std::process::Command::new("tar").current_dir(directory).args(arguments).status();
    assert!(ended.expect("there is a tar").success());
}

#[tokio::test]
async fn an_image_is_imported_published_copied_between_projects_and_deleted() {
    Stage::run("images", async |client| {
        create(client, "c1", false).await;
        let own = format!("{}-own", client.project_name().unwrap());
        let _ = client.projects().delete_with_content(&own).await;
        client.projects().create(&own, &ProjectPut::default()).await.unwrap();
        let images = client.project(&own).images();
        let (known, _) = client.images().get_by_alias(image().alias.as_deref().unwrap()).await.unwrap();
        let done = async {
            let copy = images.copy_from_project("default", &known.fingerprint, &["copy/of"]).await?;
            copy.wait().await?;
            let (found, _) = images.get_by_alias("copy/of").await?;
            assert_eq!(found.fingerprint, known.fingerprint);
            images.create_alias("second", &found.fingerprint, "text").await?;
            assert!(images.create_alias("second", &found.fingerprint, "").await.unwrap_err().is_conflict());
            images.delete_alias("second").await?;
            images.delete(&found.fingerprint).await?.wait().await?;

            let directory = tempfile::tempdir().unwrap();
            let metadata = "architecture: x86_64\ncreation_date: 1760000000\nproperties: {os: test}\n";
            std::fs::write(directory.path().join("metadata.yaml"), metadata).unwrap();
            std::fs::create_dir_all(directory.path().join("rootfs/etc")).unwrap();
            std::fs::write(directory.path().join("rootfs/etc/hostname"), "h\n").unwrap();
            tar(directory.path(), &["-czf", "metadata.tar.gz", "metadata.yaml"]);
            tar(directory.path(), &["-czf", "rootfs.tar.gz", "-C", "rootfs", "."]);
            tar(directory.path(), &["-czf", "unified.tar.gz", "metadata.yaml", "rootfs"]);
            let file = |name: &str| directory.path().join(name);
            let mut import = ImageImport::default();
            import.properties.insert("release".into(), "a & b".into());
            let split =
                images.import_split(&file("metadata.tar.gz"), &file("rootfs.tar.gz"), &import).await?;
            let unified = images.import_unified(&file("unified.tar.gz"), &import).await?;
            for operation in [split, unified] {
                let ended = operation.wait().await?;
                let fingerprint = ended.fingerprint().unwrap();
                let (imported, _) = images.get(fingerprint).await?;
                assert_eq!(imported.properties["release"], "a & b");
                images.delete(fingerprint).await?.wait().await?;
            }
            let wrong = ImageImport { fingerprint: Some("ab".repeat(32)), ..ImageImport::default() };
            let refused = match images.import_unified(&file("unified.tar.gz"), &wrong).await {
                Ok(operation) => operation.wait().await.unwrap_err(),
                Err(error) => error,
            };
            assert!(refused.to_string().contains("ingerprint"), "{refused}");
            images.list().await
        }
        .await;
        let _ = client.projects().delete_with_content(&own).await;
        let _ = client.projects().delete(&own).await;
        assert!(done.unwrap().is_empty());

        let source = ImageSource::instance("c1");
        let mut post = ImagesPost::new(source, ["incus-client-test/published"]);
        post.compression_algorithm = "none".into();
        let published = client.images().create(&post).await.unwrap().wait().await.unwrap();
        client.images().delete(published.fingerprint().unwrap()).await.unwrap().wait().await.unwrap();
    })
    .await;
}
