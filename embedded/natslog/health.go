package natslog

import (
	"context"
	"errors"

	"cortex/events"
)

// StoreHealth is the state of the store.
type StoreHealth struct {
	Host     events.HostID
	Head     events.Link
	Facts    StreamHealth
	Requests StreamHealth
	FreeDisk int64 // bytes left for us on the store's disk
	MinFree  int64 // bytes that writing leaves free
	Writable bool
	Problem  error // why it is not writable; nil when it is
}

// StreamHealth is the state of one stream, in messages and bytes.
type StreamHealth struct {
	Name     string
	Messages uint64
	Bytes    uint64
	MaxBytes int64
}

// StoreHealth asks the server and the disk. What does not answer is the Problem.
func (b *Broker) Health(ctx context.Context) StoreHealth {
	h := StoreHealth{Host: b.Host(), Head: b.log.currentHead(), MinFree: b.cfg.MinFree}
	var problems []error
	if b.ctx.Err() != nil {
		h.Problem = errClosed
		return h
	}
	if err := b.log.readOnlyError(); err != nil {
		problems = append(problems, err)
	}
	for name, into := range map[string]*StreamHealth{FactsStream: &h.Facts, RequestsStream: &h.Requests} {
		s := b.engine.facts
		if name == RequestsStream {
			s = b.engine.requests
		}
		info, err := s.Info(ctx)
		if err != nil {
			problems = append(problems, &events.Error{Op: "natslog.Health", Kind: events.ErrUnavailable, Subject: name, Err: err})
			continue
		}
		*into = StreamHealth{Name: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes}
		if into.MaxBytes-int64(into.Bytes) < events.MaxEventBytes { //nolint:gosec // far below 2^63
			problems = append(problems, &events.Error{
				Op: "natslog.Health", Kind: events.ErrFull, Subject: name, Err: errors.New("the stream has reached its limit"),
			})
		}
	}
	var err error
	if h.FreeDisk, err = freeBytes(b.cfg.Dir); err != nil {
		problems = append(problems, err)
	} else if err := checkFreeSpace(b.cfg); err != nil {
		problems = append(problems, err)
	}
	h.Problem = errors.Join(problems...)
	h.Writable = h.Problem == nil
	return h
}
