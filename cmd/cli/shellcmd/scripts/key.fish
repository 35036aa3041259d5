
# Ctrl-X p turns words on the line into a command, and runs nothing.
function __cortex_fill
	set -l line (command cortex shell fill -- (commandline | string collect) </dev/null 2>/dev/null); or return
	commandline -r -- $line
	commandline -f repaint
end
if status is-interactive
	bind \cxp __cortex_fill
end
