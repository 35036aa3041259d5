package events

// Sealed is text of a person that only one key opens. The key is no part of the
// log: when it is destroyed the text is gone, and the log stays as it was.
type Sealed struct {
	Key   ID     `json:"key"`
	Nonce []byte `json:"nonce"`
	Text  []byte `json:"text"` // encrypted and authenticated
}

// PreferenceStated records that a person said what they prefer. Appended by the daemon
// for the one who said it; what was said is sealed.
type PreferenceStated struct {
	UID  int    `json:"uid"`
	Text Sealed `json:"text"`
}

// MemoryForgotten records that a person's memories are not to be known any more.
// Appended by the daemon once the keys of those that were sealed are destroyed.
type MemoryForgotten struct {
	UID int  `json:"uid"`
	All bool `json:"all,omitempty"`
	// Entries are names of memories; see package projections/memory.
	Entries []string `json:"entries,omitempty"`
}

// SuggestionDismissed records that a person does not want to hear a suggestion
// again. Appended by the daemon.
type SuggestionDismissed struct {
	UID        int    `json:"uid"`
	Suggestion string `json:"suggestion"`
}

// Kind implements [Fact].
func (*PreferenceStated) Kind() Kind    { return KindPreferenceStated }
func (*MemoryForgotten) Kind() Kind     { return KindMemoryForgotten }
func (*SuggestionDismissed) Kind() Kind { return KindSuggestionDismissed }

func (*PreferenceStated) fact()          {}
func (*PreferenceStated) standalone()    {}
func (*MemoryForgotten) fact()           {}
func (*MemoryForgotten) standalone()     {}
func (*SuggestionDismissed) fact()       {}
func (*SuggestionDismissed) standalone() {}
