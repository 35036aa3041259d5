package follower

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"cortex/events"
)

// Syslog is a sink that sends a short JSON object for each fact, without its data,
// to the socket of the machine's syslog. Use [OpenSyslog].
type Syslog struct {
	conn     net.Conn
	position string
	lock     *os.File
	mark     Mark
}

var _ Sink = (*Syslog)(nil)

// The priority of messages: facility authpriv (10), severity notice (5).
const priority = 10<<3 | 5

// OpenSyslog connects to the socket, such as /dev/log; the position is kept in the
// file named.
func OpenSyslog(socket, position string) (*Syslog, error) {
	lock, err := takeLock(position + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Syslog{position: position, lock: lock}
	if s.mark, err = readMark(position); err == nil {
		s.conn, err = net.Dial("unixgram", socket)
	}
	if err != nil {
		return nil, errors.Join(unavailable(socket, err), lock.Close())
	}
	return s, nil
}

// Mark implements [Sink].
func (s *Syslog) Mark() Mark { return s.mark }

// message is what is sent of a fact.
type message struct {
	Position    events.Position      `json:"position"`
	ID          events.ID            `json:"id"`
	Type        events.Kind          `json:"type"`
	Time        time.Time            `json:"time"`
	Subject     string               `json:"subject"`
	Transaction events.TransactionID `json:"transaction,omitempty"`
	Actor       events.Actor         `json:"actor"`
	Hash        string               `json:"hash"`
}

// Write implements [Sink]. The position is written after each message.
func (s *Syslog) Write(records []events.Record) error {
	for _, r := range records {
		b, err := json.Marshal(message{r.Position, r.ID, r.Kind, r.Time.UTC(), r.Subject.String(), r.Transaction, r.Actor, r.Hash.String()})
		if err != nil {
			return unavailable("syslog", err)
		}
		// The form that local programs send: priority, time, program[process].
		_, err = fmt.Fprintf(s.conn, "<%d>%s cortex[%d]: %s", priority, r.Time.Local().Format(time.Stamp), os.Getpid(), b)
		if err != nil {
			return unavailable("syslog", err)
		}
		s.mark = markOf(r)
		if err := writeMark(s.position, s.mark); err != nil {
			return err
		}
	}
	return nil
}

// Close implements [Sink].
func (s *Syslog) Close() error { return errors.Join(s.conn.Close(), s.lock.Close()) }
