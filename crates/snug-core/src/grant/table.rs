//! The table of all grants.

/// What follows a grant's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Nothing.
    None,
    /// Nothing, `=private` or `=PATH`.
    Home,
    /// `=PATH` in the home, absolute or relative to it.
    Island,
    /// `=SRC[:DST][:ro]`
    Mapping,
    /// Nothing or `:ro`.
    ReadOnly,
    /// `=/dev/…`
    Device,
    /// `=VID:PID`
    Usb,
    /// `=mirror`, `=nat`, `=host`, `=none`.
    Network,
    /// Nothing or `=cmd,…`
    Commands,
}

impl ValueKind {
    /// For help: what may follow the word.
    #[must_use]
    pub const fn syntax(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Home => "[=private|=PATH]",
            Self::Island => "=PATH",
            Self::Mapping => "=SRC[:DST][:ro]",
            Self::ReadOnly => "[:ro]",
            Self::Device => "=/dev/NODE",
            Self::Usb => "=VID:PID",
            Self::Network => "=mirror|nat|host|none",
            Self::Commands => "[=CMD,…]",
        }
    }
}

/// Whether a grant makes the container its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// When it lets the guest write into the owner's home.
    IfWritableHome,
}

/// Whether an administrator has to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    /// Never.
    No,
    /// Always.
    Yes,
    /// When it is writable.
    IfWritable,
    /// When the owner cannot reach or open it himself.
    IfUnreachable,
}

/// Whether this version carries a grant out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Now,
    /// It does not yet; a preset that has it goes without, or with the grant named here in its place.
    Later {
        /// A grant that stands in for it.
        instead: Option<&'static str>,
    },
    /// A grant that this version has never heard of.
    Unknown,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The word that is typed.
    pub word: &'static str,
    /// The value that this row is about, where one word has several rows.
    pub variant: Option<&'static str>,
    /// What follows the word.
    pub value: ValueKind,
    /// Given and revoked while the container runs.
    pub live: bool,
    /// Whether it makes the container its owner.
    pub trust: Trust,
    /// Whether an administrator has to agree.
    pub admin: Admin,
    /// Whether this version carries it out.
    pub support: Support,
    /// What it gives, for help.
    pub text: &'static str,
}

/// The reason that a refusal gives for what comes later.
pub(crate) const LATER: &str = "it comes with a later one";

const fn later(instead: Option<&'static str>) -> Support {
    Support::Later { instead }
}

macro_rules! rows {
    ($($word:literal $([$variant:literal])? $value:ident, $live:literal, $trust:ident, $admin:ident, $support:expr, $text:literal;)*) => {
        &[$(Row {
            word: $word,
            variant: rows!(@ $($variant)?),
            value: ValueKind::$value,
            live: $live,
            trust: Trust::$trust,
            admin: Admin::$admin,
            support: $support,
            text: $text,
        },)*]
    };
    (@) => { None };
    (@ $variant:literal) => { Some($variant) };
}

#[rustfmt::skip]
const TABLE: &[Row] = rows! {
    // word [variant]       value    live   trust           administrator  support  text
    "home"                  Home,     false, Yes,            No,            Support::Now, "the owner's home, at the same path";
    "home" ["private"]      Home,     false, No,             No,            Support::Now, "a home of its own, on the container's disk";
    "home" ["PATH"]         Home,     false, IfWritableHome, IfUnreachable, later(Some("home=private")), "a directory as home";
    "private"               Island,   true,  No,             No,            Support::Now, "an island in a shared home: this path is the container's own";
    "path"                  Mapping,  true,  IfWritableHome, IfUnreachable, later(None), "one directory or file of the host";
    "places"                None,     false, Yes,            No,            Support::Now, "/mnt, /media, /run/media, /srv, /tmp and /var/tmp of the host";
    "host"                  ReadOnly, false, Yes,            IfWritable,    later(None), "the host's root at /run/host";
    "session"               None,     true,  Yes,            No,            Support::Now, "the owner's session: display, sound, agents";
    "wayland"               None,     true,  No,             No,            later(None), "Wayland windows";
    "x11"                   None,     true,  Yes,            No,            later(None), "X11 windows";
    "audio"                 None,     true,  No,             No,            later(None), "sound";
    "session-bus"           None,     true,  No,             No,            later(None), "the session bus, filtered";
    "ssh-agent"             None,     true,  No,             No,            later(None), "the ssh agent";
    "gpg-agent"             None,     true,  No,             No,            later(None), "the gpg agent";
    "gpu"                   None,     true,  No,             No,            Support::Now, "graphics cards that the owner may open";
    "input"                 None,     true,  Yes,            No,            Support::Now, "keyboards, mice, game controllers that the owner may open";
    "kvm"                   None,     true,  No,             No,            Support::Now, "virtual machines, where the owner may run some";
    "device"                Device,   true,  No,             IfUnreachable, later(None), "one device node";
    "usb"                   Usb,      true,  No,             IfUnreachable, later(None), "one USB device, whenever it is plugged in";
    "devices"               None,     true,  No,             No,            Support::Now, "every device that the owner may open, as it comes and goes; keyboards and the like only with trust";
    "groups"                None,     false, No,             No,            later(None), "the owner's supplementary groups";
    "network" ["mirror"]    Network,  false, No,             No,            Support::Now, "the host's addresses, routes, names and ports";
    "network" ["nat"]       Network,  false, No,             No,            Support::Now, "a network behind the host's address";
    "network" ["host"]      Network,  false, Yes,            No,            Support::Now, "the host's own network";
    "network" ["none"]      Network,  false, No,             No,            Support::Now, "no network";
    "nesting"               None,     true,  No,             No,            Support::Now, "containers inside the container";
    "host-exec"             Commands, true,  Yes,            No,            Support::Now, "commands on the host, as the owner";
    "host-open"             None,     true,  No,             No,            Support::Now, "open links and files on the host";
    "privileged"            None,     false, Yes,            Yes,           later(None), "no user namespace: its root is the host's";
};

/// All rows.
#[must_use]
pub fn table() -> &'static [Row] {
    TABLE
}

/// The first row of a word.
#[must_use]
pub fn row(word: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.word == word)
}
