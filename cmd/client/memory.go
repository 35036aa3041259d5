package client

import (
	"context"
	"encoding/json"
	"net/http"

	"cortex/cmd/api"
	"cortex/events"
)

// UpdateMemory has something remembered or forgotten about the caller, and returns once
// every read model shows it.
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
