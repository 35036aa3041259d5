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

// streamOf returns the stream that holds a subject.
func (e *engine) streamOf(subject string) (jetstream.Stream, error) {
	switch {
	case strings.HasPrefix(subject, "cortex.evt."+string(e.host)+"."):
		return e.facts, nil
	case strings.HasPrefix(subject, "cortex.req."+string(e.host)+"."):
		return e.requests, nil
	}
	return nil, &events.Error{Op: "natslog.streamOf", Kind: events.ErrInternal, Subject: subject, Err: errors.New("no stream of this host has this subject")}
}

// streamName returns the name of a stream on the server. A cluster can store the logs
// of several hosts, so the name there includes the host.
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

// streamConfigs returns the configurations with which the streams are created. At
// every later start they must be the same.
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

// sameConfig compares two configurations without the metadata, in which the server
// records its version. With a cluster it also ignores the number and the placement of
// replicas, which the cluster's administrator may change.
func (e *engine) sameConfig(want, got jetstream.StreamConfig) bool {
	got.Metadata, want.Metadata = nil, nil
	if e.cluster != nil {
		want.Replicas, want.Placement = got.Replicas, got.Placement
	}
	return reflect.DeepEqual(want, got)
}

// createStreams creates both streams unless they exist, and returns the creation time
// of each.
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

// checkStreams compares the streams that the server opened with the manifest. With a
// head, the facts stream must end there.
func checkStreams(ctx context.Context, e *engine, m manifest, head events.Link) error {
	for _, want := range e.streamConfigs(m.MaxBytes) {
		var s jetstream.Stream
		err := e.withRetry(ctx, func() (err error) {
			s, err = e.js.Stream(ctx, want.Name)
			return err
		})
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return corruptError(want.Name, errors.New("the NATS server cannot open the stream"))
		}
		if err != nil {
			return &events.Error{Op: "natslog.checkStreams", Kind: events.ErrUnavailable, Subject: want.Name, Err: err}
		}
		info := s.CachedInfo()
		if !e.sameConfig(want, info.Config) {
			return corruptError(want.Name, errors.New("the stream's configuration was changed"))
		}
		if !info.Created.Equal(m.Streams[e.localStreamName(want.Name)]) {
			return corruptError(want.Name, errors.New("it is not the stream in the manifest: it was created at another time"))
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

// checkState checks that the server has every event from the first to head. With an
// empty head it checks only that no event is missing in between.
func checkState(s jetstream.StreamState, head events.Link) error {
	switch {
	case head.Position == 0 && s.LastSeq == 0:
		return nil // verifyReachesManifest reports a missing event
	case s.FirstSeq != 1:
		return corruptError(FactsStream, fmt.Errorf("it begins at event %d", s.FirstSeq))
	case s.NumDeleted > 0 || s.Msgs != s.LastSeq:
		return corruptError(FactsStream, fmt.Errorf("%d of its %d events are missing", s.LastSeq-s.Msgs, s.LastSeq))
	case head.Position > 0 && events.Position(s.LastSeq) != head.Position:
		return corruptError(FactsStream, fmt.Errorf("the NATS server has %d events, the files have %d", s.LastSeq, head.Position))
	}
	return nil
}
