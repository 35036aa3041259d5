package llm

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// errOversized: a server sends more than an answer can be.
var errOversized = errors.New("more was sent than an answer may have")

// readServerEvents reads a stream of server-sent events and calls use with the data of
// each, until use says stop, the stream ends (io.ErrUnexpectedEOF), or it is not
// such a stream.
func readServerEvents(r io.Reader, heard func(), use func(data string) (stop bool, err error)) error {
	in := bufio.NewReaderSize(io.LimitReader(r, maxBodyBytes), 16<<10)
	var data strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		heard()
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
			if data.Len() == 0 {
				continue
			}
			stop, err := use(data.String())
			if stop || err != nil {
				return err
			}
			data.Reset()
		case strings.HasPrefix(line, "data:"):
			if data.Len() > 0 {
				data.WriteByte('\n')
			}
			data.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "data:"), " "))
		case strings.HasPrefix(line, ":"), strings.HasPrefix(line, "event:"), strings.HasPrefix(line, "id:"), strings.HasPrefix(line, "retry:"):
		default:
			return errors.New("not a stream of server-sent events")
		}
	}
}

// text gathers an answer within its bound.
type text struct {
	strings.Builder
	delta func(string)
}

func (t *text) add(s string) error {
	if t.Len()+len(s) > MaxAnswerBytes {
		return errOversized
	}
	t.WriteString(s)
	if t.delta != nil && s != "" {
		t.delta(s)
	}
	return nil
}
