//! A guest whose apt and dpkg play what the test says: shell scripts, and files that they read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::TestEnv;
use super::agent::Agent;

/// A guest with packages. Its files:
///
/// | file | what |
/// |---|---|
/// | `installed` | `NAME VERSION`, a line each |
/// | `newer` | what `apt-get --simulate upgrade` says |
/// | `upgrade` | the script that an upgrade is |
/// | `states` | lines `STATE\tNAME` of packages that are half done, and others |
/// | `finish` | the script that `apt-get --fix-broken` is |
/// | `owners` | what `dpkg-query --search` says |
/// | `processes` | the control group of whoever asks, then `UID GROUP NAME`, a line each |
/// | `state` | what systemd says of itself |
/// | `log` | the words of each call of apt-get |
/// | `packages` | what Snug has recorded |
/// | `bin/NAME` | stands for `/usr/bin/NAME` |
/// | `opt/NAME` | stands for `/opt/NAME` |
pub struct Guest {
    pub place: PathBuf,
    pub agent: Agent,
}

/// The guest's shell: what it is asked about the machine it says of the guest, and its programs come first.
const SHELL: &str = r#"#!/bin/sh
case $2 in
*showmanual*) cut -d' ' -f1 PLACE/installed; exit ;;
*/etc/os-release*) printf '/usr/bin/apt-get\nID=debian\n'; exit ;;
*'/proc/[0-9]'*) cat PLACE/processes; exit ;;
esac
case $4 in
/var/lib/snug/*) set -- "$1" "$2" "$3" "PLACE/${4##*/}" ;;
esac
PATH=PLACE/programs:/usr/bin:/bin
export PATH
exec /bin/sh "$@"
"#;

const APT_GET: &str = r#"#!/bin/sh
printf '%s\n' "$*" >> PLACE/log
case " $* " in
*' --simulate '*) cat PLACE/newer; exit ;;
*' update '*) exit ;;
*' --fix-broken '*) PATH=/usr/bin:/bin; cd PLACE; . ./finish; exit ;;
*' upgrade '*|*' install '*) PATH=/usr/bin:/bin; cd PLACE; . ./upgrade; exit ;;
esac
echo "E: $*" >&2; exit 100
"#;

const DPKG_QUERY: &str = r#"#!/bin/sh
case " $* " in
*' --search '*) cat PLACE/owners; exit ;;
*Status-Status*) cat PLACE/states; exit ;;
esac
while [ "$1" != -- ] && [ $# -gt 0 ]; do shift; done
for name; do
  while read -r installed version; do
    [ "$name" = "$installed" ] && printf 'ii \t%s\t%s\n' "$name" "$version"
  done < PLACE/installed
done
exit 0
"#;

/// What is moved is what Snug has recorded.
const MV: &str = "#!/bin/sh\nexec mv -f -- PLACE/packages.new PLACE/packages\n";

const SYSTEMCTL: &str = "#!/bin/sh\ncat PLACE/state\n";

impl Guest {
    /// One with the packages `tool` and `other`, version 1, of which `tool` has a newer one, and the command `/usr/bin/tool`.
    pub fn new(environment: &TestEnv, container: &str) -> Self {
        let place = environment.home().join(format!("guest-{container}"));
        for directory in ["programs", "bin", "opt"] {
            fs::create_dir_all(place.join(directory)).unwrap();
        }
        let program = |name: &str, text: &str| {
            let file = place.join("programs").join(name);
            executable(&file, &text.replace("PLACE", place.to_str().unwrap()));
            file.to_str().unwrap().to_owned()
        };
        let shell = program("guest-sh", SHELL);
        let apt = program("apt-get", APT_GET);
        let dpkg = program("dpkg-query", DPKG_QUERY);
        let mv = program("guest-mv", MV);
        program("systemctl", SYSTEMCTL);
        program("dpkg", "#!/bin/sh\nprintf 'dpkg %s\\n' \"$*\" >> PLACE/log\n");
        let at = |file: &str| place.join(file).to_str().unwrap().to_owned();
        let commands = [
            ("/bin/sh", shell),
            ("apt-get", apt),
            ("dpkg-query", dpkg),
            ("mv", mv),
            ("/usr/bin/tool", at("bin/tool")),
            ("/opt/tool", at("opt/tool")),
        ];
        let commands: Vec<(&str, &str)> =
            commands.iter().map(|(path, program)| (*path, program.as_str())).collect();
        let agent = environment.agent(container, &commands);
        let guest = Self { place, agent };
        guest.write("installed", "tool 1\nother 1\n");
        guest.write("newer", "Inst tool [1] (2 bed [all])\nConf tool (2 bed [all])\n");
        guest.write("upgrade", "printf 'tool 2\\nother 1\\n' > installed\n");
        guest.write("states", "installed\ttool\ninstalled\tother\n");
        guest.write("finish", "echo 'installed\ttool' > states; printf 'tool 1\\nother 1\\n' > installed\n");
        guest.write("owners", "tool: /usr/bin/tool\n");
        guest.write("processes", "/snug-agent/commands/1\n");
        guest.write("state", "running\n");
        executable(&guest.place.join("bin/tool"), "#!/bin/sh\n");
        guest
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.place.join(file), text).unwrap();
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.place.join(file)).unwrap_or_default()
    }
}

pub fn executable(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}
