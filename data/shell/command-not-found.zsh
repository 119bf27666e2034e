# Explains commands that are not there by what packages have (`snug shell-hook zsh`). Nothing changes for scripts, for output that
# is no terminal's, and where snug is missing; what it does not know goes to the handler that was there before.
if (( ! ${+functions[__snug_command_not_found]} )); then
    if (( ${+functions[command_not_found_handler]} )); then
        functions[__snug_earlier_command_not_found_handler]=${functions[command_not_found_handler]}
    fi
    function __snug_command_not_found {
        # zsh calls this in a process of its own. In what is called from here, nothing is explained again.
        if [[ -z ${__snug_explains-} ]]; then
            local __snug_explains=1 snug
            if [[ -o interactive && -t 2 ]] && snug="$(whence -p snug)" && "$snug" command-not-found -- "$1"; then
                return 127
            fi
            if (( ${+functions[__snug_earlier_command_not_found_handler]} )); then
                __snug_earlier_command_not_found_handler "$@"
                return
            fi
        fi
        # As zsh itself shows a word that a terminal would take for something else.
        print -ru2 -- "zsh: command not found: ${(V)1}"
        return 127
    }
    function command_not_found_handler {
        __snug_command_not_found "$@"
    }
fi
