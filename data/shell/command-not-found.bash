# Explains commands that are not there by what packages have (`snug shell-hook bash`). Nothing changes for scripts, for output that
# is no terminal's, and where snug is missing; what it does not know goes to the handler that was there before.
if ! declare -F __snug_command_not_found >/dev/null; then
    if declare -F command_not_found_handle >/dev/null; then
        eval "__snug_earlier_$(declare -f command_not_found_handle)"
    fi
    __snug_command_not_found() {
        # bash calls this in a process of its own. In what is called from here, nothing is explained again.
        if [[ -z ${__snug_explains-} ]]; then
            local __snug_explains=1 snug
            if [[ $- == *i* && -t 2 ]] && snug=$(type -P snug) && "$snug" command-not-found -- "$1"; then
                return 127
            fi
            if declare -F __snug_earlier_command_not_found_handle >/dev/null; then
                __snug_earlier_command_not_found_handle "$@"
                return
            fi
        fi
        # As bash itself shows a word that a terminal would take for something else.
        local __snug_shown=$1
        if [[ $1 == *[![:print:]]* ]]; then
            printf -v __snug_shown %q "$1"
        fi
        if [[ $- == *i* ]]; then
            printf '%s: %s: command not found\n' "$0" "$__snug_shown" >&2
        else
            printf '%s: line %s: %s: command not found\n' "$0" "${BASH_LINENO[1]-?}" "$__snug_shown" >&2
        fi
        return 127
    }
    command_not_found_handle() {
        __snug_command_not_found "$@"
    }
fi
