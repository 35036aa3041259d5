package kvcache

// Victims and ReadTokens are tested by themselves.
var (
	Victims    = victims
	ReadTokens = readTokens
)
