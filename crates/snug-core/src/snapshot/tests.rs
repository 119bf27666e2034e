use proptest::prelude::*;

use super::*;

/// 2026-07-17T10:15:02Z.
const NOW: u64 = 1_784_283_302;

fn name(text: &str) -> SnapshotName {
    text.parse().unwrap()
}

fn taken(days_ago: &[u64]) -> Vec<SnapshotName> {
    days_ago.iter().map(|days| SnapshotName::new(NOW - days * DAY, [])).collect()
}

#[test]
fn a_name_says_when_it_was_taken_and_is_nobody_elses() {
    let first = SnapshotName::new(NOW, ["snap0"]);
    assert_eq!(first.as_str(), "snug-20260717T101502Z");
    let second = SnapshotName::new(NOW, [first.as_str()]);
    assert_eq!(second.as_str(), "snug-20260717T101502Z-2");
    assert_eq!(SnapshotName::new(NOW, [first.as_str(), second.as_str()]).as_str(), "snug-20260717T101502Z-3");
    assert_eq!((first.time(), second.time()), (NOW, NOW));
    assert_eq!(second.timestamp(), "2026-07-17T10:15:02Z");
}

#[test]
fn they_follow_each_other_by_their_names_whatever_incus_says() {
    let own = |name: &str| Snapshot::Own {
        name: name.parse().unwrap(),
        before: Occasion::default(),
        starts: false,
    };
    let foreign = |name: &str| Snapshot::Foreign(name.to_owned());
    let mut all = [
        own("snug-20260717T101502Z-10"),
        foreign("a"),
        own("snug-20260717T101502Z-2"),
        own("snug-20250717T101502Z"),
        foreign("b"),
        own("snug-20260717T101502Z"),
    ];
    put_in_order(&mut all);
    assert_eq!(
        all.each_ref().map(Snapshot::name),
        [
            "snug-20250717T101502Z",
            "a",
            "snug-20260717T101502Z",
            "snug-20260717T101502Z-2",
            "b",
            "snug-20260717T101502Z-10"
        ]
    );
}

#[test]
fn names_of_others_are_not_ours() {
    for other in [
        "",
        "snap0",
        "snug",
        "snug-",
        "snug-before",
        "snug-20260717T101502",
        "snug-20260717T101502Z-",
        "snug-20260717T101502Z-1",
        "snug-20260717T101502Z-02",
        "snug-20260717T101502Z-x",
        "snug-20260717T101502Zz",
        "snug-20260717 101502Z",
        "snug-20261317T101502Z",
        "snug-20260230T101502Z",
        "snug-20260717T241502Z",
        "snug-+0260717T101502Z",
        "snug-19691231T235959Z",
        "Snug-20260717T101502Z",
        "snug-2026071\u{e9}T10150Z",
    ] {
        assert!(other.parse::<SnapshotName>().is_err(), "{other}");
    }
    assert_eq!(name("snug-20240229T000000Z").timestamp(), "2024-02-29T00:00:00Z");
}

#[test]
fn what_is_beyond_the_number_or_the_age_goes_and_the_newest_stays() {
    let keep = |most, days| Keep { most, days };
    for (ages, rule, goes) in [
        (&[][..], keep(10, 30), &[][..]),
        (&[0][..], keep(10, 30), &[]),
        (&[3, 2, 1], keep(10, 30), &[]),
        (&[3, 2, 1], keep(2, 30), &[3]),
        (&[3, 2, 1], keep(1, 30), &[3, 2]),
        // At least one is kept, whatever is asked for.
        (&[3, 2, 1], keep(0, 30), &[3, 2]),
        (&[40, 31, 30, 1], keep(10, 30), &[40, 31]),
        // Both rules at once.
        (&[40, 5, 4, 1], keep(2, 30), &[40, 5]),
        // The newest is older than the age.
        (&[90, 80], keep(10, 30), &[90]),
        (&[90], keep(1, 0), &[]),
        // A clock that was wrong once: Incus' order counts, not the names'.
        (&[1, 5], keep(1, 30), &[1]),
    ] {
        assert_eq!(outdated(&taken(ages), NOW, rule, None), taken(goes), "{ages:?} {rule:?}");
    }
    let all = taken(&[3, 2, 1]);
    assert_eq!(outdated(&all, NOW, keep(1, 30), Some(&all[0])), taken(&[2]));
}

#[test]
fn a_pool_that_would_copy_takes_none() {
    for (driver, thin, ability) in [
        ("btrfs", None, Ability::Each),
        ("zfs", None, Ability::Latest),
        ("lvm", None, Ability::Each),
        ("lvm", Some("true"), Ability::Each),
        ("lvm", Some("False"), Ability::None),
        ("dir", None, Ability::None),
        ("ceph", None, Ability::None),
        ("lvmcluster", None, Ability::None),
        ("something-new", None, Ability::None),
    ] {
        let config =
            thin.map(|value| ("lvm.use_thinpool".to_owned(), value.to_owned())).into_iter().collect();
        assert_eq!(Ability::of(driver, &config), ability, "{driver} {thin:?}");
    }
}

#[test]
fn an_occasion_is_a_line_of_plain_text() {
    assert_eq!("  install ripgrep ".parse::<Occasion>().unwrap().as_str(), "install ripgrep");
    assert!("".parse::<Occasion>().is_ok());
    for bad in ["a\nb", "\u{1b}[2J", "\u{202e}x", &"x".repeat(MOST_WORDS + 1)] {
        assert!(bad.parse::<Occasion>().is_err(), "{bad:?}");
    }
}

#[test]
fn the_undo_of_an_undo_does_it_again() {
    let undone = |words: &str| words.parse::<Occasion>().unwrap().undone().to_string();
    assert_eq!(undone("install ripgrep"), "undo of install ripgrep");
    assert_eq!(undone("undo of install ripgrep"), "redo of install ripgrep");
    assert_eq!(undone("redo of install ripgrep"), "undo of install ripgrep");
    assert_eq!(undone(""), "undo");
    assert_eq!(undone("unfinished undo of install ripgrep"), "redo of install ripgrep");
    // What comes out can be read again.
    let long = undone(&"x".repeat(MOST_WORDS)).parse::<Occasion>().unwrap();
    let unfinished = long.unfinished();
    assert_eq!(unfinished.as_str().parse::<Occasion>().as_ref(), Ok(&unfinished));
    assert!(unfinished.is_unfinished() && !long.is_unfinished() && !unfinished.finished().is_unfinished());
}

proptest! {
    #[test]
    fn a_name_is_read_as_it_was_written(time in 0_u64..253_402_300_800, others in 0_usize..4) {
        let mut taken: Vec<SnapshotName> = Vec::new();
        for _ in 0..=others {
            let next = SnapshotName::new(time, taken.iter().map(SnapshotName::as_str));
            prop_assert_eq!(next.time(), time);
            prop_assert_eq!(next.as_str().parse::<SnapshotName>().unwrap(), next.clone());
            taken.push(next);
        }
    }

    #[test]
    fn reading_a_name_never_panics(text in "snug-.{0,24}|.{0,24}") {
        let _ = text.parse::<SnapshotName>();
    }
}
