package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// TestFollow: the file has each event once, in order, after restarts of the daemon, an
// incomplete line and events without a subscriber.
func TestFollow(t *testing.T) {
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "facts")
	for round := range 3 {
		b, err := natslog.Open(t.Context(), natslog.Config{Dir: dir, Create: true, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		for range 300 { // before the client subscribes
			logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{})
		}
		ended := make(chan error)
		go func() { ended <- Follow(context.Background(), "nats://"+b.ListenAddr(), path) }()
		for range 20 {
			logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{})
		}
		want := 1 + (round+1)*320
		for end := time.Now().Add(20 * time.Second); lines(t, path) < want && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Error("Follow returned no error when the daemon closed")
		}
		if got := lines(t, path); got != want {
			t.Fatalf("%d lines, want %d", got, want)
		}
		half(t, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // the incomplete line
		}
		p, err := positionOf(line)
		if err != nil || p != last+1 {
			t.Fatalf("event %d follows event %d: %v", p, last, err)
		}
		last = p
	}
}

func lines(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

// half appends an incomplete line, as after a crash.
func half(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(`{"position":`)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
