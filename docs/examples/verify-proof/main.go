// Command verify-proof checks a proof of 'cortex audit prove' without code of Cortex:
//
//	go run ./docs/examples/verify-proof key.pub < proof.json
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

type proof struct {
	Position   uint64
	Prev, Data string
	Fields     []struct{ Name, Value string }
	Path       []string
	Head       string
}

func main() {
	key, err := os.ReadFile(strings.Join(os.Args[1:], " "))
	in, err2 := io.ReadAll(os.Stdin)
	var p proof
	if err = errors.Join(err, err2); err == nil {
		if err = json.Unmarshal(in, &p); err == nil {
			err = p.verify(string(key))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "not proven:", err)
		os.Exit(1)
	}
	fmt.Printf("proven: event %d is in the log\n", p.Position)
	for _, f := range p.Fields {
		fmt.Printf("%-12s %q\n", f.Name, f.Value)
	}
	fmt.Println(p.Data)
}

// verify checks the signature of the head, then that the path leads from the
// event to the head's root, as in RFC 9162, section 2.1.3.2.
func (p proof) verify(key string) error {
	name, rest, _ := strings.Cut(strings.TrimSpace(key), "+")
	_, key64, _ := strings.Cut(rest, "+")
	public, _ := base64.StdEncoding.DecodeString(key64)
	text, signature, _ := strings.Cut(p.Head, "\n\n")
	sig, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(signature, "— "+name+" ")))
	// The key is preceded by its type, 1; the signature by four bytes that identify the key.
	if len(public) != 33 || public[0] != 1 || len(sig) != 68 || !ed25519.Verify(public[1:], []byte(text+"\n"), sig[4:]) {
		return errors.New("the head is not signed by this key")
	}
	var size, n uint64 = 0, p.Position - 1
	var root64 string
	if _, err := fmt.Sscanf(text, name+"\n%d\n%s", &size, &root64); err != nil || n >= size {
		return errors.New("the head does not cover the event")
	}
	h := p.leaf()
	for last := size - 1; last > 0; n, last = n/2, last/2 {
		if n%2 == 0 && n == last {
			continue // the last node of an odd row has no sibling
		}
		if len(p.Path) == 0 {
			return errors.New("the path is too short")
		}
		side, _ := hex.DecodeString(p.Path[0])
		p.Path = p.Path[1:]
		if n%2 == 1 {
			h = sum([]byte{1}, side, h)
		} else {
			h = sum([]byte{1}, h, side)
		}
	}
	if root, err := base64.StdEncoding.DecodeString(root64); err != nil || string(root) != string(h) || len(p.Path) > 0 {
		return errors.New("the path does not lead from the event to the head")
	}
	return nil
}

// leaf returns the leaf of the event: the hash of the event's hash. Every field enters
// the event's hash with its length before it.
func (p proof) leaf() []byte {
	prev, _ := hex.DecodeString(p.Prev)
	b := binary.BigEndian.AppendUint64(prev, p.Position)
	for _, f := range p.Fields {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(f.Value))), f.Value...)
	}
	return sum([]byte{0}, sum(b, sum([]byte(p.Data))))
}

func sum(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
