package auditsink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// maxLineBytes bounds a line of the file: an event with its envelope.
const maxLineBytes = 2*events.MaxEventBytes + events.MaxHeaderBytes

// FileSink is a sink that appends CloudEvents, one JSON object a line, to a file. Use
// [OpenFileSink].
type FileSink struct {
	path       string
	file       *os.File
	lock       *os.File
	checkpoint Checkpoint
}

var _ Sink = (*FileSink)(nil)

// CheckpointPath is where the position of a copy in the file at path is kept.
func CheckpointPath(path string) string { return path + ".position" }

// OpenFileSink opens or makes the file, takes half a line at its end away, and finds
// out how far it got. A second follower of the same file is ErrConflict; a file
// that ends with something else than a fact is ErrUsage.
func OpenFileSink(path string) (*FileSink, error) {
	lock, err := acquireLock(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &FileSink{path: path, lock: lock}
	if s.checkpoint, err = readCheckpoint(CheckpointPath(path)); err == nil {
		err = s.reopen()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func acquireLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unavailableError(path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil, &events.Error{Op: "auditsink.OpenFile", Kind: events.ErrConflict, Subject: path, Err: errors.New("another process follows into the same file")}
	}
	return f, nil
}

func unavailableError(path string, err error) error {
	return &events.Error{Op: "follower", Kind: events.ErrUnavailable, Subject: path, Err: err}
}

// reopen opens the file that has the name now and looks at its end.
func (s *FileSink) reopen() error {
	if s.file != nil {
		_ = s.file.Close() // what is in it was synced
	}
	var err error
	if s.file, err = os.OpenFile(s.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return unavailableError(s.path, err)
	}
	last, end, err := lastLine(s.file)
	if err != nil {
		return unavailableError(s.path, err)
	}
	if err := s.file.Truncate(end); err != nil {
		return unavailableError(s.path, err)
	}
	if err := atomicfile.Sync(filepath.Dir(s.path)); err != nil {
		return unavailableError(s.path, err)
	}
	if len(last) == 0 {
		return nil
	}
	var r events.Record
	if err := json.Unmarshal(last, &r); err != nil {
		return &events.Error{Op: "auditsink.OpenFile", Kind: events.ErrUsage, Subject: s.path, Err: fmt.Errorf("its last line is no event: %w", err), Hint: "name a new file"}
	}
	if s.checkpoint.Host != "" && s.checkpoint.Host != r.Host {
		return &events.Error{Op: "auditsink.OpenFile", Kind: events.ErrUsage, Subject: s.path, Err: fmt.Errorf("it holds events of host %s", r.Host), Hint: "name a new file"}
	}
	if r.Position > s.checkpoint.Position {
		s.checkpoint = checkpointOf(r)
	}
	return nil
}

// lastLine gives the last whole line of a file and where it ends.
func lastLine(f *os.File) (line []byte, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	size := info.Size()
	from := max(0, size-2*maxLineBytes)
	b := make([]byte, size-from)
	if _, err := f.ReadAt(b, from); err != nil {
		return nil, 0, err
	}
	i := bytes.LastIndexByte(b, '\n')
	if i < 0 {
		if from > 0 {
			return nil, 0, errors.New("its last line has no end")
		}
		return nil, 0, nil
	}
	return b[bytes.LastIndexByte(b[:i], '\n')+1 : i], from + int64(i) + 1, nil
}

// Checkpoint implements [Sink].
func (s *FileSink) Checkpoint() Checkpoint { return s.checkpoint }

// Write implements [Sink].
func (s *FileSink) Write(records []events.Record) error {
	if moved, err := s.rotated(); err != nil {
		return unavailableError(s.path, err)
	} else if moved {
		if err := s.reopen(); err != nil {
			return err
		}
	}
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	for _, r := range records {
		if err := e.Encode(r); err != nil {
			return unavailableError(s.path, err)
		}
	}
	if _, err := s.file.Write(lines.Bytes()); err != nil {
		return unavailableError(s.path, err)
	}
	if err := s.file.Sync(); err != nil {
		return unavailableError(s.path, err)
	}
	s.checkpoint = checkpointOf(records[len(records)-1])
	return writeCheckpoint(CheckpointPath(s.path), s.checkpoint)
}

// rotated reports whether the file has another name now, or none: it was rotated.
func (s *FileSink) rotated() (bool, error) {
	ours, err := s.file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(ours, named), err
}

// Close implements [Sink].
func (s *FileSink) Close() error {
	var errs []error
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// readCheckpoint reads a position; a file that is missing is the zero Mark.
func readCheckpoint(path string) (Checkpoint, error) {
	var m Checkpoint
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, unavailableError(path, err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, &events.Error{Op: "auditsink.readMark", Kind: events.ErrCorrupt, Subject: path, Err: err}
	}
	return m, nil
}

// writeCheckpoint replaces the position, durably.
func writeCheckpoint(path string, m Checkpoint) error {
	b, err := json.Marshal(m)
	if err != nil {
		return unavailableError(path, err)
	}
	if err := atomicfile.Write(path, append(b, '\n'), atomicfile.Options{Mode: 0o600, Temp: filepath.Base(path) + ".tmp"}); err != nil {
		return unavailableError(path, err)
	}
	return nil
}
