use proptest::prelude::*;

use super::*;

#[test]
fn values_get_one_spelling() {
    for (given, wanted) in [
        ("cpu=2", "cpu=2"),
        ("cpu=0-3,5", "cpu=0-3,5-5"),
        ("memory=4G", "memory=4GiB"),
        ("memory=512mib", "memory=512MiB"),
        ("memory=1 GiB", "memory=1GiB"),
        ("memory=1GB", "memory=976562.5KiB"),
        ("memory=50%", "memory=50%"),
        ("disk=20g", "disk=20GiB"),
        ("processes=1000", "processes=1000"),
        ("autostart=login", "autostart=login"),
    ] {
        let wanted = wanted.replace("976562.5KiB", "1000000000B");
        assert_eq!(given.parse::<Setting>().unwrap().to_string(), wanted);
    }
    for bad in [
        "cpu=0",
        "cpu=",
        "cpu=3-1",
        "cpu=1-",
        "memory=4X",
        "memory=0",
        "memory=101%",
        "memory=-1",
        "disk=1k",
        "disk=99999999999T",
        "processes=1",
        "autostart=yes",
        "cpu",
        "colour=red",
    ] {
        assert!(bad.parse::<Setting>().is_err(), "{bad}");
    }
}

#[test]
fn errors_say_what_is_taken() {
    let error = "memroy=1G".parse::<Setting>().unwrap_err();
    assert_eq!(error.hints(), ["did you mean 'memory'?"]);
    let error = "memory=1M".parse::<Setting>().unwrap_err();
    assert_eq!(error.to_string(), "'1M' is no value for 'memory': at least 32MiB are needed");
}

#[test]
fn incus_gets_its_limits_and_unknown_settings_are_kept() {
    let stored = r#"{"cpu":"2","disk":"20GiB","memory":"nonsense","warp":"9"}"#;
    let settings: Settings = serde_json::from_str(stored).unwrap();
    assert_eq!(settings.incus_config(), [("limits.cpu".to_owned(), "2".to_owned())].into());
    assert_eq!(settings.root_size().as_deref(), Some("20GiB"));
    assert_eq!(settings.autostart(), Autostart::No);
    assert_eq!(serde_json::to_string(&settings).unwrap(), stored);
}

proptest! {
    #[test]
    fn parsing_never_panics(text in any::<String>(), value in any::<String>()) {
        let _ = text.parse::<Setting>();
        for key in SettingKey::ALL {
            let _ = Setting::new(key, &value);
        }
    }

    #[test]
    fn what_is_read_is_written_again(
        text in "(cpu|memory|disk|processes|autostart)=([0-9]{1,6}[kmgtKMGT]?(i?[bB])?%?|[0-9]-[0-9](,[0-9])?|no|boot)"
    ) {
        if let Ok(setting) = text.parse::<Setting>() {
            prop_assert_eq!(setting.to_string().parse::<Setting>(), Ok(setting));
        }
    }
}
