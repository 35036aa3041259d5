package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// filterReader reads the records that match one filter, batch after batch.
type filterReader struct {
	log    *factLog
	filter string // "" matches every record
	next   events.Position
	end    events.Position

	buf     []events.Record
	prev    events.Link // the last record read, when there is no filter
	pending uint64      // how many more records match, from the server's last answer
}

// fill reads the next batch when the buffer is empty. It leaves the buffer empty when
// no more records match.
func (s *filterReader) fill(ctx context.Context) error {
	if len(s.buf) > 0 || s.next > s.end {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return &events.Error{Op: "natslog.Read", Kind: events.ErrUnavailable, Err: err}
	}
	if s.log.engine.cluster != nil {
		return s.fillFromCluster(ctx)
	}
	fromStart := s.next == 1
	got, err := s.fetchBatch(ctx)
	if err == nil && got == 0 && s.filter != "" && fromStart {
		got, err = s.confirmEmpty(ctx)
	}
	if err != nil {
		return err
	}
	if got == 0 && (s.filter == "" || s.pending > 0) {
		return s.log.unreadableEvent(s.next)
	}
	if s.filter != "" && (got == 0 || s.pending == 0) { // no later record matches
		s.next = s.end + 1
	}
	return nil
}

// fillFromCluster is fill with a cluster. Any server can answer a batch request, also
// one that does not have every record yet, so an empty batch is confirmed with the
// leader. With a filter only the leader is asked, because an incomplete batch looks like
// a complete one.
func (s *filterReader) fillFromCluster(ctx context.Context) error {
	if s.filter == "" {
		if err := s.log.engine.withRetry(ctx, func() error {
			_, err := s.fetchBatch(ctx)
			return err
		}); err != nil || len(s.buf) > 0 {
			return err
		}
	}
	msg, err := s.log.engine.get(ctx, FactsStream, getRequest{Seq: uint64(s.next), NextFor: s.filter})
	switch {
	case errors.Is(err, errNoMessage) && s.filter == "":
		return s.log.unreadableEvent(s.next)
	case errors.Is(err, errNoMessage): // no later record matches
		s.next = s.end + 1
		return nil
	case err != nil:
		return err
	}
	return s.decodeInto(msg)
}

// confirmEmpty checks that no record matches. The server skips a record that it cannot
// read, but it still counts the record.
func (s *filterReader) confirmEmpty(ctx context.Context) (int, error) {
	info, err := s.log.engine.facts.Info(ctx, jetstream.WithSubjectFilter(s.filter))
	if err != nil {
		return 0, &events.Error{Op: "natslog.Read", Kind: events.ErrUnavailable, Subject: s.filter, Err: err}
	}
	for subject, n := range info.State.Subjects {
		got, err := s.fetchBatch(ctx) // the record may be new
		if err != nil || got > 0 {
			return got, err
		}
		err = corruptError(subject, fmt.Errorf("%d events were stored, but the NATS server does not return them", n))
		s.log.markReadOnly(err)
		return 0, err
	}
	return 0, nil
}

// fetchBatch requests the next records, decodes them into the buffer, and returns their
// number.
func (s *filterReader) fetchBatch(ctx context.Context) (int, error) {
	fail := func(err error) (int, error) {
		return 0, &events.Error{Op: "natslog.Read", Kind: events.ErrUnavailable, Subject: fmt.Sprintf("event %d", s.next), Err: err}
	}
	body, err := json.Marshal(getRequest{Seq: uint64(s.next), NextFor: s.filter, Batch: s.batchSize(), MaxBytes: batchBytes})
	if err != nil {
		return fail(err)
	}
	conn := s.log.engine.readConn
	inbox := conn.NewInbox()
	sub, err := conn.SubscribeSync(inbox)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := conn.PublishRequest("$JS.API.DIRECT.GET."+s.log.engine.streamName(FactsStream), inbox, body); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.log.engine.requestTimeout)
	defer cancel()
	for got := 0; ; got++ {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return fail(err)
		}
		switch status := msg.Header.Get("Status"); status {
		case "":
			if err := s.decodeInto(msg); err != nil {
				return got, err
			}
		case "204": // the end of the batch
			s.pending, err = strconv.ParseUint(msg.Header.Get("Nats-Num-Pending"), 10, 64)
			if err != nil {
				return fail(err)
			}
			return got, nil
		case "404":
			return 0, nil
		default:
			return fail(fmt.Errorf("%s %s", status, msg.Header.Get("Description")))
		}
	}
}

// batchSize returns how many records the next batch requests.
func (s *filterReader) batchSize() int {
	if s.filter == "" {
		return min(batchRecords, int(s.end-s.next)+1) // bounded by batchRecords
	}
	return batchRecords
}

// decodeInto decodes a message into the buffer.
func (s *filterReader) decodeInto(msg *nats.Msg) error {
	r, err := s.log.decode(msg)
	if err != nil {
		return err
	}
	if s.filter == "" {
		switch {
		case s.prev.Position > 0:
			err = checkFollows(r, s.prev)
		case r.Position != s.next:
			err = s.log.unreadableEvent(s.next)
		case r.Position == 1 && !r.Prev.IsZero():
			err = checkFollows(r, events.Link{})
		}
		if err != nil {
			s.log.markReadOnly(err)
			return err
		}
		s.prev = r.Link()
	}
	s.next = r.Position + 1
	if r.Position <= s.end {
		s.buf = append(s.buf, r)
	}
	return nil
}
