package slotcache

// Victims and ReadTokens are tested by themselves.
var (
	Victims    = selectVictims
	ReadTokens = readTokens
)
