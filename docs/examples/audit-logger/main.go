// Command audit-logger copies every event of Cortex into a file, exactly once. It is an
// example of a reader in another process and uses only the standard library.
//
//	audit-logger /run/cortex/cortexd.sock /var/log/cortex-events.ndjson
//
// It continues where the file ends. It syncs each line before it reads the next one, and
// removes an incomplete last line when it starts, so that the file has each event once.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: audit-logger SOCKET FILE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for ctx.Err() == nil {
		err := Follow(ctx, os.Args[1], os.Args[2])
		log.Printf("%v; retrying in a second", err) // the daemon exits when it is idle
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// Follow appends events until the daemon exits or ctx is done.
func Follow(ctx context.Context, socket, path string) error {
	f, after, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://cortex/v1/events?after=%d&follow=true", after), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("read events: the daemon answered %s", resp.Status)
	}
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var l struct {
			Event json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(line, &l); err != nil {
			return err
		}
		if l.Event == nil {
			continue // a heartbeat
		}
		if _, err := f.Write(append(l.Event, '\n')); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
}

// open opens the file after its last complete line and returns the position of that
// event.
func open(path string) (*os.File, uint64, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	end := bytes.LastIndexByte(text, '\n') + 1
	var last struct {
		Position uint64 `json:"position"`
	}
	if end > 0 {
		begin := bytes.LastIndexByte(text[:end-1], '\n') + 1
		err = json.Unmarshal(text[begin:end], &last)
	}
	if err == nil {
		err = f.Truncate(int64(end))
	}
	if err == nil {
		_, err = f.Seek(int64(end), io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, last.Position, nil
}
