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
	FreeDisk int64 // bytes that this user can still write
	MinFree  int64 // bytes that must stay free
	Writable bool
	Problem  error // why the store is not writable; otherwise nil
}

// StreamHealth is the state of one stream, in messages and bytes.
type StreamHealth struct {
	Name     string
	Messages uint64
	Bytes    uint64
	MaxBytes int64
}

// Health returns the state of the server and the disk. Their errors are in Problem.
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
		if into.MaxBytes-int64(into.Bytes) < events.MaxEventBytes { // far below 2^63
			problems = append(problems, &events.Error{
				Op: "natslog.Health", Kind: events.ErrFull, Subject: name, Err: errors.New("the stream is full"),
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
