package app

import (
	"bufio"
	"io"
	"os"

	"cortex/events"
)

// WriteNewFile lets write fill a file that must not exist yet, and syncs it. A file that
// could not be written whole is removed.
func WriteNewFile(name string, write func(io.Writer) error) error {
	fail := func(err error) error {
		return &events.Error{Op: "app.WriteNewFile", Kind: events.ErrUnavailable, Subject: name, Err: err}
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	w := bufio.NewWriter(f)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(name)
		return fail(err)
	}
	return nil
}
