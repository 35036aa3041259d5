package events

// Sealed is text of a user, encrypted with a key that is not part of the log. When the
// key is destroyed the text is unreadable for ever, and the log is unchanged.
type Sealed struct {
	Key   ID     `json:"key"`
	Nonce []byte `json:"nonce"`
	Text  []byte `json:"text"` // encrypted and authenticated
}

// PreferenceStated records that a user stated a preference. Its text is sealed.
type PreferenceStated struct {
	UID  int    `json:"uid"`
	Text Sealed `json:"text"`
}

// MemoryForgotten records that remembered items of a user are deleted. It is appended
// after the keys of sealed items are destroyed.
type MemoryForgotten struct {
	UID int  `json:"uid"`
	All bool `json:"all,omitempty"`
	// Entries are the names of remembered items; see package projections/memory.
	Entries []string `json:"entries,omitempty"`
}

// SuggestionDismissed records that a user dismissed a suggestion for good.
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
