# Gives zsh its user's directory back, and adds a function that puts the container's name before the prompt, unless the prompt
# shows the host's name, which is the same.
if (( ${+SNUG_ZDOTDIR} )); then
    export ZDOTDIR=$SNUG_ZDOTDIR
    unset SNUG_ZDOTDIR
else
    unset ZDOTDIR
    # Where the system's own file chooses one unless there is one, it has found ours there.
    for snug_file in /etc/zsh/zshenv /etc/zshenv; do
        if [[ -r $snug_file && $(<$snug_file) == *ZDOTDIR* ]]; then
            source $snug_file
        fi
    done
    unset snug_file
fi
if [[ -o interactive && -n ${SNUG_PROMPT-} ]]; then
    snug_prompt() {
        case $PROMPT in
            *"${SNUG_PROMPT-}"*) ;;
            *%[mM]*) [[ ${SNUG_PROMPT_HINT-} != always ]] || PROMPT=$SNUG_PROMPT$PROMPT ;;
            *) PROMPT=$SNUG_PROMPT$PROMPT ;;
        esac
    }
    typeset -ga precmd_functions
    precmd_functions+=(snug_prompt)
fi
if [[ -r ${ZDOTDIR:-$HOME}/.zshenv ]]; then
    source ${ZDOTDIR:-$HOME}/.zshenv
fi
