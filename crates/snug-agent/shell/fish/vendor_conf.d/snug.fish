# Puts the container's name before the prompt, unless the prompt shows the host's name, which is the same, or finds out about the
# container by itself. With the first prompt, when the files of the shell's user have made theirs.
set -l directory /run/snug/shell
if test "$XDG_DATA_DIRS" = "$directory:/usr/local/share:/usr/share"
    set -e XDG_DATA_DIRS
else
    set -gx XDG_DATA_DIRS (string replace -- "$directory:" "" "$XDG_DATA_DIRS")
end
if status is-interactive; and set -q SNUG_PROMPT
    function __snug_first_prompt --on-event fish_prompt
        functions -e __snug_first_prompt
        if test "$SNUG_PROMPT_HINT" != always
            and functions fish_prompt | string match -qr 'hostname|prompt_login|starship'
            return
        end
        functions -c fish_prompt __snug_own_prompt
        function __snug_status
            return $argv[1]
        end
        function fish_prompt
            set -l last $status
            printf '%s' $SNUG_PROMPT
            __snug_status $last
            __snug_own_prompt
        end
    end
end
