// Package filestoretest writes block files for tests that damage a store.
//
// Its encoder is written independently of the decoder in package filestore. Tests
// there compare its output byte for byte with what nats-server wrote.
package filestoretest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/minio/highwayhash"

	"cortex/embedded/natslog/filestore"
)

// Encode returns the record of a message in block number block of a stream, with a
// valid checksum.
func Encode(stream string, block int, m filestore.Message) []byte {
	length := 22 + len(m.Subject) + len(m.Data) + 8
	var headers []byte
	if len(m.RawHeader) > 0 {
		headers = append(binary.LittleEndian.AppendUint32(nil, uint32(len(m.RawHeader))), m.RawHeader...) // small
		length += len(headers)
		length |= 1 << 31
	}
	var fixed []byte
	fixed = binary.LittleEndian.AppendUint64(fixed, m.Seq)
	fixed = binary.LittleEndian.AppendUint64(fixed, uint64(m.Time)) // as the server does
	out := binary.LittleEndian.AppendUint32(nil, uint32(length))    // small
	out = append(out, fixed...)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(m.Subject))) // small
	out = slices.Concat(out, []byte(m.Subject), headers, m.Data)
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, block))
	return binary.LittleEndian.AppendUint64(out, highwayhash.Sum64(slices.Concat(fixed, []byte(m.Subject), m.RawHeader, m.Data), key[:]))
}

// Read returns the messages of a block file, which must be undamaged.
func Read(t testing.TB, path string) []filestore.Message {
	t.Helper()
	for _, b := range blocks(t, path) {
		if b.Path != path {
			continue
		}
		messages, err := b.Read()
		if err != nil {
			t.Fatal(err)
		}
		return messages
	}
	t.Fatalf("%s is not a block file", path)
	return nil
}

// Write replaces a block file by one with the given messages.
func Write(t testing.TB, path string, messages []filestore.Message) {
	t.Helper()
	var b []byte
	for _, m := range messages {
		b = append(b, EncodeFor(t, path, m)...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// EncodeFor is [Encode] for the stream and number in a block file's path.
func EncodeFor(t testing.TB, path string, m filestore.Message) []byte {
	t.Helper()
	var block int
	if _, err := fmt.Sscanf(filepath.Base(path), "%d.blk", &block); err != nil {
		t.Fatal(err)
	}
	return Encode(filepath.Base(filepath.Dir(filepath.Dir(path))), block, m)
}

// blocks returns the blocks in the directory of a block file.
func blocks(t testing.TB, path string) []filestore.Block {
	t.Helper()
	streamDir := filepath.Dir(filepath.Dir(path)) // DIR/jetstream/ACCOUNT/streams/NAME
	dir := streamDir
	for range 4 {
		dir = filepath.Dir(dir)
	}
	store, err := filestore.Open(dir, filestore.TestedVersions()[0])
	if err != nil {
		t.Fatal(err)
	}
	found, err := store.Stream(filepath.Base(streamDir)).Blocks()
	if err != nil {
		t.Fatal(err)
	}
	return found
}
