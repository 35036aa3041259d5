
# An existing handler for missing commands still runs, before this one.
if functions -q fish_command_not_found; and not functions -q __cortex_missing_before
	functions -c fish_command_not_found __cortex_missing_before
end
function fish_command_not_found
	if functions -q __cortex_missing_before
		__cortex_missing_before $argv
	else
		echo "fish: Unknown command: $argv[1]" >&2
	end
	command cortex shell missing -- $argv[1] </dev/null >&2
end
