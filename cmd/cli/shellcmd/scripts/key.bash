
# Ctrl-X p turns words on the line into a command, and runs nothing.
__cortex_fill() {
	local line
	line=$(command cortex shell fill -- "$READLINE_LINE" </dev/null) || return
	READLINE_LINE=$line READLINE_POINT=${#line}
}
if [[ $- == *i* ]]; then bind -x '"\C-xp": __cortex_fill'; fi
