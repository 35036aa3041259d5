
# Ctrl-X p replaces a description on the line with a command and does not run it.
function __cortex_fill
	set -l line (command cortex shell fill -- (commandline | string collect) </dev/null 2>/dev/null); or return
	commandline -r -- $line
	commandline -f repaint
end
if status is-interactive
	bind \cxp __cortex_fill
end
