//! Scripts of Snug's own, for a command that has another name on the host than the one its completion is written for.

use std::path::Path;

use snug_core::name::ContainerName;

/// For bash: reads `file`, which is for one of `words`, and has its completion for `name`. What the host completes by one of the words is
/// as it was before.
pub fn bash(name: &str, words: &[&str], file: &Path, container: &ContainerName) -> Vec<u8> {
    const BODY: &str = r#"_snug_completion_of() {
    local name=$1 file=$2 word spec i
    local -a before
    shift 2
    for word; do
        before+=("$(complete -p -- "$word" 2>/dev/null)")
    done
    . "$file"
    spec=$(complete -p -- "$name" 2>/dev/null)
    i=0
    for word; do
        if [[ ! $spec ]]; then
            spec=$(complete -p -- "$word" 2>/dev/null)
            if [[ $spec == *" $word" ]]; then
                eval "${spec%" $word"} $(printf '%q' "$name")"
            else
                spec=
            fi
        fi
        if [[ ${before[i]} ]]; then
            eval "${before[i]}"
        else
            complete -r -- "$word" 2>/dev/null
        fi
        ((++i))
    done
}
"#;
    let words: String =
        words.iter().filter(|word| **word != name).map(|word| format!(" {}", quoted(word))).collect();
    format!(
        "# Written by Snug: a command of {container} by another name. It goes with `snug unexport`.\n{BODY}_snug_completion_of {} {}{words}\nunset -f _snug_completion_of\n",
        quoted(name),
        quoted(&file.display().to_string())
    )
    .into_bytes()
}

/// The same for fish.
pub fn fish(name: &str, word: &str, file: &Path, container: &ContainerName) -> Vec<u8> {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    format!(
        "# Written by Snug: a command of {container} by another name. It goes with `snug unexport`.\nsource {}\ncomplete -c {} -w {}\n",
        quoted(&file.display().to_string()),
        quoted(name),
        quoted(word)
    )
    .into_bytes()
}

/// As a POSIX shell takes a word for what it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// What bash completes by after it has read the script, and some lines before it.
    fn bash_says(before: &str, completion: &str, name: &str, words: &[&str]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let [file, script] = ["it's $(x) a \"file\"", "script"].map(|name| directory.path().join(name));
        fs::write(&file, completion).unwrap();
        fs::write(&script, bash(name, words, &file, &"dev".parse().unwrap())).unwrap();
        let line = format!("{before}\n. \"$1\"; complete -p; declare -F");
        let ran = Command::new("bash").args(["--norc", "-uc", &line, "bash"]).arg(&script).output().unwrap();
        assert!(ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    #[test]
    fn bash_completes_the_name_as_what_it_is() {
        let completion = "_fdfind() { COMPREPLY=(x); }\ncomplete -F _fdfind -o default fdfind\n";
        assert_eq!(
            bash_says("", completion, "fd", &["fdfind"]),
            "complete -o default -F _fdfind fd\ndeclare -f _fdfind\n"
        );
        // One that is for the name already.
        let completion = "_fd() { :; }; complete -F _fd fd\n";
        assert_eq!(
            bash_says("", completion, "fd", &["fd", "fdfind"]),
            "complete -F _fd fd\ndeclare -f _fd\n"
        );
    }

    #[test]
    fn what_the_host_completes_by_the_other_name_is_as_it_was() {
        let completion = "complete -W 'second' rg\n";
        let said = bash_says("complete -W 'first' rg", completion, "rg-web", &["rg"]);
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["complete -W 'first' rg", "complete -W 'second' rg-web"]);
        assert_eq!(bash_says("", "false\n", "rg-web", &["rg"]), "", "none is none");
    }

    #[test]
    fn a_name_is_a_word_whatever_is_in_it() {
        for name in ["a'b", "$(touch x)", "a b", "[", "`x`"] {
            let said = bash_says("", "complete -W 'x' tool\n", name, &["tool"]);
            assert!(said.starts_with("complete -W 'x' "), "{said}");
        }
        let text = fish("a'b\\", "to'ol", Path::new("/a 'b'"), &"dev".parse().unwrap());
        let text = String::from_utf8(text).unwrap();
        assert!(text.ends_with("source '/a \\'b\\''\ncomplete -c 'a\\'b\\\\' -w 'to\\'ol'\n"), "{text}");
    }
}
