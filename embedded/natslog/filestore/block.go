package filestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Block is one of the numbered files in which the server stores the messages of a
// stream. The server appends to the block with the highest number only.
type Block struct {
	Path     string
	Size     int64
	FirstSeq uint64 // sequence in the first record; 0 when the block is empty

	stream string
	index  int
}

// Blocks returns the stream's blocks, oldest first.
func (s Stream) Blocks() ([]Block, error) {
	blocks, err := s.listBlocks()
	if err != nil {
		return nil, &Error{s.BlockDir(), err}
	}
	for i := range blocks {
		if err := blocks[i].stat(); err != nil {
			return nil, &Error{blocks[i].Path, err}
		}
	}
	return blocks, nil
}

// listBlocks returns the stream's blocks, oldest first, without size and sequence.
func (s Stream) listBlocks() ([]Block, error) {
	entries, err := os.ReadDir(s.BlockDir())
	if err != nil {
		return nil, err
	}
	var blocks []Block
	for _, entry := range entries {
		var index int
		if n, err := fmt.Sscanf(entry.Name(), "%d.blk", &index); n != 1 || err != nil || entry.Name() != fmt.Sprintf("%d.blk", index) {
			continue
		}
		blocks = append(blocks, Block{Path: filepath.Join(s.BlockDir(), entry.Name()), stream: s.name, index: index})
	}
	slices.SortFunc(blocks, func(a, b Block) int { return a.index - b.index })
	return blocks, nil
}

// stat sets the block's size and first sequence.
func (b *Block) stat() error {
	f, err := os.Open(b.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b.Size = info.Size()
	var head [headerBytes]byte
	if n, _ := f.ReadAt(head[:], 0); n == len(head) {
		b.FirstSeq = binary.LittleEndian.Uint64(head[4:]) &^ (tombstoneBit | erasedBit)
	}
	return nil
}

// IndexOf returns the index of the block that holds a sequence: the last one that
// begins at it or before it. It returns 0 when every block begins after it.
func IndexOf(blocks []Block, seq uint64) int {
	at := 0
	for i, b := range blocks {
		if b.FirstSeq != 0 && b.FirstSeq <= seq {
			at = i
		}
	}
	return at
}

// ErrTorn marks an error of [Block.Read] after which the remaining bytes can be
// writes that a crash or a power failure interrupted. In the newest block this is
// not damage: the server cuts such bytes off when it starts.
var ErrTorn = errors.New("the end of the file is an interrupted write")

// Read returns the block's messages in order. When it meets a record that is
// incomplete or does not match its checksum, it returns the messages before that
// record and an [*Error], which wraps [ErrTorn] where that applies.
//
// Read also returns a message that was deleted later, because the server records a
// deletion elsewhere; it skips such tombstones. Of a message that was erased it
// returns the sequence only.
func (b Block) Read() ([]Message, error) {
	buf, err := os.ReadFile(b.Path)
	if err != nil {
		return nil, &Error{b.Path, err}
	}
	checksum, err := newChecksum(fmt.Sprintf("%s-%d", b.stream, b.index))
	if err != nil {
		return nil, &Error{b.Path, err}
	}
	var out []Message
	for offset := 0; offset < len(buf); {
		length, err := checkRecord(checksum, buf[offset:])
		var m Message
		if err == nil {
			m, err = parseRecord(buf[offset : offset+length])
		}
		if err != nil {
			if isTorn(buf, offset) {
				err = fmt.Errorf("%w: %w", ErrTorn, err)
			}
			return out, &Error{b.Path, err}
		}
		if m.Seq&tombstoneBit == 0 {
			out = append(out, m)
		}
		offset += length
	}
	return out, nil
}
