
# An existing handler for missing commands still runs, before this one.
if declare -F command_not_found_handle >/dev/null && ! declare -F __cortex_missing_before >/dev/null; then
	eval "__cortex_missing_before() $(declare -f command_not_found_handle | tail -n +2)"
fi
command_not_found_handle() {
	if declare -F __cortex_missing_before >/dev/null; then
		__cortex_missing_before "$@"
	else
		printf 'bash: %s: command not found\n' "$1" >&2
	fi
	command cortex shell missing -- "$1" </dev/null >&2
	return 127
}
