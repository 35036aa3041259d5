package slotcache

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// A slot state file begins with a magic number, a version, a number of words, and that many
// words. In older versions the words are the tokens. Newer servers write -1, the version of
// this layout, the number of tokens, the tokens, and the number of images or sounds.
const (
	stateMagic      = 0x67677371 // "ggsq"
	stateVersionMin = 2
	stateVersionMax = 4
	packedVersion   = 1
	maxStateWords   = 1 << 24
)

// Token is a token's number in a model's vocabulary.
type Token int32

// readTokens returns the tokens in a slot state file.
func readTokens(r io.Reader) ([]Token, error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, errors.New("not a slot state file: it is too short")
	}
	mark, version, n := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[8:])
	switch {
	case mark != stateMagic:
		return nil, errors.New("not a slot state file")
	case version < stateVersionMin || version > stateVersionMax:
		return nil, fmt.Errorf("slot state file of the unsupported version %d (supported: %d to %d)", version, stateVersionMin, stateVersionMax)
	case n > maxStateWords:
		return nil, fmt.Errorf("it has too many tokens: %d", n)
	}
	var words []Token
	raw := make([]byte, 4)
	for range n {
		if _, err := io.ReadFull(r, raw); err != nil {
			return nil, fmt.Errorf("it ends after %d of %d tokens", len(words), n)
		}
		words = append(words, Token(binary.LittleEndian.Uint32(raw)))
	}
	if len(words) == 0 || words[0] != -1 {
		return words, nil
	}
	return unpackTokens(words)
}

func unpackTokens(words []Token) ([]Token, error) {
	if len(words) < 4 || words[1] != packedVersion || words[2] < 0 || int(words[2]) > len(words)-4 {
		return nil, errors.New("the layout of its tokens is unknown")
	}
	n := int(words[2])
	if words[3+n] != 0 {
		return nil, errors.New("it has images or sounds, which their tokens do not identify")
	}
	return words[3 : 3+n], nil
}

func readTokensFile(path string) ([]Token, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readTokens(bufio.NewReader(f))
}

// hashTokens returns the hash of a sequence of tokens.
func hashTokens(tokens []Token) string {
	h := sha256.New()
	for _, t := range tokens {
		_ = binary.Write(h, binary.LittleEndian, t) // writing to a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

// commonPrefix returns the length of the common prefix of two sequences.
func commonPrefix(a, b []Token) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// hashFile returns the SHA-256 and the size of a file.
func hashFile(ctx context.Context, path string) (sum string, n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for ctx.Err() == nil {
		got, err := f.Read(buf)
		h.Write(buf[:got])
		n += int64(got)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), n, nil
		}
		if err != nil {
			return "", 0, err
		}
	}
	return "", 0, ctx.Err()
}
