//! The words that menus know: what is none of them is an error to `desktop-file-validate`, and means nothing to anybody.

/// Categories (Desktop Menu Specification, "Registered Categories"); not the reserved ones, which are for parts of one desktop.
const CATEGORIES: &[&str] = &[
    // The main ones.
    "AudioVideo",
    "Audio",
    "Video",
    "Development",
    "Education",
    "Game",
    "Graphics",
    "Network",
    "Office",
    "Science",
    "Settings",
    "System",
    "Utility",
    // The others.
    "Building",
    "Debugger",
    "IDE",
    "GUIDesigner",
    "Profiling",
    "RevisionControl",
    "Translation",
    "Calendar",
    "ContactManagement",
    "Database",
    "Dictionary",
    "Chart",
    "Email",
    "Finance",
    "FlowChart",
    "PDA",
    "ProjectManagement",
    "Presentation",
    "Spreadsheet",
    "WordProcessor",
    "2DGraphics",
    "VectorGraphics",
    "RasterGraphics",
    "3DGraphics",
    "Scanning",
    "OCR",
    "Photography",
    "Publishing",
    "Viewer",
    "TextTools",
    "DesktopSettings",
    "HardwareSettings",
    "Printing",
    "PackageManager",
    "Dialup",
    "InstantMessaging",
    "Chat",
    "IRCClient",
    "Feed",
    "FileTransfer",
    "HamRadio",
    "News",
    "P2P",
    "RemoteAccess",
    "Telephony",
    "TelephonyTools",
    "VideoConference",
    "WebBrowser",
    "WebDevelopment",
    "Midi",
    "Mixer",
    "Sequencer",
    "Tuner",
    "TV",
    "AudioVideoEditing",
    "Player",
    "Recorder",
    "DiscBurning",
    "ActionGame",
    "AdventureGame",
    "ArcadeGame",
    "BoardGame",
    "BlocksGame",
    "CardGame",
    "KidsGame",
    "LogicGame",
    "RolePlaying",
    "Shooter",
    "Simulation",
    "SportsGame",
    "StrategyGame",
    "Art",
    "Construction",
    "Music",
    "Languages",
    "ArtificialIntelligence",
    "Astronomy",
    "Biology",
    "Chemistry",
    "ComputerScience",
    "DataVisualization",
    "Economy",
    "Electricity",
    "Geography",
    "Geology",
    "Geoscience",
    "History",
    "Humanities",
    "ImageProcessing",
    "Literature",
    "Maps",
    "Math",
    "NumericalAnalysis",
    "MedicalSoftware",
    "Physics",
    "Robotics",
    "Spirituality",
    "Sports",
    "ParallelComputing",
    "Amusement",
    "Archiving",
    "Compression",
    "Electronics",
    "Emulator",
    "Engineering",
    "FileTools",
    "FileManager",
    "TerminalEmulator",
    "Filesystem",
    "Monitor",
    "Security",
    "Accessibility",
    "Calculator",
    "Clock",
    "TextEditor",
    "Documentation",
    "Adult",
    "Core",
    "KDE",
    "GNOME",
    "XFCE",
    "GTK",
    "Qt",
    "Motif",
    "Java",
    "ConsoleOnly",
];

/// Desktops (Desktop Menu Specification, "Registered OnlyShowIn Environments").
const DESKTOPS: &[&str] = &[
    "GNOME",
    "GNOME-Classic",
    "GNOME-Flashback",
    "KDE",
    "LXDE",
    "LXQt",
    "MATE",
    "Razor",
    "ROX",
    "TDE",
    "Unity",
    "XFCE",
    "EDE",
    "Cinnamon",
    "Pantheon",
    "Budgie",
    "Deepin",
    "Enlightenment",
    "COSMIC",
    "Endless",
    "DDE",
    "Old",
];

/// The first parts of types (RFC 6838, 4.2, and what freedesktop.org's shared-mime-info adds).
const MEDIA: &[&str] = &[
    "application",
    "audio",
    "chemical",
    "font",
    "image",
    "inode",
    "message",
    "model",
    "multipart",
    "text",
    "video",
    "x-content",
    "x-epoc",
    "x-scheme-handler",
];

/// Whether a category is one, or one of somebody's own (`X-…`).
#[must_use]
pub fn is_category(word: &str) -> bool {
    CATEGORIES.contains(&word) || is_extension(word)
}

/// Whether a desktop is one.
#[must_use]
pub fn is_desktop(word: &str) -> bool {
    DESKTOPS.contains(&word) || is_extension(word)
}

fn is_extension(word: &str) -> bool {
    let rest = word.strip_prefix("X-").unwrap_or_default();
    (1..=60).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a text is a type: `image/png`, `x-scheme-handler/mailto`.
/// None with `!#$&^`, which RFC 6838 has and nobody uses: people are told types in lines that they type.
#[must_use]
pub fn is_media_type(text: &str) -> bool {
    let Some((media, kind)) = text.split_once('/') else { return false };
    let is_kind = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte);
    MEDIA.contains(&media) && (1..=127).contains(&kind.len()) && kind.bytes().all(is_kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_are_none() {
        for (word, known) in [
            ("Graphics", true),
            ("X-Foo", true),
            ("Foo", false),
            ("Applet", false),
            ("X-", false),
            ("X-a b", false),
        ] {
            assert_eq!(is_category(word), known, "{word}");
        }
        for (word, known) in [("GNOME", true), ("gnome", false), ("X-Mine", true), ("", false)] {
            assert_eq!(is_desktop(word), known, "{word}");
        }
        for (text, known) in [
            ("image/svg+xml", true),
            ("x-scheme-handler/http", true),
            ("foo/bar", false),
            ("image/", false),
            ("image", false),
            ("image/a/b", false),
            ("image/a;b", false),
            ("x-scheme-handler/a&reboot", false),
            ("image/$IFS", false),
        ] {
            assert_eq!(is_media_type(text), known, "{text}");
        }
    }
}
