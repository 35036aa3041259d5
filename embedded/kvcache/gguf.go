package kvcache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"cortex/events"
)

// Limits of what is read of a model's header.
const (
	maxHeaderBytes = 512 << 20
	maxHeaderKeys  = 1 << 16
	maxHeaderKey   = 1 << 16 // bytes of a key or of a text that is kept
	maxLayers      = 1 << 14
)

// Model is what a GGUF header says that matters for the cache.
type Model struct {
	Architecture  string   `json:"architecture"`
	Name          string   `json:"name,omitempty"`
	Layers        int      `json:"layers"`
	ContextLength int64    `json:"context_length"` // tokens the model was trained for; 0 when it does not say
	HeadsKV       []uint32 `json:"heads_kv"`       // for each layer
	KeyLength     int64    `json:"key_length"`     // elements for each head
	ValueLength   int64    `json:"value_length"`
	Splits        int      `json:"splits,omitempty"` // files the model is split into, when more than one
	// Notes tell where the size is an upper bound, and why.
	Notes []string `json:"notes,omitempty"`
}

// The types of values, as the format numbers them.
const (
	typeUint8 = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

var widths = map[uint32]int{
	typeUint8: 1, typeInt8: 1, typeUint16: 2, typeInt16: 2, typeUint32: 4, typeInt32: 4, typeFloat32: 4, typeBool: 1,
	typeUint64: 8, typeInt64: 8, typeFloat64: 8,
}

// header holds the values by their keys: uint64, string, []uint64.
type header map[string]any

// ReadModel reads the header of a GGUF file (versions 2 and 3, little endian).
// One that is malformed, or that does not say what is needed, is an ErrUsage
// error.
func ReadModel(r io.Reader) (Model, error) {
	fail := func(err error) (Model, error) {
		return Model{}, &events.Error{
			Op: "kvcache.ReadModel", Kind: events.ErrUsage, Err: err,
			Hint: "a model for llama.cpp is a GGUF file, version 2 or 3, little endian",
		}
	}
	p := &reader{b: bufio.NewReaderSize(io.LimitReader(r, maxHeaderBytes), 64<<10)}
	h := p.header()
	if p.err != nil {
		if errors.Is(p.err, io.EOF) || errors.Is(p.err, io.ErrUnexpectedEOF) {
			p.err = errors.New("the header ends too early")
		}
		return fail(p.err)
	}
	m, err := h.model()
	if err != nil {
		return fail(err)
	}
	return m, nil
}

// reader reads little-endian values; after an error everything is zero.
type reader struct {
	b   *bufio.Reader
	err error
}

func (p *reader) number(width int) uint64 {
	var raw [8]byte
	if p.err == nil {
		_, p.err = io.ReadFull(p.b, raw[:width])
	}
	if p.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(raw[:])
}

func (p *reader) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *reader) skip(n uint64) {
	if n > maxHeaderBytes {
		p.fail("a value of %d bytes is too long", n)
	}
	for p.err == nil && n > 0 {
		chunk := min(n, 1<<30)
		var done int
		done, p.err = p.b.Discard(int(chunk))
		n -= uint64(done)
	}
}

// text reads a string; one longer than limit is an error.
func (p *reader) text(limit uint64) string {
	n := p.number(8)
	if n > limit {
		p.fail("a text of %d bytes is too long", n)
	}
	if p.err != nil {
		return ""
	}
	raw := make([]byte, n)
	_, p.err = io.ReadFull(p.b, raw)
	return string(raw)
}

func (p *reader) header() header {
	if magic := p.number(4); p.err == nil && uint32(magic) != 0x46554747 { // "GGUF"
		p.fail("it does not begin with GGUF")
	}
	if version := p.number(4); p.err == nil && version != 2 && version != 3 {
		p.fail("its version is %d", version)
	}
	p.number(8) // tensors
	n := p.number(8)
	if n > maxHeaderKeys {
		p.fail("it has %d keys", n)
	}
	h := header{}
	for i := uint64(0); i < n && p.err == nil; i++ {
		key := p.text(maxHeaderKey)
		if v := p.value(uint32(p.number(4)), wanted(key)); v != nil {
			h[key] = v
		}
	}
	return h
}

// wanted reports whether the value is kept. Vocabularies are not.
func wanted(key string) bool { return !strings.HasPrefix(key, "tokenizer.") }

func (p *reader) value(kind uint32, keep bool) any {
	switch {
	case p.err != nil:
		return nil
	case kind == typeString:
		if n, err := p.b.Peek(8); keep && err == nil && binary.LittleEndian.Uint64(n) <= maxHeaderKey {
			return p.text(maxHeaderKey)
		}
		p.skip(p.number(8))
	case kind == typeArray:
		return p.array(keep)
	case widths[kind] == 0:
		p.fail("a value has the unknown type %d", kind)
	default:
		return p.scalar(kind)
	}
	return nil
}

func (p *reader) scalar(kind uint32) any {
	v := p.number(widths[kind])
	switch kind {
	case typeFloat32, typeFloat64:
		return nil // none is needed
	case typeInt32:
		if int32(v) < 0 {
			return nil
		}
	case typeInt64:
		if int64(v) < 0 {
			return nil
		}
	}
	return v
}

func (p *reader) array(keep bool) any {
	kind, n := uint32(p.number(4)), p.number(8)
	width := widths[kind]
	switch {
	case kind == typeString:
		for i := uint64(0); i < n && p.err == nil; i++ {
			p.skip(p.number(8))
		}
	case width == 0:
		p.fail("an array has elements of the unknown type %d", kind)
	case n > maxHeaderBytes:
		p.fail("an array of %d elements is too long", n)
	case keep && n <= maxLayers:
		out := make([]uint64, 0, n)
		for i := uint64(0); i < n && p.err == nil; i++ {
			v, _ := p.scalar(kind).(uint64)
			out = append(out, v)
		}
		return out
	default:
		p.skip(n * uint64(width))
	}
	return nil
}

// number is a value as a number; ok is false when it is missing or too large.
func (h header) number(key string) (n int64, ok bool) {
	v, ok := h[key].(uint64)
	if !ok || v > math.MaxInt32 {
		return 0, false
	}
	return int64(v), true
}

// model reads what matters.
func (h header) model() (Model, error) {
	arch, _ := h["general.architecture"].(string)
	if arch == "" {
		return Model{}, errors.New("it names no architecture")
	}
	m := Model{Architecture: arch}
	m.Name, _ = h["general.name"].(string)
	layers, ok := h.number(arch + ".block_count")
	if !ok || layers < 1 || layers > maxLayers {
		return Model{}, errors.New("it does not say how many layers it has")
	}
	m.Layers = int(layers)
	m.ContextLength, _ = h.number(arch + ".context_length")
	if splits, ok := h.number("split.count"); ok && splits > 1 {
		m.Splits = int(splits)
	}
	if err := h.heads(&m); err != nil {
		return Model{}, err
	}
	h.notes(&m)
	return m, nil
}

// heads fills in how many heads of which size each layer keeps.
func (h header) heads(m *Model) error {
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
				return fmt.Errorf("it has %d layers and tells the heads of %d", m.Layers, len(v))
			}
			m.HeadsKV[i] = uint32(min(v[i], maxHeaderKey))
		}
	}
	if m.elements() == 0 && !h.recurrent(arch) {
		return errors.New("it does not say how large its attention heads are")
	}
	return nil
}

// largest is a number, or the largest of an array of them.
func (h header) largest(key string) (n int64, ok bool) {
	if list, isList := h[key].([]uint64); isList {
		for _, v := range list {
			n = max(n, int64(min(v, math.MaxInt32)))
		}
		return n, len(list) > 0
	}
	return h.number(key)
}

func (h header) recurrent(arch string) bool {
	_, ssm := h[arch+".ssm.state_size"]
	_, wkv := h[arch+".wkv.head_size"]
	return ssm || wkv
}

func (h header) notes(m *Model) {
	arch := m.Architecture
	if n, ok := h.number(arch + ".attention.sliding_window"); ok && n > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("some layers look back over %d tokens only: the engine may need less", n))
	}
	if n, ok := h.number(arch + ".attention.shared_kv_layers"); ok && n > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("%d layers share the cache of others: the engine needs less", n))
	}
	if _, ok := h[arch+".attention.kv_lora_rank"]; ok {
		m.Notes = append(m.Notes, "its keys and values are compressed (MLA): the engine may need less")
	}
	if h.recurrent(arch) {
		m.Notes = append(m.Notes, "recurrent layers keep a state of constant size besides, which is not counted")
	}
}
