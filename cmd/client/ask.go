package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"cortex/cmd/api"
	"cortex/consumers/llm/router"
	"cortex/events"
)

// Ask sends a question to the daemon. It does not retry: if the daemon dies, the answer
// is lost.
func (c *Client) Ask(ctx context.Context, q events.Question, delta func(router.Delta)) (events.Reply, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return events.Reply{}, err
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/ask", body)
	if err != nil {
		return events.Reply{}, err
	}
	defer resp.Body.Close()
	lines := json.NewDecoder(resp.Body)
	for {
		var l api.AskLine
		if err := lines.Decode(&l); err != nil {
			if ctx.Err() != nil {
				return events.Reply{}, ctx.Err()
			}
			return events.Reply{}, c.unresponsiveError(errors.New("the connection ended before the answer was complete"))
		}
		switch {
		case l.Reply != nil:
			return *l.Reply, nil
		case l.Error != nil:
			return events.Reply{}, l.Error.AsError()
		case l.Delta != nil && delta != nil:
			delta(*l.Delta)
		}
	}
}

// ModelProvidersStatus returns the state of the model providers. With probe the daemon
// first sends a request to each of them.
func (c *Client) ModelProvidersStatus(ctx context.Context, probe bool) (m api.ModelProvidersStatus, err error) {
	return m, c.call(ctx, http.MethodGet, "/v1/models?probe="+strconv.FormatBool(probe), nil, &m)
}
