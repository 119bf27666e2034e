# Explains commands that are not there by what packages have (`snug shell-hook fish`). Nothing changes for scripts, for output that
# is no terminal's, and where snug is missing; what it does not know goes to the handler that was there before. fish 3.2 and later.
if not functions --query __snug_command_not_found
    if functions --query fish_command_not_found
        functions --copy fish_command_not_found __snug_earlier_command_not_found
    end
    function __snug_command_not_found
        # In what is called from here, nothing is explained again.
        if not set --query __snug_explains
            # Local, so that it is gone after Ctrl-C, too; functions that are called see a local variable when it is exported.
            set --local --export __snug_explains 1
            if status is-interactive; and isatty stderr
                set --local snug (command --search snug)
                and command $snug command-not-found -- $argv[1]
                and return 127
            end
            if functions --query __snug_earlier_command_not_found
                __snug_earlier_command_not_found $argv
                return 127
            end
        end
        printf 'fish: Unknown command: %s\n' (string escape -- $argv[1]) >&2
        return 127
    end
    function fish_command_not_found
        __snug_command_not_found $argv
    end
end
