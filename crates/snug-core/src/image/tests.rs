use proptest::prelude::*;

use super::*;

fn table() -> ImageTable {
    let url = "https://images.linuxcontainers.org".to_owned();
    let remote = Remote { name: "images".into(), url, protocol: Protocol::Simplestreams, certificate: None };
    let short = [
        ("debian", "images:debian/{13}"),
        ("fedora", "images:fedora/{43}"),
        ("arch", "images:archlinux"),
        ("tools", "local:debian/13"),
    ];
    ImageTable {
        remotes: [("images".to_owned(), remote)].into(),
        short_names: short.map(|(name, full)| (name.to_owned(), full.to_owned())).into(),
    }
}

#[test]
fn references_are_read_as_people_type_them() {
    for (given, full) in [
        ("images:debian/13", "images:debian/13"),
        ("images:debian/13/cloud", "images:debian/13/cloud"),
        ("local:my", "local:my"),
        ("local:debian/13", "local:debian/13"),
        ("file:/tmp/a b.tar.xz", "file:/tmp/a b.tar.xz"),
        ("file:rel:ative", "file:rel:ative"),
        ("debian", "images:debian/13"),
        ("debian:12", "images:debian/12"),
        ("debian/12", "images:debian/12"),
        ("debian/12/cloud", "images:debian/12/cloud"),
        ("fedora:43", "images:fedora/43"),
        ("arch", "images:archlinux"),
        ("tools", "local:debian/13"),
        ("0123456789abcdef", "0123456789abcdef"),
    ] {
        assert_eq!(table().parse(given).unwrap().to_string(), full, "{given}");
    }
}

#[test]
fn what_is_no_reference_says_what_works() {
    for (given, hint) in [
        ("debain", "did you mean 'debian'?"),
        ("imges:debian/13", "did you mean 'images:debian/13'?"),
        ("docker.io/library/debian:12", "'debian:12' works"),
        ("docker:debian", "'debian' works"),
        ("docker://arch:latest", "'arch' works"),
        ("/tmp/x.tar", "an archive is given as file:/tmp/x.tar"),
        ("mine", "an image of this host is spelled local:mine, one of a server images:mine"),
        (
            "quay.io/some/thing",
            "run the image inside a container: `snug run podman run …` (preset with nesting)",
        ),
    ] {
        assert_eq!(table().parse(given).unwrap_err().hints()[0], hint, "{given}");
    }
    for given in [
        "",
        "images:",
        ":x",
        "arch:5",
        "debian:",
        "images:a//b",
        "images:../x",
        "local:a b",
        "images:a\x1b",
        "file:",
    ] {
        let error = table().parse(given).unwrap_err();
        assert!(matches!(error, ImageError::Malformed { .. }), "{given:?}: {error:?}");
    }
}

#[test]
fn an_image_gives_a_container_its_name() {
    for (given, name) in [
        ("debian", "debian-13"),
        ("file:/tmp/My_Box.tar.xz", "my-box"),
        ("0123456789abcdef", "image-0123456789ab"),
    ] {
        assert_eq!(table().parse(given).unwrap().container_name().unwrap().as_str(), name);
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(given in any::<String>()) {
        let _ = (table().parse(&given), given.parse::<ImageRef>());
    }

    #[test]
    fn what_is_read_is_written_again(given in "(images|local|file|debian|[a-f0-9]{12}|x)?[:/]?[a-z0-9/.:]{0,12}") {
        if let Ok(image) = table().parse(&given) {
            prop_assert_eq!(image.to_string().parse::<ImageRef>(), Ok(image.clone()));
            prop_assert_eq!(table().parse(&image.to_string()), Ok(image));
        }
    }
}
