package natslog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/minio/highwayhash"

	"cortex/events"
)

// The file store of nats-server 2.x keeps messages in numbered block files, one
// record after the other:
//
//	length uint32 (high bit: has headers), sequence uint64, time uint64,
//	subject length uint16, subject, [header length uint32, headers], data,
//	checksum (HighwayHash-64, keyed by SHA-256 of "STREAM-BLOCK")
//
// all little endian, a sequence with bit 62 set being a marker without a
// message. When the server rebuilds its state it cuts a block off at the first
// record that is not whole, and everything behind is lost. So the blocks are
// read here first, and the server is started only on what is whole.
const (
	recordHeaderBytes   = 22
	recordChecksumBytes = 8
	hasHeadersBit       = 1 << 31
	erasedBit           = 1 << 63
	markerBit           = 1 << 62
	maxRecordBytes      = 32 << 20
)

// verifyBlock is one file of the facts stream.
type block struct {
	path     string
	index    int
	size     int64
	firstSeq uint64 // sequence of its first record; 0 when it is empty
}

// listBlocks gives the blocks of the facts stream in order, each with its size and
// where it begins.
func listBlocks(cfg Config) ([]block, error) {
	dir := filepath.Join(cfg.streamDir(FactsStream), "msgs")
	blocks, err := listBlockFiles(dir)
	if err != nil {
		return nil, corruptError(dir, err)
	}
	for i := range blocks {
		if err := blocks[i].stat(); err != nil {
			return nil, corruptError(blocks[i].path, err)
		}
	}
	return blocks, nil
}

// listBlockFiles gives the names of the blocks in a stream's directory, in order.
func listBlockFiles(dir string) ([]block, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var blocks []block
	for _, entry := range entries {
		var index int
		if n, err := fmt.Sscanf(entry.Name(), "%d.blk", &index); n != 1 || err != nil || entry.Name() != fmt.Sprintf("%d.blk", index) {
			continue
		}
		blocks = append(blocks, block{path: filepath.Join(dir, entry.Name()), index: index})
	}
	slices.SortFunc(blocks, func(a, b block) int { return a.index - b.index })
	return blocks, nil
}

// stat reads the block's size and its first sequence.
func (b *block) stat() error {
	f, err := os.Open(b.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b.size = info.Size()
	var head [recordHeaderBytes]byte
	if n, _ := f.ReadAt(head[:], 0); n == len(head) {
		b.firstSeq = binary.LittleEndian.Uint64(head[4:]) &^ (markerBit | erasedBit)
	}
	return nil
}

// storedMessage is one message as it lies in a block.
type storedMessage struct {
	seq        uint64
	subject    string
	rawHeaders []byte // its headers as they are written; empty without
	data       []byte
}

// headers reads the headers: a line of protocol, then "name: value" lines. What
// is no header gives none, and then the event's hash does not hold.
func (m storedMessage) headers() events.Headers {
	_, lines, ok := strings.Cut(string(m.rawHeaders), "\r\n")
	if !ok || !strings.HasPrefix(string(m.rawHeaders), "NATS/1.0") {
		return nil
	}
	out := make(events.Headers, 20)
	for line := range strings.SplitSeq(lines, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// errTorn says that a record does not end within its file.
var errTorn = errors.New("a record is cut off")

// blockReader walks through the records of one block.
type blockReader struct {
	buf      []byte
	offset   int
	checksum *highwayhash.Digest64
}

func openBlock(b block) (*blockReader, error) {
	buf, err := os.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", FactsStream, b.index))
	sum, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return nil, err
	}
	return &blockReader{buf: buf, checksum: sum}, nil
}

// readMessages gives the messages up to the first record that is not whole, and what is
// wrong with that; the reader stays before it.
func (r *blockReader) readMessages() ([]storedMessage, error) {
	var out []storedMessage
	for r.offset < len(r.buf) {
		rest := r.buf[r.offset:]
		length, err := r.checkRecord(rest)
		if err != nil {
			return out, err
		}
		if binary.LittleEndian.Uint64(rest[4:])&markerBit == 0 {
			m, err := parseRecord(rest[:length])
			if err != nil {
				return out, err
			}
			out = append(out, m)
		}
		r.offset += length
	}
	return out, nil
}

// checkRecord checks length and checksum of the record at the beginning of b.
func (r *blockReader) checkRecord(b []byte) (int, error) {
	if len(b) < recordHeaderBytes+recordChecksumBytes {
		return 0, errTorn
	}
	raw := binary.LittleEndian.Uint32(b)
	length, subject := int(raw&^hasHeadersBit), int(binary.LittleEndian.Uint16(b[20:]))
	skip := 0 // the length of the headers is not part of the checksum
	if raw&hasHeadersBit != 0 {
		skip = 4
	}
	if length < recordHeaderBytes+subject+skip+recordChecksumBytes || length > maxRecordBytes {
		return 0, fmt.Errorf("a record's length of %d is impossible", length)
	}
	if length > len(b) {
		return 0, errTorn
	}
	r.checksum.Reset()
	_, _ = r.checksum.Write(b[4:20])
	_, _ = r.checksum.Write(b[recordHeaderBytes : recordHeaderBytes+subject])
	_, _ = r.checksum.Write(b[recordHeaderBytes+subject+skip : length-recordChecksumBytes])
	if r.checksum.Sum64() != binary.LittleEndian.Uint64(b[length-recordChecksumBytes:length]) {
		return 0, errors.New("a record does not match its checksum")
	}
	return length, nil
}

// parseRecord takes a whole record apart.
func parseRecord(b []byte) (storedMessage, error) {
	raw, subject := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[20:]))
	body := b[recordHeaderBytes+subject : len(b)-recordChecksumBytes]
	m := storedMessage{seq: binary.LittleEndian.Uint64(b[4:]), subject: string(b[recordHeaderBytes : recordHeaderBytes+subject])}
	if raw&hasHeadersBit == 0 {
		m.data = body
		return m, nil
	}
	n := int(binary.LittleEndian.Uint32(body))
	if n > len(body)-4 {
		return storedMessage{}, errors.New("a record's headers do not fit into it")
	}
	m.rawHeaders, m.data = body[4:4+n], body[4+n:]
	return m, nil
}

// restIsTorn reports whether what is left in the block can be writes that a crash or the
// loss of power cut off: a record that reaches to the end of the file or beyond, or
// several of which the disk kept some sectors and not others.
func (r *blockReader) restIsTorn() bool {
	rest := r.buf[r.offset:]
	if len(rest) < recordHeaderBytes+recordChecksumBytes {
		return true
	}
	length := int(binary.LittleEndian.Uint32(rest) &^ hasHeadersBit)
	return length >= len(rest) && length <= maxRecordBytes || r.hasZeroSector()
}

// sectorBytes is what a disk keeps whole or not at all. Of a file that only grows, one that was
// not kept is zeros; nothing that we write has so many.
const sectorBytes = 512

// hasZeroSector reports whether a sector behind the whole records is nothing but zeros.
func (r *blockReader) hasZeroSector() bool {
	for begin := r.offset; begin < len(r.buf); {
		end := min(begin/sectorBytes*sectorBytes+sectorBytes, len(r.buf))
		checksum := end == len(r.buf) && end-begin < recordChecksumBytes // zeros by chance
		if !checksum && !slices.ContainsFunc(r.buf[begin:end], func(b byte) bool { return b != 0 }) {
			return true
		}
		begin = end
	}
	return false
}

// metaChecksum is the checksum that belongs to a stream's description.
func metaChecksum(stream string, description []byte) []byte {
	key := sha256.Sum256([]byte(stream))
	sum, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return nil
	}
	_, _ = sum.Write(description)
	return hex.AppendEncode(nil, sum.Sum(nil))
}
