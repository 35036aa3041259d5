package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/embedded/natslog/filestore"
	"cortex/events"
)

// A batch of records is asked for at once; it ends at either limit.
const (
	batchRecords = 512
	batchBytes   = 8 << 20
)

// fileScanThreshold is the length of a stretch from which on it is read from the files: three
// times as fast as from the server, and whole blocks at a time.
const fileScanThreshold = 4 * batchRecords

// Read implements [events.Log].
func (l *factLog) Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for r, err := range l.scan(ctx, q, l.currentHead().Position) {
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Follow implements [events.Log]. What was appended a moment ago it has from memory.
func (l *factLog) Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for {
			l.mu.Lock()
			head, grown, fresh := l.head.Position, l.headMoved, l.recent.after(q.After)
			l.mu.Unlock()
			for _, r := range fresh {
				if ctx.Err() != nil || q.Match(r) && !yield(r, nil) {
					return
				}
				q.After = r.Position
			}
			for r, err := range l.scan(ctx, q, head) {
				if ctx.Err() != nil || !yield(r, err) || err != nil {
					return
				}
			}
			q.After = max(q.After, head)
			select {
			case <-grown:
			case <-ctx.Done():
				return
			case <-l.closed:
				yield(events.Record{}, &events.Error{Op: "natslog.Follow", Kind: events.ErrUnavailable, Err: errClosed})
				return
			}
		}
	}
}

// Last implements [events.Log].
func (l *factLog) Last(ctx context.Context, filter string) (events.Record, bool, error) {
	r, err := l.get(ctx, getRequest{LastFor: filter})
	switch {
	case errors.Is(err, errNoMessage):
		return events.Record{}, false, nil
	case err != nil:
		return events.Record{}, false, err
	}
	return r, true, nil
}

// readAt gives the record at a position.
func (l *factLog) readAt(ctx context.Context, p events.Position) (events.Record, error) {
	r, err := l.get(ctx, getRequest{Seq: uint64(p)})
	if errors.Is(err, errNoMessage) {
		err = l.unreadableEvent(p)
	}
	return r, err
}

// unreadableEvent is what to say of an event that was stored and is not given back.
func (l *factLog) unreadableEvent(p events.Position) error {
	err := corruptError(fmt.Sprintf("event %d", p), errors.New("it was stored and cannot be read back"))
	l.markReadOnly(err)
	return err
}

// getRequest asks JetStream for stored messages directly, without a consumer.
type getRequest struct {
	Seq      uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// errNoMessage is the server's answer when nothing matches.
var errNoMessage = errors.New("no such message")

// get reads one record.
func (l *factLog) get(ctx context.Context, q getRequest) (events.Record, error) {
	msg, err := l.engine.get(ctx, FactsStream, q)
	if err != nil {
		return events.Record{}, err
	}
	return l.decode(msg)
}

func (l *factLog) decode(msg *nats.Msg) (events.Record, error) {
	seq, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return events.Record{}, &events.Error{Op: "natslog.decode", Kind: events.ErrUnavailable, Err: fmt.Errorf("the server's answer: %w", err)}
	}
	r, err := decodeRecord(l.host, seq, msg.Header.Get(jetstream.SubjectHeader), flattenHeaders(msg.Header), msg.Data)
	if err == nil {
		err = l.engine.signer.verify(r, msg.Header.Get(signatureHeader))
	}
	if err != nil {
		l.markReadOnly(err)
	}
	return r, err
}

// get asks for one stored message.
func (e *engine) get(ctx context.Context, stream string, q getRequest) (msg *nats.Msg, err error) {
	ask := e.getDirect
	if e.cluster != nil {
		ask = e.getFromLeader
	}
	err = e.withRetry(ctx, func() error {
		msg, err = ask(ctx, stream, q)
		if err != nil && !errors.Is(err, errNoMessage) {
			err = &events.Error{Op: "natslog.get", Kind: events.ErrUnavailable, Subject: stream, Err: err}
		}
		return err
	})
	return msg, err
}

// getDirect asks whichever server has the stream. In our own process there is one.
func (e *engine) getDirect(ctx context.Context, stream string, q getRequest) (*nats.Msg, error) {
	msg, err := e.requestReply(ctx, "$JS.API.DIRECT.GET."+e.streamName(stream), q)
	if err != nil {
		return nil, err
	}
	switch status := msg.Header.Get("Status"); status {
	case "":
		return msg, nil
	case "404":
		return nil, errNoMessage
	default:
		return nil, fmt.Errorf("%s %s", status, msg.Header.Get("Description"))
	}
}

// codeNoMessage is the leader's answer when nothing matches.
const codeNoMessage = 10037

// getFromLeader asks the server that leads the stream: the others of a cluster may
// not have yet what was acknowledged.
func (e *engine) getFromLeader(ctx context.Context, stream string, q getRequest) (*nats.Msg, error) {
	raw, err := e.requestReply(ctx, "$JS.API.STREAM.MSG.GET."+e.streamName(stream), q)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject string `json:"subject"`
			Seq     uint64 `json:"seq"`
			Headers []byte `json:"hdrs"`
			Data    []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(raw.Data, &answer); err != nil {
		return nil, err
	}
	switch m := answer.Message; {
	case answer.Error != nil && answer.Error.ErrorCode == codeNoMessage:
		return nil, errNoMessage
	case answer.Error != nil:
		return nil, answer.Error
	default:
		msg := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{}}
		if len(m.Headers) > 0 {
			if msg.Header, err = nats.DecodeHeadersMsg(m.Headers); err != nil {
				return nil, err
			}
		}
		msg.Header.Set(jetstream.SequenceHeader, strconv.FormatUint(m.Seq, 10))
		msg.Header.Set(jetstream.SubjectHeader, m.Subject)
		return msg, nil
	}
}

// requestReply sends a question to the servers' interface and gives the answer.
func (e *engine) requestReply(ctx context.Context, subject string, q getRequest) (*nats.Msg, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.requestTimeout)
	defer cancel()
	return e.readConn.RequestWithContext(ctx, subject, body)
}

// scan gives the records behind q.After that match, up to and including end, in
// order. An error is the last thing it gives. A short stretch is read whole and
// filtered here: that is faster, and a record that is missing is noticed.
func (l *factLog) scan(ctx context.Context, q events.Query, end events.Position) iter.Seq2[events.Record, error] {
	if len(q.Filters) == 0 && l.engine.cluster == nil && end > q.After+fileScanThreshold {
		return l.scanFiles(ctx, q, end)
	}
	filters := q.Filters
	if len(filters) == 0 || end <= q.After+batchRecords {
		filters = []string{""}
	}
	return func(yield func(events.Record, error) bool) {
		sources := make([]*filterReader, len(filters))
		for i, f := range filters {
			sources[i] = &filterReader{log: l, filter: f, next: q.After + 1, end: end}
		}
		prev := q.After
		for {
			r, ok, err := takeOldest(ctx, sources)
			if err != nil {
				yield(events.Record{}, err)
				return
			}
			if !ok {
				return
			}
			if r.Position > prev && q.Match(r) && !yield(r, nil) {
				return
			}
			prev = max(prev, r.Position)
		}
	}
}

// takeOldest takes the oldest of the next records of all sources.
func takeOldest(ctx context.Context, sources []*filterReader) (events.Record, bool, error) {
	var best *filterReader
	for _, s := range sources {
		if err := s.fill(ctx); err != nil {
			return events.Record{}, false, err
		}
		if len(s.buf) > 0 && (best == nil || s.buf[0].Position < best.buf[0].Position) {
			best = s
		}
	}
	if best == nil {
		return events.Record{}, false, nil
	}
	r := best.buf[0]
	best.buf = best.buf[1:]
	return r, true, nil
}

// scanFiles is scan of everything behind q.After, from the blocks as they lie on disk.
// What was acknowledged is in them, up to end at least; the server only adds to them.
func (l *factLog) scanFiles(ctx context.Context, q events.Query, end events.Position) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		last, left := q.After, false
		c := chainVerifier{host: l.host, manifestHeadSeen: true}
		c.visit = func(r events.Record) bool {
			if r.Position > q.After && r.Position <= end && ctx.Err() == nil {
				last, left = r.Position, !yield(r, nil)
			}
			return !left && last < end && ctx.Err() == nil
		}
		blocks, err := factBlocks(l.cfg)
		for i := filestore.IndexOf(blocks, uint64(q.After)+1); i < len(blocks); i++ {
			if err = c.verifyBlock(blocks[i], i == len(blocks)-1); err != nil || left || last >= end || ctx.Err() != nil {
				break
			}
		}
		switch {
		case left, err == nil && last >= end:
			return
		case ctx.Err() != nil:
			err = &events.Error{Op: "natslog.Read", Kind: events.ErrUnavailable, Err: ctx.Err()}
		default:
			if err == nil {
				err = corruptError(FactsStream, fmt.Errorf("it ends at event %d, but event %d was stored", last, end))
			}
			l.markReadOnly(err)
		}
		yield(events.Record{}, err)
	}
}
