package slotcache

import "math"

// CacheType is an element type of llama.cpp's key-value cache.
type CacheType struct {
	Name string
	// A block of this many elements has this many bytes. Some types pack 32 elements with
	// a scale.
	bytes, elements int64
}

// CacheTypes returns the types of --cache-type-k and --cache-type-v, largest first.
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

// elements returns how many elements the cache has for each token.
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

// BytesPerToken returns the size of one token in a cache with keys and values of this type.
func (m ModelInfo) BytesPerToken(t CacheType) int64 {
	n := m.elements()
	return n/t.elements*t.bytes + n%t.elements*t.bytes/t.elements
}

// Sizing is the size of a cache with one type on one machine.
type Sizing struct {
	Type          string `json:"type"`
	BytesPerToken int64  `json:"bytes_per_token"`
	TokensPerGiB  int64  `json:"tokens_per_gib"`
	// LargestContext is how many tokens fit into memory besides the weights. It is not
	// more than the model was trained for.
	LargestContext int64 `json:"largest_context"`
	// FullContextBytes is the size of the cache for the whole trained context; 0 when
	// that is unknown.
	FullContextBytes int64 `json:"full_context_bytes,omitempty"`
}

// MemoryBudget is the memory for a model.
type MemoryBudget struct {
	MemoryBytes  int64 `json:"memory_bytes"`  // available to a new process
	WeightsBytes int64 `json:"weights_bytes"` // the model's files
	ReserveBytes int64 `json:"reserve_bytes"` // for the engine's buffers and for other processes
}

// reservePart is the divisor of the memory that is reserved.
const reservePart = 10

// NewMemoryBudget returns a budget that reserves a tenth of the memory.
func NewMemoryBudget(memory, weights int64) MemoryBudget {
	return MemoryBudget{MemoryBytes: memory, WeightsBytes: weights, ReserveBytes: memory / reservePart}
}

// available returns the memory for the cache. It is never negative.
func (r MemoryBudget) available() int64 { return max(0, r.MemoryBytes-r.WeightsBytes-r.ReserveBytes) }

// Sizes returns the sizing for every cache type.
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

// String returns the name of the type.
func (t CacheType) String() string { return t.Name }
