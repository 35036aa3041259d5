
# Ctrl-X p replaces a description on the line with a command and does not run it.
__cortex_fill() {
	local line
	line=$(command cortex shell fill -- "$READLINE_LINE" </dev/null) || return
	READLINE_LINE=$line READLINE_POINT=${#line}
}
if [[ $- == *i* ]]; then bind -x '"\C-xp": __cortex_fill'; fi
