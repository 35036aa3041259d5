
if ! whence compdef >/dev/null; then autoload -Uz compinit && compinit; fi
