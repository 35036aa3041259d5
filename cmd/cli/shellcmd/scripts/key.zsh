
# Ctrl-X p replaces a description on the line with a command and does not run it.
__cortex_fill() {
	local line
	line=$(command cortex shell fill -- "$BUFFER" </dev/null 2>/dev/null) || return
	BUFFER=$line CURSOR=${#line}
}
if [[ -o interactive ]]; then
	zle -N __cortex_fill
	bindkey '^Xp' __cortex_fill
fi
