
# An existing handler for missing commands still runs, before this one.
if (( $+functions[command_not_found_handler] )) && ! (( $+functions[__cortex_missing_before] )); then
	functions -c command_not_found_handler __cortex_missing_before
fi
command_not_found_handler() {
	if (( $+functions[__cortex_missing_before] )); then
		__cortex_missing_before "$@"
	else
		print -ru2 -- "zsh: command not found: $1"
	fi
	command cortex shell missing -- "$1" </dev/null >&2
	return 127
}
