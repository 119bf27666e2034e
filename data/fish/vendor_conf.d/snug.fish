# Commands that were exported from containers (`snug export --bin`) are in ~/.local/bin: see /etc/profile.d/snug.sh, which fish
# does not read. A script has what its caller has.
if begin; status is-login; or status is-interactive; end
    and string match -q '/*' -- "$HOME"
    and not contains -- $HOME/.local/bin $PATH
    and test (id -u) != 0
    set -gx PATH $HOME/.local/bin $PATH
end
