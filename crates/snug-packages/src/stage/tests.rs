use super::*;
use crate::read::hostile;

const ALL: [Format; 6] =
    [Format::Apt, Format::Dnf, Format::Dnf5, Format::Pacman, Format::Zypper, Format::Apk];

fn events(format: Format, output: &[u8]) -> Vec<Event> {
    let mut stages = Stages::new(format);
    let mut all = Vec::new();
    // As it may arrive.
    for part in output.chunks(7) {
        stages.feed(part, |event| all.push(event));
    }
    stages.finish(|event| all.push(event));
    all
}

/// Step, package, number, percent.
type Told = (Step, String, Option<Number>, Option<u8>);

/// What was told of stages.
fn told(format: Format, output: &str) -> Vec<Told> {
    let stages = events(format, output.as_bytes()).into_iter().filter_map(|event| match event {
        Event::Stage(stage) => Some(stage),
        Event::Line(_) => None,
    });
    stages
        .map(|s| (s.step, s.package.map(|p| p.to_string()).unwrap_or_default(), s.number, s.percent))
        .collect()
}

#[test]
fn nothing_that_a_guest_writes_is_too_much() {
    let mut outputs = hostile();
    outputs.extend([
        b"pmstatus:\npmstatus:::::\npmstatus:x:nan:Unpacking x\npmstatus:x:1e99:y\npmstatus:x:-1:y\ndlstatus:1:50:of of 1 0\n".to_vec(),
        b"(/) x\n(0/0) Installing x\n(2/1) Installing x\n(99999999999/1) Installing x\n(1/1 Installing x\n(1/1)\n[1/1]\n[1/1] x\n".to_vec(),
        b"Packages (4294967295)\ninstalling -x...\nPackages (-1)\n   downloading...\n-1 downloading...\n".to_vec(),
        b"  Installing       : \n  Installing : x\n   : 1/1\nRunning transaction\n[1/2] Installing\n".to_vec(),
    ]);
    for format in ALL {
        for output in &outputs {
            for event in events(format, output) {
                match event {
                    Event::Line(line) => {
                        assert!(line.len() <= 4 * MAX_LINE);
                        assert!(!line.chars().any(char::is_control), "{line:?}");
                    }
                    Event::Stage(stage) => {
                        assert!(stage.percent.is_none_or(|percent| percent <= 100));
                        assert!(stage.number.is_none_or(|(first, all)| (1..=all).contains(&first)));
                    }
                }
            }
        }
    }
}

#[test]
fn apt_tells_by_a_descriptor_of_its_own() {
    // apt 2.6.1, its two streams in one; "Selecting" without its newline yet.
    let output = "Get:1 file:/repo/deb ./ InRelease\nNeed to get 0 B/1524 B of archives.\ndlstatus:1:0.0000:Retrieving file 1 of 2\n\
        dlstatus:2:49.2651:Retrieving file 2 of 2\npmstatus:dpkg-exec:0.0000:Running dpkg\n(Reading database ... 5%pmstatus:snuglib:11.1111:Unpacking snuglib (amd64)\n\
        pmstatus:libc6:amd64:22.5:Preparing libc6 (amd64)\npmstatus:snuglib:44.4444:Preparing to configure snuglib (amd64)\n\
        pmstatus:snuglib:66.6667:Installed snuglib (amd64)\npmstatus:snuglib:70:Removing snuglib (amd64)\npmerror:x:71:went wrong\n";
    assert_eq!(
        told(Format::Apt, output),
        [
            (Step::Refresh, String::new(), None, None),
            (Step::Download, String::new(), Some((1, 2)), Some(0)),
            (Step::Download, String::new(), Some((2, 2)), Some(49)),
            (Step::Unpack, "snuglib".into(), None, Some(11)),
            (Step::Unpack, "libc6".into(), None, Some(22)),
            (Step::Configure, "snuglib".into(), None, Some(44)),
            (Step::Configure, "snuglib".into(), None, Some(66)),
            (Step::Remove, "snuglib".into(), None, Some(70)),
        ]
    );
    let lines: Vec<_> = events(Format::Apt, output.as_bytes())
        .into_iter()
        .filter_map(|event| if let Event::Line(line) = event { Some(line) } else { None })
        .collect();
    assert_eq!(
        lines,
        [
            "Get:1 file:/repo/deb ./ InRelease",
            "Need to get 0 B/1524 B of archives.",
            "(Reading database ... 5%"
        ]
    );
}

#[test]
fn dnf_counts_the_steps_of_its_transaction() {
    // dnf 4.14.0; the download as it is with several packages.
    let output = "Downloading Packages:\n(1/2): snuglib-1.0-1.noarch.rpm                  1.2 MB/s | 6.0 kB     00:00    \nRunning transaction\n  \
        Preparing        :                                                        1/1 \n  \
        Installing       : snuglib-1.0-1.noarch                                   1/3 \n  \
        Upgrading        : snug-tool-2:1.1-1.noarch                               2/3 \n  \
        Cleanup          : snug-tool-1.0-1.noarch                                 3/3 \n  \
        Verifying        : snuglib-1.0-1.noarch                                   1/3 \n";
    assert_eq!(
        told(Format::Dnf, output),
        [
            (Step::Download, String::new(), None, None),
            (Step::Download, "snuglib".into(), Some((1, 2)), None),
            (Step::Configure, String::new(), Some((1, 1)), None),
            (Step::Unpack, "snuglib".into(), Some((1, 3)), None),
            (Step::Unpack, "snug-tool".into(), Some((2, 3)), None),
            (Step::Remove, "snug-tool".into(), Some((3, 3)), None),
            (Step::Configure, "snuglib".into(), Some((1, 3)), None),
        ]
    );
}

#[test]
fn dnf5_counts_downloads_and_then_its_transaction() {
    // dnf5 5.4.6, standard error
    let output = "Updating and loading repositories:\n bed                                    100% | 275.7 KiB/s |   3.9 KiB |  00m00s\n\
        [1/3] snugmeta-0:1.0-1.noarch           100% | 541.9 KiB/s |   5.4 KiB |  00m00s\n\
        [3/3] Total                             100% | 795.0 KiB/s |  17.5 KiB |  00m00s\nRunning transaction\n\
        [1/5] Verify package files              100% |   0.0   B/s |   3.0   B |  00m00s\n\
        [3/5] Installing snuglib-0:1.0-1.noarch 100% |  16.5 KiB/s | 288.0   B |  00m00s\n\
        [4/5] Removing snugtool-0:1.0-1.noarc 100% |  72.3 KiB/s | 444.0   B |  00m00s\n";
    assert_eq!(
        told(Format::Dnf5, output),
        [
            (Step::Refresh, String::new(), None, None),
            (Step::Download, "snugmeta".into(), Some((1, 3)), None),
            (Step::Configure, String::new(), Some((1, 5)), None),
            (Step::Unpack, "snuglib".into(), Some((3, 5)), None),
            (Step::Remove, "snugtool".into(), Some((4, 5)), None),
        ]
    );
}

#[test]
fn pacman_says_how_many_there_will_be() {
    // pacman 6.0.2 with --noprogressbar; the last line as it is with the bar.
    let output = ":: Synchronizing package databases...\n bed downloading...\nPackages (3) snuglib-1.0-1  snugtool-1.0-1  snugmeta-1.0-1\n\
        :: Retrieving packages...\n snug-tool-1.0-1-any downloading...\n:: Processing package changes...\ninstalling snuglib...\n\
        installing snugtool...\nremoving snugmeta...\n(2/7) upgrading linux                 [######] 100%\n";
    assert_eq!(
        told(Format::Pacman, output),
        [
            (Step::Refresh, String::new(), None, None),
            (Step::Download, String::new(), None, None),
            (Step::Download, "snug-tool".into(), None, None),
            (Step::Unpack, "snuglib".into(), Some((1, 3)), None),
            (Step::Unpack, "snugtool".into(), Some((2, 3)), None),
            (Step::Remove, "snugmeta".into(), Some((3, 3)), None),
            (Step::Unpack, "linux".into(), Some((2, 7)), None),
        ]
    );
}

#[test]
fn zypper_counts_downloads_and_installations() {
    // zypper 1.14.42; "Retrieving:" and the padded number are of newer ones.
    let output = "Retrieving repository 'bed' metadata [.done]\nRetrieving package snuglib-1.0-1.noarch (1/3),   6.0 KiB (   27   B unpacked)\n\
        Retrieving: snug-tool-1.0-1.noarch (bed) (2/3),   6.0 KiB\nChecking for file conflicts: [......done]\n\
        (1/3) Installing: snuglib-1.0-1.noarch [....done]\n( 2/13) Installing: snug-tool-1.0-1.noarch [...done]\n(1/1) Removing snugother-1.0-1.noarch [.....done]\n";
    assert_eq!(
        told(Format::Zypper, output),
        [
            (Step::Refresh, String::new(), None, None),
            (Step::Download, "snuglib".into(), Some((1, 3)), None),
            (Step::Download, "snug-tool".into(), Some((2, 3)), None),
            (Step::Unpack, "snuglib".into(), Some((1, 3)), None),
            (Step::Unpack, "snug-tool".into(), Some((2, 13)), None),
            (Step::Remove, "snugother".into(), Some((1, 1)), None),
        ]
    );
}

#[test]
fn apk_counts_what_it_does() {
    // apk-tools 3.0.8
    let output = "fetch file:///repo/x86_64/APKINDEX.tar.gz\n(1/3) Installing snuglib (1.0-r0)\n( 2/10) Upgrading snugtool (1.0-r0 -> 1.1-r0)\n\
        (3/3) Purging snugmeta (1.0-r0)\nExecuting busybox-1.37.0-r30.trigger\nOK: 67.8 MiB in 62 packages\n";
    assert_eq!(
        told(Format::Apk, output),
        [
            (Step::Refresh, String::new(), None, None),
            (Step::Unpack, "snuglib".into(), Some((1, 3)), None),
            (Step::Unpack, "snugtool".into(), Some((2, 10)), None),
            (Step::Remove, "snugmeta".into(), Some((3, 3)), None),
            (Step::Configure, String::new(), None, None),
        ]
    );
}
