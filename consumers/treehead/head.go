package treehead

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// Head is a signed tree head: the size and the root of the tree over a host's log.
type Head struct {
	Size events.Position
	Root events.Hash
	Note string // the signed text with its signature
}

// maxHeadBytes bounds a signed head.
const maxHeadBytes = 4 << 10

// SignHead signs a head: three lines (origin, size, root in base 64) and a signature,
// in the format of https://c2sp.org/tlog-checkpoint.
func SignHead(s note.Signer, size events.Position, root events.Hash) (Head, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", s.Name(), size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, s)
	return Head{Size: size, Root: root, Note: string(signed)}, err
}

// OpenHead verifies the signature of a head and parses it.
func OpenHead(v note.Verifier, signed string) (Head, error) {
	fail := func(err error) (Head, error) {
		return Head{}, &events.Error{Op: "treehead.OpenHead", Kind: events.ErrCorrupt, Subject: "signed head", Err: err}
	}
	if len(signed) > maxHeadBytes {
		return fail(fmt.Errorf("%d bytes; at most %d are allowed", len(signed), maxHeadBytes))
	}
	n, err := note.Open([]byte(signed), note.VerifierList(v))
	if err != nil {
		return fail(err)
	}
	// A note may have unused bits at the end of its base 64, and other signatures. Heads
	// that we sign have neither.
	sig, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64)
	if err != nil || signed != n.Text+"\n— "+v.Name()+" "+base64.StdEncoding.EncodeToString(sig)+"\n" {
		return fail(errors.New("it differs from the form that Cortex signs"))
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return fail(errors.New("it does not have three lines"))
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || lines[1] != strconv.FormatUint(size, 10) {
		return fail(fmt.Errorf("invalid size %q", lines[1]))
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(events.Hash{}) {
		return fail(fmt.Errorf("invalid root %q", lines[2]))
	}
	if lines[0] != v.Name() {
		return fail(fmt.Errorf("it belongs to the log %q, not to %q", lines[0], v.Name()))
	}
	return Head{Size: events.Position(size), Root: events.Hash(root), Note: signed}, nil
}

// headLine is one line of the file of heads.
type headLine struct {
	Note string `json:"note"`
}

// ReadHeads reads the file of signed heads, the oldest first. It ignores a last line
// without a line end, which is a write that was cut off. A missing file holds no
// heads. A line that is not a head signed by v, or that does not grow, is an
// ErrCorrupt error; the heads before it are returned with the error.
func ReadHeads(path string, v note.Verifier) ([]Head, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &events.Error{Op: "treehead.ReadHeads", Kind: events.ErrUnavailable, Subject: path, Err: err}
	}
	var out []Head
	for n := 1; ; n++ {
		text, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			return out, nil
		}
		b = rest
		h, err := parseHeadLine(text, v)
		if err == nil && len(out) > 0 && h.Size <= out[len(out)-1].Size {
			err = fmt.Errorf("a head of %d events follows one of %d", h.Size, out[len(out)-1].Size)
		}
		if err != nil {
			return out, &events.Error{Op: "treehead.ReadHeads", Kind: events.ErrCorrupt, Subject: fmt.Sprintf("%s, line %d", path, n), Err: err}
		}
		out = append(out, h)
	}
}

func parseHeadLine(text []byte, v note.Verifier) (Head, error) {
	var l headLine
	if err := json.Unmarshal(text, &l); err != nil {
		return Head{}, err
	}
	return OpenHead(v, l.Note)
}

// ReadHeadFile reads one signed head from a file of its own, or the newest one from a
// copy of the file of heads.
func ReadHeadFile(path string, v note.Verifier) (Head, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Head{}, &events.Error{Op: "treehead.ReadHeadFile", Kind: events.ErrNotFound, Subject: path, Err: err}
	}
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		return OpenHead(v, string(b))
	}
	all, err := ReadHeads(path, v)
	if err != nil {
		return Head{}, err
	}
	if len(all) == 0 {
		return Head{}, &events.Error{Op: "treehead.ReadHeadFile", Kind: events.ErrNotFound, Subject: path, Err: errors.New("the file has no signed head")}
	}
	return all[len(all)-1], nil
}

// appendHead appends a head to the file and syncs it. First it removes the rest of an
// append that was cut off.
func appendHead(path string, h Head) error {
	b, err := json.Marshal(headLine{h.Note})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	end, err := completeLinesSize(f)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.WriteAt(append(b, '\n'), end)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil || end > 0 {
		return err
	}
	return atomicfile.Sync(filepath.Dir(path))
}

// completeLinesSize returns the size of a file up to its last line end.
func completeLinesSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	for end := info.Size(); end > 0; {
		from := max(0, end-maxHeadBytes)
		b := make([]byte, end-from)
		if _, err := f.ReadAt(b, from); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		end = from
	}
	return 0, nil
}
