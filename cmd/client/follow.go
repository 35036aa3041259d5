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

	"cortex/cmd/api"
	"cortex/events"
)

// maxLineBytes bounds one line of the stream: an event with its envelope.
const maxLineBytes = 2*events.MaxEventBytes + events.MaxHeaderBytes

// StreamOptions selects the events to read.
type StreamOptions struct {
	After       events.Position
	Transaction events.TransactionID // "" for all
	Kind        string               // pattern; "" for all
	Follow      bool                 // wait for new events
}

func (s StreamOptions) query() string {
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

// Events returns the lines of the daemon's event stream. With Follow it reconnects if the
// daemon dies, and continues after the last event that it yielded.
func (c *Client) Events(ctx context.Context, s StreamOptions) iter.Seq2[api.StreamLine, error] {
	return func(yield func(api.StreamLine, error) bool) {
		for {
			if _, err := c.EnsureRunning(ctx); err != nil {
				yield(api.StreamLine{}, err)
				return
			}
			err := c.stream(ctx, &s, yield)
			switch {
			case errors.Is(err, errReaderDone), ctx.Err() != nil:
				return
			case err == nil && !s.Follow:
				return
			case err != nil && !errors.Is(err, events.ErrUnavailable):
				yield(api.StreamLine{}, err)
				return
			}
			if sleep(ctx, retryInterval) != nil {
				return
			}
		}
	}
}

var errReaderDone = errors.New("the reader stopped")

// stream reads one connection to its end and advances s.After.
func (c *Client) stream(ctx context.Context, s *StreamOptions, yield func(api.StreamLine, error) bool) error {
	resp, err := c.do(ctx, http.MethodGet, s.query(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), maxLineBytes)
	for lines.Scan() {
		var l api.StreamLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return c.unresponsiveError(err) // the line is incomplete
		}
		if l.Error != nil {
			return l.Error.AsError()
		}
		if l.Event != nil {
			s.After = l.Event.Position
		}
		if !yield(l, nil) {
			return errReaderDone
		}
	}
	if err := lines.Err(); err != nil {
		return c.unresponsiveError(err)
	}
	return nil
}
