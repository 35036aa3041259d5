package client

import (
	"context"
	"encoding/json"
	"net/http"

	"cortex/cmd/api"
	"cortex/events"
)

// UpdateMemory remembers or forgets an item about the caller. It returns when every read
// model shows the change.
func (c *Client) UpdateMemory(ctx context.Context, m api.MemoryChange) (events.Position, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	var done api.PositionReply
	if err := c.call(ctx, http.MethodPost, "/v1/memory", body, &done); err != nil {
		return 0, err
	}
	return done.Position, c.WaitProjected(ctx, done.Position)
}
