// Command audit-logger-nats copies every event of Cortex into a file, exactly once. It is
// an example of a NATS client, for a daemon with the setting nats.listen.
//
//	audit-logger-nats nats://127.0.0.1:4222 /var/log/cortex-events.ndjson
//
// NATS delivers new events only; the client requests older ones. It compares the position
// of each event with the last one in the file: it skips a known event, and requests the
// missing ones when there is a gap.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: audit-logger-nats URL FILE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for ctx.Err() == nil {
		if err := Follow(ctx, os.Args[1], os.Args[2]); ctx.Err() == nil {
			log.Printf("%v; retrying in a second", err) // the daemon exits when it is idle
			time.Sleep(time.Second)
		}
	}
}

// Follow appends events until the connection closes or ctx is done.
func Follow(ctx context.Context, url, path string) error {
	l, err := open(path)
	if err != nil {
		return err
	}
	defer l.file.Close()
	gone := make(chan struct{})
	conn, err := nats.Connect(url, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
	if err != nil {
		return err
	}
	defer conn.Close()
	live := make(chan *nats.Msg, 1024)
	if _, err := conn.ChanSubscribe("cortex.facts.>", live); err != nil { // before the request, so that no event is missed
		return err
	}
	if err := conn.FlushTimeout(10 * time.Second); err != nil {
		return err
	}
	if err := l.catchUp(conn); err != nil {
		return err
	}
	for {
		select {
		case m := <-live:
			position, err := positionOf(m.Data)
			switch {
			case err != nil:
				return err
			case position <= l.last:
				continue
			case position == l.last+1:
				err = l.write(position, m.Data)
			default: // NATS dropped messages because this client was too slow
				err = l.catchUp(conn)
			}
			if err != nil {
				return err
			}
		case <-gone:
			return errors.New("the daemon closed the connection")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// logger is the file with the position of its last event.
type logger struct {
	file *os.File
	last uint64
}

// catchUp requests the events after the last one, page by page.
func (l *logger) catchUp(conn *nats.Conn) error {
	for {
		m, err := conn.Request("cortex.read", fmt.Appendf(nil, `{"after":%d}`, l.last), 10*time.Second)
		if err != nil {
			return err
		}
		if why := m.Header.Get("Error"); why != "" {
			return errors.New(why)
		}
		if len(m.Data) == 0 {
			return nil
		}
		for line := range bytes.Lines(m.Data) {
			position, err := positionOf(line)
			if err == nil {
				err = l.write(position, bytes.TrimSuffix(line, []byte("\n")))
			}
			if err != nil {
				return err
			}
		}
	}
}

// write appends the next event and syncs the file.
func (l *logger) write(position uint64, fact []byte) error {
	if position != l.last+1 {
		return fmt.Errorf("event %d follows event %d", position, l.last)
	}
	if _, err := l.file.Write(append(bytes.Clone(fact), '\n')); err != nil {
		return err
	}
	l.last = position
	return l.file.Sync()
}

func positionOf(fact []byte) (uint64, error) {
	var f struct {
		Position uint64 `json:"position"`
	}
	err := json.Unmarshal(fact, &f)
	return f.Position, err
}

// open opens the file after its last complete line. A crash can leave an incomplete
// one.
func open(path string) (*logger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &logger{file: f}
	var end int64
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		if l.last, err = positionOf(line); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		end += int64(len(line))
	}
	if _, err := f.Seek(end, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, f.Truncate(end)
}
