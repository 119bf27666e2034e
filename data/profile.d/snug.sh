# Commands that were exported from containers (`snug export --bin`) are in ~/.local/bin, which not every distribution has on
# its users' PATH, or only where it was there at the login. Root has none.
case ${HOME-} in
*:*) ;;
/*)
    case :${PATH-}: in
    *:"$HOME/.local/bin":*) ;;
    *)
        if [ "$(id -u)" != 0 ]; then
            PATH=$HOME/.local/bin${PATH:+:$PATH}
            export PATH
        fi
        ;;
    esac
    ;;
esac
