//! A simplestreams server with the bed's images, for suites: https on a port of the loopback interface that the system
//! picks, with a certificate that is made for it. It lives in the suite's process and a temporary directory, and so leaves
//! nothing, however the suite ends.
//!
//! Incus trusts it because the image's source names the certificate (Snug's `[remotes.NAME] certificate`), so that neither
//! the host's authorities nor the environment of an incusd that may not be the bed's have to be touched.

mod https;
mod tree;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

use crate::error::{Doing, Error, Result};

/// How long a test waits for a client to get to a place.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server; it stops when dropped.
#[derive(Debug)]
pub struct ImageServer {
    dir: TempDir,
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
    offered: Vec<tree::Offer>,
}

/// What the threads of the server share.
#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    gate: Mutex<Gate>,
    changed: Condvar,
}

/// Where answers stop in the middle.
#[derive(Debug, Default)]
struct Gate {
    /// Files whose path ends so are sent by half.
    held: Option<String>,
    /// Clients that wait for the other half.
    waiting: usize,
}

impl ImageServer {
    /// A server without images.
    ///
    /// # Errors
    /// What the system says.
    pub fn start() -> Result<ImageServer> {
        // Below /var/tmp, since root file systems may be copied into it.
        let dir = tempfile::Builder::new()
            .prefix("snug-image-server")
            .tempdir_in("/var/tmp")
            .doing(|| "making a directory in /var/tmp".to_owned())?;
        let config = Arc::new(tls(&dir.path().join("certificate.pem"))?);
        let root = dir.path().join("root");
        let tree = root.join(name(&dir));
        fs::create_dir_all(&tree).doing(|| format!("making {}", tree.display()))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .doing(|| "listening on the loopback interface".to_owned())?;
        let address = listener.local_addr().doing(|| "asking for the port".to_owned())?;
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let accept = move || https::serve(&listener, &config, &root, &theirs);
        let listener = Some(std::thread::spawn(accept));
        let server = ImageServer { dir, address, shared, listener, offered: Vec::new() };
        tree::write_lists(&tree, &[])?;
        Ok(server)
    }

    /// Its address, as a remote's `url`. The path is this server's alone: Incus keeps what it read from an address for an
    /// hour, and a port may come back.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/{}", self.address, name(&self.dir))
    }

    /// The file with its certificate, as a remote's `certificate`.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("certificate.pem")
    }

    /// The table of Snug's configuration that makes it the remote `name`.
    #[must_use]
    pub fn remote(&self, name: &str) -> String {
        format!(
            "[remotes.{name}]\nurl = \"{}\"\nprotocol = \"simplestreams\"\ncertificate = \"{}\"\n",
            self.url(),
            self.certificate().display()
        )
    }

    /// Offers an image of the bed (`debian/13`) under an alias. Its metadata is new, so that no Incus has it already.
    /// Gives its fingerprint.
    ///
    /// # Errors
    /// The bed has not built it.
    pub fn offer(&mut self, image: &str, alias: &str) -> Result<String> {
        let offer = tree::Offer::make(&self.tree(), image, alias, self.address.port(), self.offered.len())?;
        let fingerprint = offer.fingerprint().to_owned();
        self.offered.push(offer);
        tree::write_lists(&self.tree(), &self.offered)?;
        Ok(fingerprint)
    }

    /// Sends other bytes than the lists announce for an alias' root file system.
    ///
    /// # Errors
    /// No such alias, or what the system says.
    pub fn spoil(&self, alias: &str) -> Result<()> {
        let offer = self.offered.iter().find(|offer| offer.alias() == alias);
        offer.ok_or_else(|| Error::Unfit(format!("{alias} is not offered")))?.spoil(&self.tree())
    }

    /// Sends only the first half of files whose path ends so, until [`ImageServer::go_on`] or its end.
    pub fn hold(&self, ending: &str) {
        self.gate().held = Some(ending.to_owned());
    }

    /// Waits until a client got its half.
    ///
    /// # Errors
    /// None came.
    pub fn wait_held(&self) -> Result<()> {
        let waiting = |gate: &mut Gate| gate.waiting == 0;
        let (gate, _) = self
            .shared
            .changed
            .wait_timeout_while(self.gate(), PATIENCE, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if gate.waiting > 0 {
            return Ok(());
        }
        Err(Error::Deadline { what: "a client of the image server".into(), deadline: PATIENCE })
    }

    /// Sends the other halves.
    pub fn go_on(&self) {
        self.gate().held = None;
        self.shared.changed.notify_all();
    }

    /// Ends it as a crash would: nobody listens any more, and who waits for the rest of a file gets none. Its certificate
    /// stays.
    pub fn stop(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        self.shared.stopped.store(true, Ordering::Release);
        self.go_on();
        // accept(2) returns for a connection alone.
        drop(TcpStream::connect(self.address));
        let _ = listener.join();
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("root").join(name(&self.dir))
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ImageServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Stays here as long as such files are held.
    fn pass(&self, path: &Path) {
        let path = path.to_string_lossy();
        let is_held =
            |gate: &mut Gate| gate.held.as_ref().is_some_and(|ending| path.ends_with(ending.as_str()));
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_held(&mut gate) {
            return;
        }
        gate.waiting += 1;
        self.changed.notify_all();
        let mut gate = self.changed.wait_while(gate, is_held).unwrap_or_else(PoisonError::into_inner);
        gate.waiting -= 1;
    }
}

/// The directory's name: nobody else's.
fn name(dir: &TempDir) -> String {
    dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A certificate for the loopback address, and who shows it.
fn tls(certificate: &Path) -> Result<ServerConfig> {
    let odd = |error: &dyn std::error::Error| io::Error::other(error.to_string());
    let own = rcgen::generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()])
        .map_err(|error| odd(&error))
        .doing(|| "making a certificate".to_owned())?;
    fs::write(certificate, own.cert.pem()).doing(|| format!("writing {}", certificate.display()))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key))
        .map_err(|error| odd(&error))
        .doing(|| "using the certificate".to_owned())
}
