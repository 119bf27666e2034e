# Puts the container's name before the prompt, unless the prompt shows the host's name, which is the same. PROMPT_COMMAND runs it
# before each prompt, when the files of the shell's user have made theirs. What stood in $? stays for what runs after it.
__snug_status=$?
case ${PS1-} in
    *"${SNUG_PROMPT-}"*) ;;
    *\\[hH]*) [ "${SNUG_PROMPT_HINT-}" != always ] || PS1=$SNUG_PROMPT$PS1 ;;
    *) PS1=$SNUG_PROMPT$PS1 ;;
esac
return "$__snug_status"
