package slotcache

import (
	"errors"
	"fmt"
	"math"
)

// ModelInfo is the part of a GGUF header that determines the size of the cache.
type ModelInfo struct {
	Architecture  string   `json:"architecture"`
	Name          string   `json:"name,omitempty"`
	Layers        int      `json:"layers"`
	ContextLength int64    `json:"context_length"` // tokens the model was trained for; 0 when unknown
	HeadsKV       []uint32 `json:"heads_kv"`       // for each layer
	KeyLength     int64    `json:"key_length"`     // elements for each head
	ValueLength   int64    `json:"value_length"`
	Splits        int      `json:"splits,omitempty"` // number of files, when more than one
	// Notes explain why the computed size is an upper bound, or what it does not include.
	Notes []string `json:"notes,omitempty"`
}

// number returns a value as a number. ok is false when it is missing or too large.
func (h ggufHeader) number(key string) (n int64, ok bool) {
	v, ok := h[key].(uint64)
	if !ok || v > math.MaxInt32 {
		return 0, false
	}
	return int64(v), true
}

// model returns the ModelInfo of a header.
func (h ggufHeader) model() (ModelInfo, error) {
	arch, _ := h["general.architecture"].(string)
	if arch == "" {
		return ModelInfo{}, errors.New("it has no general.architecture")
	}
	m := ModelInfo{Architecture: arch}
	m.Name, _ = h["general.name"].(string)
	layers, ok := h.number(arch + ".block_count")
	if !ok || layers < 1 || layers > maxLayers {
		return ModelInfo{}, errors.New("the number of layers is missing or invalid")
	}
	m.Layers = int(layers)
	m.ContextLength, _ = h.number(arch + ".context_length")
	if splits, ok := h.number("split.count"); ok && splits > 1 {
		m.Splits = int(splits)
	}
	if err := h.heads(&m); err != nil {
		return ModelInfo{}, err
	}
	h.notes(&m)
	return m, nil
}

// heads sets the number and the size of the heads of each layer.
func (h ggufHeader) heads(m *ModelInfo) error {
	arch := m.Architecture
	width, _ := h.number(arch + ".embedding_length")
	heads, _ := h.largest(arch + ".attention.head_count")
	length := func(key string) int64 {
		if n, ok := h.number(arch + ".attention." + key); ok {
			return n
		}
		if heads > 0 {
			return width / heads
		}
		return 0
	}
	m.KeyLength, m.ValueLength = length("key_length"), length("value_length")
	m.HeadsKV = make([]uint32, m.Layers)
	perLayer, ok := h[arch+".attention.head_count_kv"]
	if !ok {
		perLayer = h[arch+".attention.head_count"]
	}
	for i := range m.HeadsKV {
		switch v := perLayer.(type) {
		case uint64:
			m.HeadsKV[i] = uint32(min(v, maxHeaderKey))
		case []uint64:
			if len(v) != m.Layers {
				return fmt.Errorf("it has %d layers, but heads for %d", m.Layers, len(v))
			}
			m.HeadsKV[i] = uint32(min(v[i], maxHeaderKey))
		}
	}
	if m.elements() == 0 && !h.recurrent(arch) {
		return errors.New("the size of the attention heads is missing")
	}
	return nil
}

// largest returns a number, or the largest number of an array.
func (h ggufHeader) largest(key string) (n int64, ok bool) {
	if list, isList := h[key].([]uint64); isList {
		for _, v := range list {
			n = max(n, int64(min(v, math.MaxInt32)))
		}
		return n, len(list) > 0
	}
	return h.number(key)
}

func (h ggufHeader) recurrent(arch string) bool {
	_, ssm := h[arch+".ssm.state_size"]
	_, wkv := h[arch+".wkv.head_size"]
	return ssm || wkv
}

func (h ggufHeader) notes(m *ModelInfo) {
	arch := m.Architecture
	if n, ok := h.number(arch + ".attention.sliding_window"); ok && n > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("some layers use a sliding window of %d tokens: the engine may need less", n))
	}
	if n, ok := h.number(arch + ".attention.shared_kv_layers"); ok && n > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("%d layers share the cache of others: the engine needs less", n))
	}
	if _, ok := h[arch+".attention.kv_lora_rank"]; ok {
		m.Notes = append(m.Notes, "its keys and values are compressed (MLA): the engine may need less")
	}
	if h.recurrent(arch) {
		m.Notes = append(m.Notes, "the constant state of recurrent layers is not included")
	}
}
