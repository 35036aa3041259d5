
# Ctrl-X p turns words on the line into a command, and runs nothing.
__cortex_fill() {
	local line
	line=$(command cortex shell fill -- "$BUFFER" </dev/null 2>/dev/null) || return
	BUFFER=$line CURSOR=${#line}
}
if [[ -o interactive ]]; then
	zle -N __cortex_fill
	bindkey '^Xp' __cortex_fill
fi
