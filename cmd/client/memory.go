package client

import (
	"context"
	"encoding/json"
	"net/http"

	"cortex/cmd/door"
	"cortex/events"
)

// Remember has something remembered or forgotten about the caller, and returns once
// every read model shows it.
func (c *Client) Remember(ctx context.Context, m door.Memo) (events.Position, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	var done door.Accepted
	if err := c.call(ctx, http.MethodPost, "/v1/memory", body, &done); err != nil {
		return 0, err
	}
	return done.Position, c.WaitProjected(ctx, done.Position)
}
