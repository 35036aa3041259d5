package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"cortex/cmd/door"
	"cortex/events"
)

// maxLine bounds one line of the stream: an event with its envelope.
const maxLine = 2*events.MaxEventBytes + events.MaxHeaderBytes

// Selection says which events to read.
type Selection struct {
	After       events.Position
	Transaction events.TransactionID // "" for all
	Kind        string               // pattern; "" for all
	Follow      bool                 // wait for more
}

func (s Selection) query() string {
	v := url.Values{"after": {strconv.FormatUint(uint64(s.After), 10)}}
	if s.Transaction != "" {
		v.Set("transaction", string(s.Transaction))
	}
	if s.Kind != "" {
		v.Set("kind", s.Kind)
	}
	if s.Follow {
		v.Set("follow", "true")
	}
	return "/v1/events?" + v.Encode()
}

// Events gives the lines of the daemon's event stream. When following and the
// daemon goes away, it goes on in the next one after the last event it gave.
func (c *Client) Events(ctx context.Context, s Selection) iter.Seq2[door.Line, error] {
	return func(yield func(door.Line, error) bool) {
		for {
			if _, err := c.Ensure(ctx); err != nil {
				yield(door.Line{}, err)
				return
			}
			err := c.stream(ctx, &s, yield)
			switch {
			case errors.Is(err, errEnough), ctx.Err() != nil:
				return
			case err == nil && !s.Follow:
				return
			case err != nil && !errors.Is(err, events.ErrUnavailable):
				yield(door.Line{}, err)
				return
			}
			if sleep(ctx, pause) != nil {
				return
			}
		}
	}
}

var errEnough = errors.New("the reader has enough")

// stream reads one connection to its end and moves s.After along.
func (c *Client) stream(ctx context.Context, s *Selection, yield func(door.Line, error) bool) error {
	resp, err := c.do(ctx, http.MethodGet, s.query(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		var l door.Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return c.silent(err) // cut off in the middle of a line
		}
		if l.Error != nil {
			return l.Error.AsError()
		}
		if l.Event != nil {
			s.After = l.Event.Position
		}
		if !yield(l, nil) {
			return errEnough
		}
	}
	if err := lines.Err(); err != nil {
		return c.silent(err)
	}
	return nil
}
