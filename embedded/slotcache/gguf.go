package slotcache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"cortex/events"
)

// Limits for reading a model's header.
const (
	maxHeaderBytes = 512 << 20
	maxHeaderKeys  = 1 << 16
	maxHeaderKey   = 1 << 16 // bytes of a key or of a stored string
	maxLayers      = 1 << 14
)

// The types of values in the GGUF format.
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

// ggufHeader maps keys to values of type uint64, string or []uint64.
type ggufHeader map[string]any

// ReadModelInfo reads the header of a GGUF file (version 2 or 3, little endian). It fails
// with ErrUsage when the header is malformed or a required key is missing.
func ReadModelInfo(r io.Reader) (ModelInfo, error) {
	fail := func(err error) (ModelInfo, error) {
		return ModelInfo{}, &events.Error{
			Op: "slotcache.ReadModelInfo", Kind: events.ErrUsage, Err: err,
			Hint: "use a GGUF file of version 2 or 3, little endian",
		}
	}
	p := &ggufReader{b: bufio.NewReaderSize(io.LimitReader(r, maxHeaderBytes), 64<<10)}
	h := p.header()
	if p.err != nil {
		if errors.Is(p.err, io.EOF) || errors.Is(p.err, io.ErrUnexpectedEOF) {
			p.err = errors.New("the header is truncated")
		}
		return fail(p.err)
	}
	m, err := h.model()
	if err != nil {
		return fail(err)
	}
	return m, nil
}

// ggufReader reads little-endian values. After an error it returns zero values.
type ggufReader struct {
	b   *bufio.Reader
	err error
}

func (p *ggufReader) number(width int) uint64 {
	var raw [8]byte
	if p.err == nil {
		_, p.err = io.ReadFull(p.b, raw[:width])
	}
	if p.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(raw[:])
}

func (p *ggufReader) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *ggufReader) skip(n uint64) {
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

// text reads a string of at most limit bytes.
func (p *ggufReader) text(limit uint64) string {
	n := p.number(8)
	if n > limit {
		p.fail("a string of %d bytes is too long", n)
	}
	if p.err != nil {
		return ""
	}
	raw := make([]byte, n)
	_, p.err = io.ReadFull(p.b, raw)
	return string(raw)
}

func (p *ggufReader) header() ggufHeader {
	if magic := p.number(4); p.err == nil && uint32(magic) != 0x46554747 { // "GGUF"
		p.fail("it is not a GGUF file")
	}
	if version := p.number(4); p.err == nil && version != 2 && version != 3 {
		p.fail("it has the unsupported version %d", version)
	}
	p.number(8) // number of tensors
	n := p.number(8)
	if n > maxHeaderKeys {
		p.fail("it has too many keys: %d", n)
	}
	h := ggufHeader{}
	for i := uint64(0); i < n && p.err == nil; i++ {
		key := p.text(maxHeaderKey)
		if v := p.value(uint32(p.number(4)), keepsKey(key)); v != nil {
			h[key] = v
		}
	}
	return h
}

// keepsKey reports whether the value of a key is needed. Vocabularies are not.
func keepsKey(key string) bool { return !strings.HasPrefix(key, "tokenizer.") }

func (p *ggufReader) value(kind uint32, keep bool) any {
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

func (p *ggufReader) scalar(kind uint32) any {
	v := p.number(widths[kind])
	switch kind {
	case typeFloat32, typeFloat64:
		return nil // not needed
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

func (p *ggufReader) array(keep bool) any {
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
