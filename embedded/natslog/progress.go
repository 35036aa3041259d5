package natslog

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go"

	"cortex/events"
)

// progressBuffer is how many reports are buffered for a slow reader. Further ones are
// dropped.
const progressBuffer = 64

// SendProgress sends a report to the followers of its transaction. The report is not
// stored and may be lost.
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
		b.cfg.Logger.Debug("cannot send progress", "error", err)
	}
}

// FollowProgress returns a channel with the reports about a transaction from now on. When
// the newest report of all is about it, that report comes first. The channel is closed
// when ctx is done or the broker is closed. A reader that is too slow misses reports.
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
	if b.ctx.Err() != nil { // Close is waiting for the goroutines already
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
