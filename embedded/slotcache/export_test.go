package slotcache

// Unexported functions with tests of their own.
var (
	Victims    = selectVictims
	ReadTokens = readTokens
)
