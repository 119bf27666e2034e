//! A guest that plays one with apt: what it has is in files of the test's. Nothing of this machine's own packages is looked at or changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::TestEnv;
use super::agent::Agent;

/// What the guest's shell does: it knows the scripts that would look elsewhere, and finds the guest's programs.
const SHELL: &str = r#"#!/bin/sh
PATH=@place@/bin:/usr/bin:/bin
export PATH
case "$2" in
*os-release*) printf '/usr/bin/apt-get\nID=debian\n'; exit;;
*showmanual*) cat @place@/installed; sed 's/^/4000000000 /' @place@/installed; printf 'base-files\n1 base-files\n'; exit;;
*/var/lib/apt/lists*) date +%s; exit;;
*alternatives*) exit;;
*'/proc/[0-9]'*) echo /snug-agent/server; [ ! -e @place@/processes ] || cat @place@/processes; exit;;
esac
case "$4" in
/var/lib/snug/packages) set -- "$1" "$2" "$3" @place@/record;;
/var/lib/snug/packages.new) set -- "$1" "$2" "$3" @place@/record.new;;
esac
exec /bin/sh "$@"
"#;
/// What is moved is the record.
const MV: &str = "#!/bin/sh\nexec mv -f -- @place@/record.new @place@/record\n";
const APT_GET: &str = r#"#!/bin/sh
echo "$*" >> @place@/log
case "$*" in
*--simulate*) is_simulated=1;;
*) is_simulated=;;
esac
verb=
while [ $# -gt 0 ]; do
  case "$1" in
  install | remove | autoremove | update) verb=$1;;
  --) shift; break;;
  esac
  shift
done
for name; do
  case $verb in
  install)
    grep -qx "$name" @place@/available || { echo "E: Unable to locate package $name" >&2; exit 100; }
    [ "$name" != breaks ] || { echo "E: $name breaks" >&2; exit 100; };;
  esac
done
for name; do
  case $verb$is_simulated in
  install) grep -qx "$name" @place@/installed || echo "$name" >> @place@/installed;;
  remove1) echo "Remv $name [1.0]";;
  remove) sed -i "/^$name\$/d" @place@/installed;;
  esac
done
"#;
const DPKG_QUERY: &str = r#"#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
for name; do grep -qx "$name" @place@/installed && printf 'ii \t%s\t1.0\n' "$name"; done
exit 0
"#;
const APT_CACHE: &str = r#"#!/bin/sh
[ "$1" = policy ] || exit 0
shift 2
for name; do grep -qx "$name" @place@/available && printf '%s:\n  Candidate: 1.0\n' "$name"; done
exit 0
"#;

/// The guest.
pub struct Debian {
    place: PathBuf,
    pub agent: Agent,
}

impl TestEnv {
    /// Has a container answer as one with apt, whose repositories have `available`. Of commands it has `rg`, `fdfind` and `/opt/x/bin/tool`.
    pub fn debian(&self, container: &str, available: &[&str]) -> Debian {
        let place = self.system().join(format!("guest-{container}"));
        fs::create_dir_all(place.join("bin")).unwrap();
        fs::write(place.join("installed"), "").unwrap();
        fs::write(place.join("available"), available.join("\n") + "\n").unwrap();
        let script = |name: &str, text: &str| {
            let path = place.join("bin").join(name);
            fs::write(&path, text.replace("@place@", place.to_str().unwrap())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        // Another name than the one that its own lines call.
        let programs = [
            ("/bin/sh", script("guest-sh", SHELL)),
            ("apt-get", script("apt-get", APT_GET)),
            ("dpkg-query", script("dpkg-query", DPKG_QUERY)),
            ("apt-cache", script("apt-cache", APT_CACHE)),
            ("mv", script("guest-mv", MV)),
        ];
        let mut commands: Vec<(&str, &str)> =
            programs.iter().map(|(name, program)| (*name, program.as_str())).collect();
        commands
            .extend(["/usr/bin/rg", "/usr/bin/fdfind", "/opt/x/bin/tool"].map(|path| (path, "/bin/true")));
        let agent = self.agent(container, &commands);
        Debian { place, agent }
    }
}

impl Debian {
    /// What is installed, in order.
    pub fn installed(&self) -> Vec<String> {
        let mut names: Vec<String> = self.read("installed").lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// As a new disk.
    pub fn forget(&self) {
        fs::write(self.place.join("installed"), "").unwrap();
        let _ = fs::remove_file(self.place.join("record"));
    }

    /// Somebody has begun a command in it.
    pub fn begin(&self, command: &str) {
        fs::write(self.place.join("processes"), format!("0 /snug-agent/commands/3 {command}\n")).unwrap();
    }

    /// A file of its own: `record`, `log`.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.place.join(name)).unwrap_or_default()
    }
}
