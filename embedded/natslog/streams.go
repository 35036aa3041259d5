package natslog

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// The names of the streams, on disk and on the wire.
const (
	FactsStream    = "CORTEX_EVT"
	RequestsStream = "CORTEX_REQ"
)

// streamFinder is the stream that holds a subject.
func (e *engine) streamOf(subject string) (jetstream.Stream, error) {
	switch {
	case strings.HasPrefix(subject, "cortex.evt."+string(e.host)+"."):
		return e.facts, nil
	case strings.HasPrefix(subject, "cortex.req."+string(e.host)+"."):
		return e.requests, nil
	}
	return nil, &events.Error{Op: "natslog.streamOf", Kind: events.ErrInternal, Subject: subject, Err: errors.New("no stream of this host holds it")}
}

// streamName is what a stream of ours is called: a cluster may keep the logs of many
// hosts.
func (e *engine) streamName(stream string) string {
	if e.cluster == nil {
		return stream
	}
	return stream + "_" + string(e.host)
}

// localStreamName is the inverse of [engine.streamName].
func (e *engine) localStreamName(name string) string {
	if e.cluster == nil {
		return name
	}
	return strings.TrimSuffix(name, "_"+string(e.host))
}

// streamConfigs is what the streams of a host are made as, and must still be.
func (e *engine) streamConfigs(maxBytes int64) []jetstream.StreamConfig {
	common := jetstream.StreamConfig{
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		Replicas: e.replicas(), MaxConsumers: -1, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
		Duplicates: dedupWindow, AllowDirect: true,
	}
	facts, requests := common, common
	facts.Name, facts.Subjects = e.streamName(FactsStream), []string{"cortex.evt." + string(e.host) + ".>"}
	facts.MaxBytes, facts.DenyDelete, facts.DenyPurge = maxBytes, true, true
	requests.Name, requests.Subjects = e.streamName(RequestsStream), []string{"cortex.req." + string(e.host) + ".>"}
	requests.MaxBytes, requests.MaxAge = maxRequestBytes, maxRequestAge
	return []jetstream.StreamConfig{facts, requests}
}

// sameConfig compares what was configured, without what the server notes about
// itself and its versions. How many copies a cluster keeps, and where, is its
// administrator's affair.
func (e *engine) sameConfig(want, got jetstream.StreamConfig) bool {
	got.Metadata, want.Metadata = nil, nil
	if e.cluster != nil {
		want.Replicas, want.Placement = got.Replicas, got.Placement
	}
	return reflect.DeepEqual(want, got)
}

// createStreams makes both streams, where they are not yet, and gives the time of each.
func (e *engine) createStreams(ctx context.Context, maxBytes int64) (map[string]time.Time, error) {
	created := map[string]time.Time{}
	for _, cfg := range e.streamConfigs(maxBytes) {
		var s jetstream.Stream
		err := e.withRetry(ctx, func() (err error) {
			s, err = e.js.CreateStream(ctx, cfg)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("create stream %s: %w", cfg.Name, err)
		}
		created[e.localStreamName(cfg.Name)] = s.CachedInfo().Created
		e.setStream(s, cfg.Name)
	}
	return created, nil
}

func (e *engine) setStream(s jetstream.Stream, name string) {
	if e.localStreamName(name) == FactsStream {
		e.facts = s
	} else {
		e.requests = s
	}
}

// checkStreams compares what the server opened with what must be there.
func checkStreams(ctx context.Context, e *engine, m manifest, head events.Link) error {
	for _, want := range e.streamConfigs(m.MaxBytes) {
		var s jetstream.Stream
		err := e.withRetry(ctx, func() (err error) {
			s, err = e.js.Stream(ctx, want.Name)
			return err
		})
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return corruptError(want.Name, errors.New("the server cannot open the stream"))
		}
		if err != nil {
			return &events.Error{Op: "natslog.checkStreams", Kind: events.ErrUnavailable, Subject: want.Name, Err: err}
		}
		info := s.CachedInfo()
		if !e.sameConfig(want, info.Config) {
			return corruptError(want.Name, errors.New("the stream's configuration was changed"))
		}
		if !info.Created.Equal(m.Streams[e.localStreamName(want.Name)]) {
			return corruptError(want.Name, errors.New("it is not the stream that the manifest knows"))
		}
		if e.localStreamName(want.Name) == FactsStream {
			if err := checkState(info.State, head); err != nil {
				return err
			}
		}
		e.setStream(s, want.Name)
	}
	return nil
}

// checkState makes sure that the server sees what we saw in the files; with a head
// of nothing, that it has everything that there ever was.
func checkState(s jetstream.StreamState, head events.Link) error {
	switch {
	case head.Position == 0 && s.LastSeq == 0:
		return nil // the manifest knows whether there must be one
	case s.FirstSeq != 1:
		return corruptError(FactsStream, fmt.Errorf("it begins at event %d", s.FirstSeq))
	case s.NumDeleted > 0 || s.Msgs != s.LastSeq:
		return corruptError(FactsStream, fmt.Errorf("%d of its %d events are missing", s.LastSeq-s.Msgs, s.LastSeq))
	case head.Position > 0 && events.Position(s.LastSeq) != head.Position:
		return corruptError(FactsStream, fmt.Errorf("the server sees %d events, the files hold %d", s.LastSeq, head.Position))
	}
	return nil
}
