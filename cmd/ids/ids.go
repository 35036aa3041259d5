// Package ids generates the ids of requests, facts and transactions for the command and
// the daemon.
package ids

import (
	"github.com/google/uuid"

	"cortex/events"
)

// New returns a new id, a UUID of version 7. Ids sort by the time at which they were made.
func New() events.ID { return events.ID(uuid.Must(uuid.NewV7()).String()) }
