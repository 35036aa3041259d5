package slotcache

import "math"

// CacheType is a type of element that llama.cpp can keep its cache in.
type CacheType struct {
	Name string
	// Bytes for Elements elements; some types pack 32 of them with a scale.
	bytes, elements int64
}

// CacheTypes are the types of --cache-type-k and --cache-type-v, widest first.
func CacheTypes() []CacheType {
	return []CacheType{
		{"f32", 4, 1},
		{"f16", 2, 1},
		{"bf16", 2, 1},
		{"q8_0", 34, 32},
		{"q5_1", 24, 32},
		{"q5_0", 22, 32},
		{"q4_1", 20, 32},
		{"q4_0", 18, 32},
	}
}

// elements is how many elements the model keeps for each token.
func (m ModelInfo) elements() int64 {
	var heads int64
	for _, n := range m.HeadsKV {
		heads += int64(n)
	}
	if product := float64(heads) * float64(m.KeyLength+m.ValueLength); product > math.MaxInt64/8 {
		return math.MaxInt64 / 8
	}
	return heads * (m.KeyLength + m.ValueLength)
}

// BytesPerToken is what one token takes in the cache when keys and values are of
// this type.
func (m ModelInfo) BytesPerToken(t CacheType) int64 {
	n := m.elements()
	return n/t.elements*t.bytes + n%t.elements*t.bytes/t.elements
}

// Sizing is what one type of cache costs on one machine.
type Sizing struct {
	Type          string `json:"type"`
	BytesPerToken int64  `json:"bytes_per_token"`
	TokensPerGiB  int64  `json:"tokens_per_gib"`
	// LargestContext is in tokens: what fits beside the weights, but no more than
	// the model was trained for.
	LargestContext int64 `json:"largest_context"`
	// FullContextBytes is the cache of the whole trained context; 0 when the model
	// does not say how long that is.
	FullContextBytes int64 `json:"full_context_bytes,omitempty"`
}

// MemoryBudget is what a model may use.
type MemoryBudget struct {
	MemoryBytes  int64 `json:"memory_bytes"`  // available to a new process
	WeightsBytes int64 `json:"weights_bytes"` // the model's files
	ReserveBytes int64 `json:"reserve_bytes"` // kept for the engine's buffers and for others
}

// reservePart is the part of the memory that is left for the engine's own buffers
// and for everybody else.
const reservePart = 10

// NewMemoryBudget sets a tenth of the memory aside.
func NewMemoryBudget(memory, weights int64) MemoryBudget {
	return MemoryBudget{MemoryBytes: memory, WeightsBytes: weights, ReserveBytes: memory / reservePart}
}

// available is what is left for the cache; never negative.
func (r MemoryBudget) available() int64 { return max(0, r.MemoryBytes-r.WeightsBytes-r.ReserveBytes) }

// Sizes advises for every type of cache.
func (m ModelInfo) Sizes(r MemoryBudget) []Sizing {
	var out []Sizing
	for _, t := range CacheTypes() {
		s := Sizing{Type: t.Name, BytesPerToken: m.BytesPerToken(t)}
		s.LargestContext = m.ContextLength
		if s.BytesPerToken > 0 {
			s.TokensPerGiB = (1 << 30) / s.BytesPerToken
			fits := r.available() / s.BytesPerToken
			if s.LargestContext == 0 || fits < s.LargestContext {
				s.LargestContext = fits
			}
			if s.BytesPerToken <= math.MaxInt64/max(1, m.ContextLength) {
				s.FullContextBytes = s.BytesPerToken * m.ContextLength
			}
		}
		out = append(out, s)
	}
	return out
}

// String names the type.
func (t CacheType) String() string { return t.Name }
