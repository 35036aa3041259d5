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

// FileSink appends facts to a file, one CloudEvents JSON object a line. Create one with
// [OpenFileSink].
type FileSink struct {
	path       string
	file       *os.File
	lock       *os.File
	checkpoint Checkpoint
}

var _ Sink = (*FileSink)(nil)

// CheckpointPath returns the path of the checkpoint of the file at path.
func CheckpointPath(path string) string { return path + ".position" }

// OpenFileSink opens or creates the file, removes an incomplete last line, and determines
// the checkpoint. It fails with ErrConflict if another process copies into the same file,
// and with ErrUsage if the last line is not an event.
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
		_ = f.Close() // the file is empty
		return nil, &events.Error{Op: "auditsink.OpenFileSink", Kind: events.ErrConflict, Subject: path, Err: errors.New("another process copies into the same file")}
	}
	return f, nil
}

func unavailableError(path string, err error) error {
	return &events.Error{Op: "auditsink.Write", Kind: events.ErrUnavailable, Subject: path, Err: err}
}

// reopen opens the current file at the path and reads its last line.
func (s *FileSink) reopen() error {
	if s.file != nil {
		_ = s.file.Close() // its content is synced
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
		return &events.Error{Op: "auditsink.OpenFileSink", Kind: events.ErrUsage, Subject: s.path, Err: fmt.Errorf("the last line is not an event: %w", err), Hint: "use a new file"}
	}
	if s.checkpoint.Host != "" && s.checkpoint.Host != r.Host {
		return &events.Error{Op: "auditsink.OpenFileSink", Kind: events.ErrUsage, Subject: s.path, Err: fmt.Errorf("the file has events of host %s", r.Host), Hint: "use a new file"}
	}
	if r.Position > s.checkpoint.Position {
		s.checkpoint = checkpointOf(r)
	}
	return nil
}

// lastLine returns the last complete line of a file and the offset of its end.
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
			return nil, 0, errors.New("the last line is too long")
		}
		return nil, 0, nil
	}
	return b[bytes.LastIndexByte(b[:i], '\n')+1 : i], from + int64(i) + 1, nil
}

// Checkpoint implements [Sink].
func (s *FileSink) Checkpoint() Checkpoint { return s.checkpoint }

// Write implements [Sink].
func (s *FileSink) Write(records []events.Record) error {
	if rotated, err := s.rotated(); err != nil {
		return unavailableError(s.path, err)
	} else if rotated {
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

// rotated reports whether the open file was renamed or removed.
func (s *FileSink) rotated() (bool, error) {
	opened, err := s.file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(opened, named), err
}

// Close implements [Sink].
func (s *FileSink) Close() error {
	var errs []error
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// readCheckpoint reads a checkpoint. It returns the zero value if the file does not exist.
func readCheckpoint(path string) (Checkpoint, error) {
	var c Checkpoint
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, unavailableError(path, err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, &events.Error{Op: "auditsink.readCheckpoint", Kind: events.ErrCorrupt, Subject: path, Err: err}
	}
	return c, nil
}

// writeCheckpoint durably replaces a checkpoint.
func writeCheckpoint(path string, c Checkpoint) error {
	b, err := json.Marshal(c)
	if err != nil {
		return unavailableError(path, err)
	}
	if err := atomicfile.Write(path, append(b, '\n'), atomicfile.Options{Mode: 0o600, Temp: filepath.Base(path) + ".tmp"}); err != nil {
		return unavailableError(path, err)
	}
	return nil
}
