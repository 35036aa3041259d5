package natslog

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go"

	"cortex/events"
)

// progressBuffer is how many reports wait for a slow reader; further ones are lost.
const progressBuffer = 64

// SendProgress tells everybody who follows the transaction. It is not stored,
// may be lost, and never fails.
func (b *Broker) SendProgress(p events.Progress) {
	if p.Transaction == "" {
		return
	}
	b.mu.Lock()
	b.lastProgress = p
	b.mu.Unlock()
	body, err := json.Marshal(p)
	if err == nil {
		err = b.engine.conn.Publish(events.ProgressSubject(b.Host(), p.Transaction), body)
	}
	if err != nil {
		b.cfg.Logger.Debug("progress not sent", "error", err)
	}
}

// FollowProgress gives what was told about a transaction last, when that was the
// last of all, and what is told from now on, until ctx is
// done or the broker is closed; then the channel is closed. A reader that is too
// slow loses reports.
func (b *Broker) FollowProgress(ctx context.Context, t events.TransactionID) <-chan events.Progress {
	out := make(chan events.Progress, progressBuffer)
	in := make(chan *nats.Msg, progressBuffer)
	sub, err := b.engine.conn.ChanSubscribe(events.ProgressSubject(b.Host(), t), in)
	if err != nil {
		close(out)
		return out
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil { // Close waits for the others already
		close(out)
		return out
	}
	if b.lastProgress.Transaction == t {
		out <- b.lastProgress
	}
	b.wg.Go(func() {
		defer close(out)
		defer func() { _ = sub.Unsubscribe() }()
		for {
			select {
			case m := <-in:
				var p events.Progress
				if json.Unmarshal(m.Data, &p) != nil {
					continue
				}
				select {
				case out <- p:
				default:
				}
			case <-ctx.Done():
				return
			case <-b.ctx.Done():
				return
			}
		}
	})
	return out
}
